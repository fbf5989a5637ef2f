"""The tests of every store, for the bucket that EMBEDONCE_STORE names, such as gs://my-bucket. Skipped without one."""

import os
import uuid

import pytest

from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.object_urls import parsed
from tests.support.conformance.store import StoreConformance

URL = os.environ.get("EMBEDONCE_STORE", "").rstrip("/")


@pytest.mark.skipif(not URL, reason="EMBEDONCE_STORE names no bucket")
class TestGivenStore(StoreConformance):
    @pytest.fixture(autouse=True)
    def settings(self):
        self._url = f"{URL}/embedonce-test-{uuid.uuid4().hex}"
        self.takes_equal_bytes_for_own = not parsed(URL)[1].has_marks
        yield
        store = ObjectStore.from_url(self._url)
        for name in store.list(""):
            store.delete_folder(name)
            store.delete(name)

    def make_store(self):
        return ObjectStore.from_url(self._url)
