"""The stores of shards: what is published is whole and never replaced, and errors tell damage from failing reads."""

import errno
import hashlib
import os

import pytest

from embedonce.cache.errors import AlreadyCommittedError, DamagedError, StorageError
from embedonce.cache.stores.base import StoredFileIO
from embedonce.cache.stores.local import LocalStore
from tests.support.memory_store import MemoryStore


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    (tmp_path / "frames").mkdir()
    return LocalStore(tmp_path) if request.param == "local" else MemoryStore()


def test_a_published_file_is_read_whole_and_in_ranges(store):
    store.put_if_absent("frames/a", b"0123456789")
    assert store.get("frames/a") == b"0123456789" and store.exists("frames/a")
    assert store.digest("frames/a") == (10, hashlib.sha256(b"0123456789").hexdigest())
    file = store.open("frames/a")
    assert file.size == 10 and file.read_at(3, 4) == b"3456" and file.read_at(10, 0) == b""
    with pytest.raises(DamagedError, match="ends after 2 of 3 bytes"):
        file.read_at(8, 3)
    file.close()
    file.close()


def test_publishing_never_replaces_and_replacing_does(store):
    store.put_if_absent("frames/a", b"first")
    with pytest.raises(AlreadyCommittedError):
        store.put_if_absent("frames/a", b"second")
    assert store.get("frames/a") == b"first"
    store.replace("frames/a", b"second")
    assert store.get("frames/a") == b"second"


def test_files_are_listed_moved_and_removed(store):
    for name in ("frames/b.x", "frames/a.x", "frames/c.y"):
        store.put_if_absent(name, name.encode())
    assert store.list("frames", ".x") == ["frames/a.x", "frames/b.x"] and store.list("nowhere") == []
    store.move("frames/a.x", "removed/000001/frames/a.x")
    assert store.list("frames") == ["frames/b.x", "frames/c.y"]
    assert store.get("removed/000001/frames/a.x") == b"frames/a.x"
    with pytest.raises(StorageError):
        store.move("frames/b.x", "frames/c.y")
    store.delete("frames/b.x")
    store.delete("frames/b.x")
    assert not store.exists("frames/b.x") and store.get("frames/c.y") == b"frames/c.y"


def test_a_missing_file_is_damage(store):
    for call in (store.open, store.get, store.digest):
        with pytest.raises(DamagedError, match="missing"):
            call("frames/a")


def test_a_stored_file_is_a_file_object(store):
    store.put_if_absent("frames/a", b"0123456789")
    with StoredFileIO(store.open("frames/a")) as file:
        assert file.read(3) == b"012" and file.tell() == 3
        assert file.seek(-2, os.SEEK_END) == 8 and file.read() == b"89" and file.read() == b""
        assert file.seek(1) == 1 and file.seek(2, os.SEEK_CUR) == 3 and file.read(1) == b"3"


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
