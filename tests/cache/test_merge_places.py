"""Merging between folders and object stores, and stores that fail in the middle."""

import os
import uuid

import pytest

from embedonce.cache.errors import BusyError, DamagedError, StorageError
from embedonce.cache.layout import LOCK
from embedonce.cache.merging.inputs import MergeArgumentError
from embedonce.cache.merging.merge import merge, planned_merge
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.verify import verify
from tests.support.cache_parts import make_cache
from tests.support.memory_store import MemoryStore
from tests.support.shared_units import content

A = {"a": range(6), "b": range(3)}
B = {"b": range(1, 7), "d": range(5)}
WHOLE = {"a": range(6), "b": range(7), "d": range(5)}


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def memory_url() -> str:
    return f"memory://{uuid.uuid4().hex}/cache"


def test_inputs_and_target_may_be_anywhere(tmp_path, place):
    url = memory_url()
    make_cache(ObjectStore.from_url(url), B, backend="webdataset")
    inputs = [make_cache(tmp_path / "a", A), url]
    merge(inputs, place.location)
    before = place.files()
    assert content(place.location) == content(make_cache(tmp_path / "whole", WHOLE))
    assert verify(place.location).problems == []
    merge(inputs, place.location)
    assert place.files() == before
    merge([place.location], tmp_path / "back")  # and from there into a folder
    assert content(tmp_path / "back") == content(place.location) and place.files() == before


def test_a_bucket_gets_more_and_more(tmp_path, place):
    make_cache(place.location, A)
    merge([make_cache(tmp_path / "b", B)], place.location)
    assert content(place.location) == content(make_cache(tmp_path / "whole", WHOLE))


def test_a_url_is_recognized_as_the_target_and_as_the_same_input(tmp_path):
    url = memory_url()
    make_cache(ObjectStore.from_url(url), A)
    with pytest.raises(MergeArgumentError, match="the same folder"):
        merge([url], url)
    with pytest.raises(MergeArgumentError, match="given twice"):
        merge([url, url], tmp_path / "into")


class Failing(MemoryStore):
    """Fails at a write, and at all later ones until it is repaired. Names are those of a place of its own."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.fails_at, self.writes = fails_at, 0

    def location(self, name: str) -> str:
        return f"failing://cache/{name}"

    def _count(self) -> None:
        self.writes += 1
        if self.fails_at is not None and self.writes >= self.fails_at:
            raise StorageError("the network is down")

    def put_if_absent(self, name: str, data: bytes) -> None:
        self._count()
        super().put_if_absent(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self._count()
        super().replace(name, data)


def files(store: MemoryStore) -> dict[str, bytes]:
    return {name: data for name, data in store.files.items() if not name.startswith(LOCK)}


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_store_that_fails_at_any_write_holds_a_sound_cache_that_the_same_merge_completes(tmp_path, step):
    inputs = [make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", B, backend="webdataset")]
    whole = Failing()
    merge(inputs, whole)
    assert whole.writes > 30
    for fails_at in range(1, whole.writes + 1, step):
        store = Failing(fails_at)
        with pytest.raises(StorageError, match="the network is down"):
            merge(inputs, store)
        assert not has_cache(store) or verify(store).problems == [], fails_at
        store.fails_at = None
        merge(inputs, store)
        assert files(store) == files(whole), fails_at


def test_an_input_that_fails_to_be_read_is_no_damage_and_the_merge_goes_on_later(tmp_path, monkeypatch):
    store, a = Failing(), make_cache(tmp_path / "a", A)
    make_cache(store, B)
    opened, reads = MemoryStore.open, []

    def open_or_fail(self, name):
        if name.startswith("frames/"):
            reads.append(name)
            if len(reads) == 3:
                raise StorageError("the network is down")
        return opened(self, name)

    monkeypatch.setattr(MemoryStore, "open", open_or_fail)
    with pytest.raises(StorageError, match="the network is down"):
        merge([a, store], tmp_path / "into")
    merge([a, store], tmp_path / "into")
    assert content(tmp_path / "into") == content(make_cache(tmp_path / "whole", WHOLE))


def test_a_lock_that_is_lost_ends_the_merge(tmp_path, monkeypatch):
    store, a = Failing(), make_cache(tmp_path / "a", A)

    def lost(self) -> None:
        raise BusyError("the lock was lost")

    monkeypatch.setattr("tests.support.memory_store.MemoryLock.check", lost)
    with pytest.raises(BusyError, match="lost"):
        merge([a], store)
    assert open_reader(store).records == {}


def test_an_input_that_loses_a_shard_meanwhile_is_named(tmp_path):
    a, into = make_cache(tmp_path / "a", A), tmp_path / "into"
    shards = sorted((a / "frames").iterdir())
    assert planned_merge([a], into).num_rows == 9
    with pytest.raises(DamagedError, match=shards[-1].name):
        merge([a], into, on_progress=lambda rows: shards[-1].unlink(missing_ok=True))
    assert verify(into).problems == []
