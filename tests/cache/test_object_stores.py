"""Object stores pass the conformance tests: in memory, and on a local S3."""

import hashlib
import uuid
from contextlib import closing

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.store import open_reader
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.object_version import ObjectVersion
from embedonce.cache.stores.registry import open_store, register_store
from embedonce.cache.verify import verify
from tests.support.conformance.store import StoreConformance
from tests.support.s3_server import client, new_bucket, s3_server
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def s3():
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def bucket(s3):
    return new_bucket(s3)


class TestMemory(StoreConformance):
    between_processes = False

    def make_store(self):
        return ObjectStore.from_url(f"memory://{uuid.uuid4().hex}/cache")


class TestS3(StoreConformance):
    compares_versions = True

    @pytest.fixture(autouse=True)
    def server(self, bucket):
        self._url = f"s3://{bucket}/{uuid.uuid4().hex}"

    def make_store(self):
        return ObjectStore.from_url(self._url)


class TestS3ThroughLocalCopies(TestS3):
    between_processes = False  # nothing of it differs from the above

    @pytest.fixture(autouse=True)
    def copies(self, tmp_path):
        self._copies = LocalCopies.create(tmp_path / "copies", 1 << 26)

    def make_store(self):
        return ObjectStore.from_url(self._url, self._copies)


@pytest.fixture
def store(bucket):
    return ObjectStore.from_url(f"s3://{bucket}/{uuid.uuid4().hex}")


def test_an_upload_in_parts_never_replaces_either(store, monkeypatch):
    data = bytes(range(256)) * (256 << 10)  # 64 MiB: two parts
    store.put_if_absent("a", data)
    assert store.version("a").tag.endswith('-2"') and store.digest("a")[0] == len(data)
    store.replace_version("a", store.version("a"), data[::-1])
    assert store.digest("a") == (len(data), hashlib.sha256(data[::-1]).hexdigest())
    with pytest.raises(StorageError, match=r"cannot be moved.*exists"):
        store.put_if_absent("b", b"b")
        store.move("b", "a")
    assert store.get_range("a", len(data) - 2, 2) == b"\x01\x00"


def test_keys_that_no_file_of_a_cache_can_have_are_never_listed(s3, store):
    bucket, _, prefix = store.location("").removeprefix("s3://").partition("/")
    for key in ("frames/", "frames//a", "frames/a\\b", "frames/../b", "frames/c?versionId=1"):
        client(s3).put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=b"x")
    store.put_if_absent("frames/good", b"x")
    assert store.list("frames") == ["frames/good"] == list(store.versions("frames"))


def test_a_key_that_is_a_file_and_a_folder_is_refused(s3, store):
    store.put_if_absent("frames/a", b"x")
    store.put_if_absent("frames/a/b", b"x")
    with pytest.raises(DamagedError, match="frames/a is a file and a folder at once"):
        store.list("frames")


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(store):
    for name, replaced_with in (("a", b"y" * 2_000_000), ("b", None)):
        store.replace(name, b"x" * 2_000_000)
        file = store.open(name)
        assert file.read_at(0, 10) == b"x" * 10
        store.delete(name) if replaced_with is None else store.replace(name, replaced_with)
        with pytest.raises(StorageError, match="changed while it was read"):
            file.read_at(1_500_000, 10)


def test_small_reads_are_few_requests(store, monkeypatch):
    store.put_if_absent("a", b"x" * 4_000_000)
    file, ranges = store.open("a"), []
    read = ObjectVersion.read
    monkeypatch.setattr(ObjectVersion, "read", lambda self, *place: ranges.append(place) or read(self, *place))
    for offset in range(0, 4_000_000, 10_000):
        file.read_at(offset, 5_000)
    assert len(ranges) <= 6 and sum(stop - start for start, stop in ranges) < 4_300_000


def test_a_document_is_one_request(store, monkeypatch):
    store.put_if_absent("a", b"x" * 1000)
    monkeypatch.setattr(ObjectStore, "open", None)
    assert store.get("a") == b"x" * 1000


def test_what_was_left_of_uploads_is_deleted(s3, store):
    bucket, _, prefix = store.location("").removeprefix("s3://").partition("/")
    for key in ("frames/a", "other/b"):
        client(s3).create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{key}")
    store.recover(["frames"])
    left = [upload["Key"] for upload in client(s3).list_multipart_uploads(Bucket=bucket)["Uploads"]]
    assert f"{prefix}/other/b" in left and f"{prefix}/frames/a" not in left


def test_uploads_of_others_to_the_bucket_are_left_alone(s3, bucket):
    client(s3).create_multipart_upload(Bucket=bucket, Key="others")
    ObjectStore.from_url(f"s3://{bucket}").recover(["", "frames"])
    assert "others" in [upload["Key"] for upload in client(s3).list_multipart_uploads(Bucket=bucket)["Uploads"]]


def test_parents_are_the_prefixes_up_to_the_bucket(bucket):
    parents = list(ObjectStore.from_url(f"s3://{bucket}/a/b").parents())
    assert [parent.location("") for parent in parents] == [f"s3://{bucket}/a", f"s3://{bucket}"]
    parents[0].put_if_absent("cache.json", b"x")
    assert ObjectStore.from_url(f"s3://{bucket}/a").exists("cache.json")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp3://a/b", "'ftp3' is not one of s3, "),
        ("s3:///b", "has no bucket"),
        ("s3://key:secret@a/b", "must not contain passwords"),
        ("s3://a/../b", "has empty"),
        ("s3://a//b", "empty"),
        ("s3://a/b?c=d", "characters that cannot be used"),
    ],
)
def test_urls_of_no_store_are_refused_in_a_sentence(url, message):
    with pytest.raises(StorageError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "extra"), [("gs", "gs"), ("az", "azure"), ("abfs", "azure")])
def test_a_missing_library_is_named(monkeypatch, scheme, extra):
    import fsspec

    def fails(*arguments, **options):
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fails)
    with pytest.raises(StorageError, match=rf'pip install "embedonce\[{extra}\]"'):
        open_store(f"{scheme}://a/b")


def test_a_missing_bucket_is_named(s3):
    store = ObjectStore.from_url("s3://no-such-bucket-here/a")
    calls = [store.check_writable, lambda: store.get("a"), lambda: store.list(""), lambda: store.exists("a")]
    for call in (*calls, lambda: store.open("a"), lambda: store.lock(".lock")):
        with pytest.raises(StorageError, match="the bucket no-such-bucket-here does not exist"):
            call()


def test_schemes_are_registered_once():
    for scheme in ("s3", "memory", "X", "a b", ""):
        with pytest.raises(ValueError, match=r"scheme|registered already"):
            register_store(scheme, ObjectStore.from_url)


def test_a_cache_in_a_bucket_is_written_read_verified_and_converted(store, tmp_path):
    url, local = store.location(""), tmp_path / "local"
    for root in (url, local):
        make_tiny_cache(root, 3)
    with closing(open_reader(url)) as ours, closing(open_reader(local)) as theirs:
        assert list(ours.records) == list(theirs.records)
        for unit in ours.records:
            np.testing.assert_array_equal(ours.all_embeddings(unit), theirs.all_embeddings(unit))
            np.testing.assert_array_equal(ours.all_logits("tiny", unit), theirs.all_logits("tiny", unit))
    found, expected = verify(url), verify(local)
    assert [problem.unit for problem in found.problems] == [problem.unit for problem in expected.problems]
    assert (found.num_rows, found.num_shards, found.extra) == (expected.num_rows, expected.num_shards, [])
    assert convert(url, tmp_path / "tars", "webdataset") == convert(local, f"{url}-tars", "webdataset")
