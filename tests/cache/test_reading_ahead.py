"""Shards in a bucket are verified ahead of their use, hashed once as they arrive, and asked for in few requests."""

import hashlib
import os
import pickle
import threading
import uuid
from collections import Counter

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.store import open_reader
from embedonce.cache.stores import local
from embedonce.cache.stores.copy_file import Copy
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.prefetcher import MAX_PENDING, MAX_THREADS, Prefetcher
from tests.support import faulty_s3
from tests.support.faulty_s3 import faulty
from tests.support.places import QUICK
from tests.support.s3_server import client, directed_to, parted
from tests.support.tiny_cache import make_tiny_cache

NUM_SHARDS = 3
LARGE = hashlib.shake_128(b"large").digest(3_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", NUM_SHARDS, labeled=False)


@pytest.fixture
def url(s3_bucket) -> str:
    return f"s3://{s3_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def faults(s3_endpoint, url):
    ObjectStore.from_url(url).exists("a")  # connects directly
    with faulty(s3_endpoint) as (proxy, faults), directed_to(proxy):
        yield faults


def store_at(url: str, copies=None) -> ObjectStore:
    return ObjectStore.from_url(url, copies and LocalCopies.create(copies, 10**9), QUICK)


def asked(faults) -> Counter:
    """How often which shard was asked for since the last time, by method."""
    found = Counter((r.method, r.path.rpartition("/")[2]) for r in faults.requests if "/frames/" in r.path)
    faults.requests.clear()
    return found


def read_all(reader) -> list:
    units = sorted(reader.records)
    reader.prefetch(units)
    return [reader.all_embeddings(unit) for unit in units]


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_shard_is_looked_up_once_and_downloaded_in_one_answer(folder, url, faults, tmp_path):
    convert(folder, url, "webdataset")
    faults.requests.clear()
    cold = read_all(open_reader(store_at(url, tmp_path / "copies")))
    names = [f"{number:06d}.tar" for number in range(NUM_SHARDS)]
    assert asked(faults) == Counter((method, name) for method in ("HEAD", "GET") for name in names)
    warm = read_all(open_reader(store_at(url, tmp_path / "copies")))
    assert asked(faults) == Counter(("HEAD", name) for name in names)
    for found in (cold, warm):
        np.testing.assert_array_equal(found, read_all(open_reader(folder)))


@pytest.mark.parametrize("backend", ["hdf5", "webdataset"])
def test_no_byte_of_a_shard_is_hashed_twice(folder, tmp_path, monkeypatch, backend):
    url, hashed, sha256 = f"memory://{uuid.uuid4().hex}/cache", Counter(), hashlib.sha256

    class Counting:
        digest_size = 32

        def __init__(self, data=b""):
            self._hash = sha256(data)

        def update(self, data) -> None:
            hashed[threading.current_thread().name] += len(data)
            self._hash.update(data)

        def __getattr__(self, name):
            return getattr(self._hash, name)

    convert(folder, url, backend)
    reader = open_reader(store_at(url, tmp_path / "copies"))
    monkeypatch.setattr(hashlib, "sha256", Counting)
    read_all(reader)
    assert hashed.total() == sum(record.num_bytes for record in reader.records.values())


# -- answers that are read as they arrive ------------------------------------------------------------------------------


def ranges(faults) -> list[tuple[str, str]]:
    found = [(r.headers["range"], r.headers["if-match"]) for r in faults.requests if r.method == "GET"]
    faults.requests.clear()
    return found


def test_an_answer_that_was_cut_off_is_continued_from_there(url, faults, tmp_path):
    store = store_at(url, tmp_path / "copies")
    store.put_if_absent("a", LARGE)
    left = [faulty_s3.TRUNCATED, (503, "SlowDown")]
    faults.requests.clear()
    faults.spoil = lambda request: left.pop(0) if request.method == "GET" and left else None
    assert store.digest("a") == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    tag = store.version("a").tag
    again = f"bytes={1 << 20}-{len(LARGE) - 1}"  # of one and a half million bytes, the first block was whole
    assert ranges(faults) == [(f"bytes=0-{len(LARGE) - 1}", tag), (again, tag), (again, tag)]


def test_an_answer_of_another_version_is_refused_even_by_a_store_that_ignores_conditions(url, faults, tmp_path):
    store = store_at(url, tmp_path / "copies")
    store.put_if_absent("a", LARGE)
    pinned = store.pinned("a", store.version("a"))
    store.replace("a", LARGE[::-1])
    for fault in (None, faulty_s3.UNCONDITIONAL):
        faults.spoil = lambda request, fault=fault: fault if request.method == "GET" else None
        for read in (lambda: pinned.digest("a"), lambda: pinned.open("a").read_at(0, 10), lambda: pinned.get("a")):
            with pytest.raises(StorageError, match="changed while it was read"):
                read()
    assert list((tmp_path / "copies").iterdir()) in ([], [tmp_path / "copies" / ".lock"])


def test_a_version_stays_demanded_in_another_process_and_other_files_are_read_as_they_are(url, faults):
    store = store_at(url)
    for name in ("a", "b"):
        store.put_if_absent(name, LARGE)
    pinned = pickle.loads(pickle.dumps(store.pinned("a", store.version("a"))))
    assert pinned.get("a") == LARGE and pinned.digest("a")[0] == len(LARGE)
    for name in ("a", "b"):
        store.replace(name, b"new")
    assert pinned.get("b") == b"new"
    with pytest.raises(StorageError, match="changed while it was read"):
        pinned.open("a").read_at(0, 10)


def test_a_shard_that_was_replaced_after_it_was_verified_is_not_read(folder, url, faults, s3_endpoint, tmp_path):
    """Without a copy, every range that is read demands the version that was verified."""
    convert(folder, url, "webdataset")
    reader = open_reader(store_at(url))
    shard = reader.frames("000000")
    shard.close()
    bucket, prefix = parted(url)
    body = (client(s3_endpoint).get_object(Bucket=bucket, Key=f"{prefix}frames/000000.tar"))["Body"].read()
    wrong = body[:700] + bytes([body[700] ^ 1]) + body[701:]
    client(s3_endpoint).put_object(Bucket=bucket, Key=f"{prefix}frames/000000.tar", Body=wrong)
    with pytest.raises(StorageError, match="changed while it was read"):
        shard.embeddings(0, 1, 0)
    with pytest.raises(DamagedError, match=r"000000\.tar is damaged"):
        open_reader(store_at(url)).frames("000000")


# -- the order of things -----------------------------------------------------------------------------------------------


def test_what_was_begun_is_waited_for_and_what_was_not_is_left_to_the_caller():
    prefetcher, go, begun = Prefetcher(), threading.Event(), []
    started = [threading.Event() for _ in range(MAX_THREADS)]

    def read(item: int) -> str:
        begun.append(item)
        if item < MAX_THREADS:
            started[item].set()
            assert go.wait(60)
        return str(item)

    prefetcher.ask(read, range(MAX_PENDING))
    assert all(event.wait(60) for event in started)
    assert prefetcher.take(MAX_PENDING - 1) is None  # not begun
    threading.Timer(0.05, go.set).start()
    assert prefetcher.take(0) == "0" and prefetcher.take(0) is None
    prefetcher.wait()
    assert sorted(begun) == list(range(MAX_PENDING - 1))
    prefetcher.ask(read, [3, 4])
    prefetcher.wait()
    assert begun.count(3) == 1 and prefetcher.take(3) == "3"  # not read again
    assert prefetcher.take(5) is None  # not asked for any more
    prefetcher.forget()
    assert prefetcher.take(4) is None


def test_a_failure_is_left_to_whoever_needs_the_file():
    prefetcher = Prefetcher()

    def fails(item):
        raise StorageError("not now")

    prefetcher.ask(fails, ["a"])
    prefetcher.wait()
    assert prefetcher.take("a") is None


def test_after_a_fork_nothing_is_waited_for_that_the_parent_had_begun():
    prefetcher, go, started = Prefetcher(), threading.Event(), threading.Event()
    prefetcher.ask(lambda item: started.set() or go.wait(60), ["a"])
    assert started.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if prefetcher.take("a") is None else 1)
    go.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert prefetcher.take("a") is True


