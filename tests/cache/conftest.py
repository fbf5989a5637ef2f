"""Places for caches: tests that ask for `place` run over a local folder and over a bucket of a local S3."""

import uuid
from collections.abc import Iterator

import pytest

from embedonce.cache.stores.object_store import ObjectStore
from tests.support.places import BucketPlace, LocalPlace, Place


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items) -> None:
    """Both back ends share all that they have to do with a store: with S3, the second one is left to the slow tests."""
    for item in items:
        chosen = item.callspec.params if hasattr(item, "callspec") else {}
        if (chosen.get("place"), chosen.get("backend")) == ("s3", "webdataset"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A local S3, to which all S3 clients of a test module are directed."""
    pytest.importorskip("moto", reason="moto is not installed: pip install -e '.[test]'")
    from tests.support.s3_server import s3_server

    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def s3_bucket(s3_endpoint) -> str:
    from tests.support.s3_server import new_bucket

    return new_bucket(s3_endpoint)


@pytest.fixture
def bucket_place(s3_endpoint, s3_bucket, monkeypatch) -> Iterator[BucketPlace]:
    """An empty prefix in a bucket. Leases that a test leaves to themselves are given back at its end."""
    leases, lock = [], ObjectStore.lock
    monkeypatch.setattr(ObjectStore, "lock", lambda *given, **named: leases.append(lock(*given, **named)) or leases[-1])
    yield BucketPlace(s3_endpoint, f"s3://{s3_bucket}/{uuid.uuid4().hex}")
    for lease in leases:
        lease.close()


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path) -> Place:
    """An empty place for a cache."""
    return LocalPlace(tmp_path / "cache") if request.param == "local" else request.getfixturevalue("bucket_place")
