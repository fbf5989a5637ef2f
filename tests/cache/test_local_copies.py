"""Local copies of stored files: bounded, shared by processes, whole or absent, and never trusted."""

import errno
import hashlib
import multiprocessing
import os
import uuid

import pytest

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.copy_file import TRAILER_BYTES
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.prefetcher import MAX_PENDING, Prefetcher

SIZE = 10_000
DATA = {name: hashlib.shake_128(name.encode()).digest(SIZE) for name in "abcdef"}
COPY = SIZE + TRAILER_BYTES


@pytest.fixture
def copies(tmp_path):
    return LocalCopies.create(tmp_path / "copies", 3 * COPY)


def make(copies, name: str, blocks=None):
    version = FileVersion(SIZE, name)
    return copies.make(name, version, [DATA[name][:4000], DATA[name][4000:]] if blocks is None else blocks)


def is_kept(copies, name: str) -> bool:
    return copies.open(name, FileVersion(SIZE, name)) is not None


def used_bytes(copies) -> int:
    return sum(path.stat().st_size for path in copies.folder.iterdir())


def test_a_copy_is_the_file(copies):
    assert not is_kept(copies, "a")
    copy = make(copies, "a")
    assert copy.size == SIZE and copy.read_at(3990, 20) == DATA["a"][3990:4010]
    assert copy.digest() == hashlib.sha256(DATA["a"]).hexdigest()
    assert copies.open("a", FileVersion(SIZE, "another")) is None and copies.open("b", FileVersion(SIZE, "a")) is None


def test_the_copies_used_longest_ago_make_room(copies):
    for order, name in enumerate("abc"):
        make(copies, name)
        path = copies._path(name, FileVersion(SIZE, name))
        os.utime(path, ns=(order, order))
    assert is_kept(copies, "a")  # used now
    make(copies, "d")
    assert [is_kept(copies, name) for name in "abcd"] == [True, False, True, True]
    assert used_bytes(copies) <= copies.max_bytes


def test_a_file_that_is_too_large_is_not_kept(tmp_path):
    copies = LocalCopies.create(tmp_path / "copies", COPY - 1)
    assert make(copies, "a", iter(())) is None and used_bytes(copies) == 0


def test_an_interrupted_copy_leaves_nothing(copies):
    def interrupted():
        yield DATA["a"][:4000]
        raise StorageError("the network is down")

    with pytest.raises(StorageError, match="network is down"):
        make(copies, "a", interrupted())
    with pytest.raises(StorageError, match="4000 bytes arrived instead of 10000"):
        make(copies, "a", [DATA["a"][:4000]])
    assert not is_kept(copies, "a") and used_bytes(copies) == 0


def test_what_a_killed_process_left_is_deleted_and_does_not_disturb(copies):
    for name in ("a", "b"):
        copies._path(name, FileVersion(SIZE, name)).with_suffix(".part").write_bytes(b"x" * 50_000)
    assert make(copies, "a").digest() == hashlib.sha256(DATA["a"]).hexdigest()
    assert used_bytes(copies) == COPY


def test_processes_that_want_the_same_file_read_it_once(copies, tmp_path):
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_make_slowly, args=(copies, tmp_path)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4 and len(list(tmp_path.glob("read-*"))) == 1


def _make_slowly(copies, folder):
    def blocks():
        (folder / f"read-{os.getpid()}").touch()
        for start in range(0, SIZE, 100):
            yield DATA["a"][start : start + 100]

    assert make(copies, "a", blocks()).digest() == hashlib.sha256(DATA["a"]).hexdigest()


def test_a_truncated_copy_is_dropped_and_a_changed_one_is_noticed(copies):
    make(copies, "a")
    path = copies._path("a", FileVersion(SIZE, "a"))
    path.write_bytes(path.read_bytes()[:-100])
    assert not is_kept(copies, "a") and not path.exists()
    make(copies, "a")
    spoil(path)
    assert copies.open("a", FileVersion(SIZE, "a")).digest() is None