@pytest.mark.parametrize("reads_into", [True, False])
def test_a_copy_is_read_like_a_file_without_layers_between(tmp_path, monkeypatch, reads_into):
    monkeypatch.setattr(local, "_READS_INTO", reads_into and local._READS_INTO)
    store = ObjectStore.from_url(f"memory://{uuid.uuid4().hex}/cache", LocalCopies.create(tmp_path, 10**9))
    store.put_if_absent("a", LARGE)
    store.keep("a")
    file = store.open("a")
    assert type(file) is Copy and file.read_at(5, 10) == LARGE[5:15]
    with pytest.raises(DamagedError, match="ends after 10 of 11 bytes"):
        file.read_at(len(LARGE) - 10, 11)
    buffer = bytearray(10)
    file.read_into(5, memoryview(buffer))
    assert buffer == LARGE[5:15]
    with pytest.raises(DamagedError, match="ends after 9 of 10 bytes"):
        file.read_into(len(LARGE) - 9, memoryview(buffer))


def test_a_file_that_became_shorter_fills_no_buffer(tmp_path):
    (tmp_path / "a").write_bytes(LARGE)
    file = local.LocalFile(tmp_path / "a")
    os.truncate(tmp_path / "a", 15)
    with pytest.raises(DamagedError, match="ends after 10 of 11 bytes"):
        file.read_into(5, memoryview(bytearray(11)))
