"""Garbage of the HDF5 library in one thread never stops a read of another thread that waits for it."""

import gc
import threading

import h5py
import numpy as np
import pytest

from embedonce.cache.collection import no_collection
from embedonce.cache.errors import StorageError
from embedonce.cache.store import open_reader
from embedonce.cache.stores.base import StoredFile
from embedonce.cache.stores.local import LocalStore
from tests.support.tiny_cache import make_tiny_cache

STUCK_SEC = 5.0


class CollectingFile(StoredFile):
    """Each read waits for another thread, which makes enough garbage to start a collection."""

    def __init__(self, file: StoredFile):
        self._file = file

    @property
    def size(self) -> int:
        return self._file.size

    def read_at(self, offset: int, size: int) -> bytes:
        garbage = [h5py.h5p.create(h5py.h5p.FILE_ACCESS)]
        garbage.append(garbage)
        del garbage
        thread = threading.Thread(target=make_garbage, daemon=True)
        thread.start()
        thread.join(STUCK_SEC)
        if thread.is_alive():
            raise StorageError("the other thread is stuck")
        return self._file.read_at(offset, size)

    def close(self) -> None:
        self._file.close()


def make_garbage() -> None:
    for _ in range(2000):
        cycle: list = []
        cycle.append(cycle)


class CollectingStore(LocalStore):
    def open(self, name: str) -> StoredFile:
        file = super().open(name)
        return CollectingFile(file) if name.endswith(".h5") else file


@pytest.fixture
def frequent_collection():
    before = gc.get_threshold()
    gc.set_threshold(100, 1, 1)
    yield
    gc.set_threshold(*before)


def test_a_read_that_waits_for_a_thread_is_not_stopped_by_its_garbage(tmp_path, frequent_collection):
    make_tiny_cache(tmp_path / "c")
    reader = open_reader(CollectingStore(tmp_path / "c"))
    unit = next(iter(reader.records))
    assert np.isfinite(reader.all_embeddings(unit)).all()
    assert gc.isenabled()
    reader.close()


def test_collection_begins_again_when_the_last_one_leaves():
    with no_collection():
        with no_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