def spoil(path):
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def test_a_full_disk_is_no_error_and_other_failures_are_a_sentence(copies, monkeypatch, caplog):
    write = os.write

    def fails(code):
        def failing(handle, data):
            raise OSError(code, os.strerror(code))

        return failing

    monkeypatch.setattr(os, "write", fails(errno.ENOSPC))
    assert make(copies, "a") is None and "is full: a is read without a local copy" in caplog.text
    monkeypatch.setattr(os, "write", fails(errno.EIO))
    with pytest.raises(StorageError, match=r"local copies cannot be written to .*Input/output error"):
        make(copies, "a")
    monkeypatch.setattr(os, "write", write)
    assert used_bytes(copies) == 0


# -- through a store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    copies = LocalCopies.create(tmp_path / "copies", 50_000_000)
    return ObjectStore.from_url(f"memory://{uuid.uuid4().hex}/cache", copies)


LARGE = hashlib.shake_128(b"large").digest(6_000_000)


def kept(store):
    return sorted(store._copies.folder.glob("*.copy"))


def reads(store, monkeypatch) -> list:
    """Ranges that are read from the store from now on."""
    file_system, _ = store._requests.open()
    found, cat_file = [], file_system.cat_file
    monkeypatch.setattr(
        file_system,
        "cat_file",
        lambda path, start=None, end=None: found.append((start, end)) or cat_file(path, start, end),
    )
    return found


def test_a_file_is_kept_once_more_than_a_third_was_read(store, monkeypatch):
    store.put_if_absent("a", LARGE)
    file = store.open("a")
    for offset in (5_000_000, 1_000_000, 3_000_000):
        assert file.read_at(offset, 600_000) == LARGE[offset : offset + 600_000]
    assert kept(store) == []
    file.read_at(0, 600_000)
    found = reads(store, monkeypatch)
    assert file.read_at(4_000_000, 10) == LARGE[4_000_000:4_000_010] and len(kept(store)) == 1
    found.clear()
    assert store.open("a").read_at(17, 100_000) == LARGE[17:100_017]
    assert store.digest("a") == (len(LARGE), hashlib.sha256(LARGE).hexdigest()) and found == []


def test_a_digest_and_all_reads_after_it_are_one_download(store, monkeypatch):
    store.put_if_absent("a", LARGE)
    found = reads(store, monkeypatch)
    store.digest("a")
    store.open("a").read_at(0, len(LARGE))
    assert sum(end - start for start, end in found) == len(LARGE)


def test_a_replaced_file_is_not_read_from_the_old_copy(store):
    store.put_if_absent("a", LARGE)
    store.digest("a")
    store.replace("a", LARGE[::-1])
    assert store.digest("a")[1] == hashlib.sha256(LARGE[::-1]).hexdigest()
    assert store.open("a").read_at(0, 10) == LARGE[::-1][:10]


def test_a_copy_is_of_one_version(store):
    store.put_if_absent("a", LARGE)
    file = store.open("a")
    file.read_at(0, 10)
    store.replace("a", LARGE[::-1])
    with pytest.raises(StorageError, match="changed while it was read"):
        file.copy()
    with pytest.raises(StorageError, match="changed while it was read"):
        file.read_at(4_000_000, 10)
    assert kept(store) == []


def test_a_damaged_copy_is_read_again_once(store):
    store.put_if_absent("a", LARGE)
    store.digest("a")
    spoil(kept(store)[0])
    assert store.digest("a")[1] == hashlib.sha256(LARGE).hexdigest()
    assert store.forget("a") and not store.forget("a") and kept(store) == []


def test_files_are_fetched_before_they_are_needed(store):
    names = [f"{number:02d}" for number in range(MAX_PENDING + 2)]
    for name in names:
        store.put_if_absent(name, LARGE[:1000] + name.encode())
    prefetcher = Prefetcher()
    prefetcher.ask(store.keep, ["nothing", *names])
    prefetcher.wait()
    assert len(kept(store)) == MAX_PENDING - 1  # the first ones, one of which is missing
    prefetcher.ask(store.keep, names[-1:])
    prefetcher.wait()
    assert len(kept(store)) == MAX_PENDING


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        LocalCopies.create(tmp_path / "file" / "copies", 1000)
