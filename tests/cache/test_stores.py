"""Stores in folders: they pass the conformance tests, and errors tell damage from failing reads."""

import errno
import os

import pytest

from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.stores.local import LocalStore
from tests.support.conformance.store import StoreConformance
from tests.support.memory_store import MemoryStore


class TestALocalFolder(StoreConformance):
    checks_names, compares_versions = False, True

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self._folder = tmp_path

    def make_store(self):
        return LocalStore(self._folder)


class TestTheStoreOfOtherTests(StoreConformance):
    between_processes, checks_names = False, False

    def make_store(self):
        return MemoryStore()


@pytest.mark.parametrize("root", [".", "", "cache", "cache/", "/", "/a//b", "a/../b"])
def test_a_location_is_the_path(root):
    store, names = LocalStore(root), ("", "a", "a/b.json")
    assert [*map(store.location, names)] == [str(store.path(name)) for name in names]


@pytest.mark.parametrize("make", [lambda path: os.symlink("/etc/hostname", path), os.mkfifo, os.mkdir])
def test_links_pipes_and_folders_are_never_opened(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(DamagedError, match=r"link|not a regular file"):
        LocalStore(tmp_path).open("a")


def test_a_read_that_fails_is_not_called_damage(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.put_if_absent("a", b"data")
    file = store.open("a")

    def fails(handle, size, offset):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fails)
    with pytest.raises(StorageError, match="cannot be read: Input/output error"):
        file.read_at(0, 4)


def test_a_read_that_returns_less_than_it_should_is_continued(tmp_path, monkeypatch):
    store, pread = LocalStore(tmp_path), os.pread
    store.put_if_absent("a", b"0123456789")
    monkeypatch.setattr(os, "pread", lambda handle, size, offset: pread(handle, min(size, 3), offset))
    assert store.get("a") == b"0123456789"
