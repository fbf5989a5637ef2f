"""Local copies that are not synced to the disk: after a restart, none of which a part is missing is ever read."""

import errno
import hashlib
import os
import uuid

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.errors import StorageError
from embedonce.cache.ledger import Ledger
from embedonce.cache.store import open_reader
from embedonce.cache.stores import copy_file
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.copy_file import TRAILER_BYTES, Copy
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_store import ObjectStore
from tests.support.tiny_cache import make_tiny_cache

DATA = hashlib.shake_128(b"copy").digest(200_000)
VERSION = FileVersion(len(DATA), "1")
PAGE = 4096


def zeroed(data: bytes, start: int, stop: int) -> bytes:
    return data[:start] + bytes(len(data[start:stop])) + data[stop:]


TORN = {  # what may be left of a file whose size was on the disk, but not all of its pages
    "nothing": lambda data: bytes(len(data)),
    "all but one page": lambda data: zeroed(data, 3 * PAGE, 4 * PAGE),
    "the first page": lambda data: zeroed(data, PAGE, len(data)),
    "the last pages": lambda data: zeroed(data, 0, len(data) - 2 * PAGE),
    "all but the end": lambda data: zeroed(data, len(data) - TRAILER_BYTES, len(data)),
    "one wrong bit": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
}


def power_cut(monkeypatch) -> None:
    """As if this machine had been started again."""
    name = uuid.uuid4().hex
    monkeypatch.setattr(copy_file, "boot_id", lambda: name)


@pytest.fixture
def copies(tmp_path):
    return LocalCopies.create(tmp_path / "copies", 10**9)


def made(copies) -> Copy:
    return copies.make("a", VERSION, [DATA])


def path_of(copies):
    (path,) = copies.folder.glob("*.copy")
    return path


@pytest.mark.parametrize("left", TORN)
def test_a_torn_copy_is_dropped_when_it_is_opened(copies, monkeypatch, left):
    made(copies)
    path = path_of(copies)
    power_cut(monkeypatch)
    path.write_bytes(TORN[left](path.read_bytes()))
    assert copies.open("a", VERSION) is None and not path.exists()
    assert made(copies).read_at(0, len(DATA)) == DATA


def test_a_whole_copy_is_compared_once_after_each_start_and_read(copies, monkeypatch):
    compared, digest = [], Copy.digest
    monkeypatch.setattr(Copy, "digest", lambda copy: compared.append(1) or digest(copy))
    made(copies)
    for expected in (0, 1, 2):
        for _ in range(2):
            assert copies.open("a", VERSION).read_at(0, len(DATA)) == DATA
        assert len(compared) == expected
        power_cut(monkeypatch)


def test_a_copy_that_cannot_be_marked_is_read_and_compared_again(copies, monkeypatch):
    made(copies)
    power_cut(monkeypatch)

    def refused(*arguments):
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(os, "pwrite", refused)
    for _ in range(2):
        assert copies.open("a", VERSION).read_at(0, 10) == DATA[:10]


def test_copies_are_not_synced_where_restarts_are_noticed_and_synced_elsewhere(copies, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(copy_file, "boot_id", lambda: "known")
    made(copies)
    assert synced == []
    copies.drop("a", VERSION)
    monkeypatch.setattr(copy_file, "boot_id", lambda: None)
    made(copies)
    assert len(synced) == 1
    monkeypatch.setattr(Copy, "digest", lambda copy: pytest.fail("it was on the disk before it had this name"))
    assert copies.open("a", VERSION).read_at(0, len(DATA)) == DATA


def test_what_a_network_file_system_could_not_write_leaves_no_copy(copies, monkeypatch):
    """Such file systems report it when a descriptor of the file is closed."""
    dup, close, duplicates = os.dup, os.close, []

    def noted(handle):
        duplicates.append(dup(handle))
        return duplicates[-1]

    def failing(handle):
        close(handle)
        if handle in duplicates:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "dup", noted)
    monkeypatch.setattr(os, "close", failing)
    code = errno.EDQUOT
    assert made(copies) is None
    code = errno.EIO
    with pytest.raises(StorageError, match="cannot be written"):
        made(copies)
    assert list(copies.folder.glob("*.copy")) == list(copies.folder.glob("*.part")) == []


@pytest.mark.parametrize("left", TORN)
@pytest.mark.parametrize("backend", ["hdf5", "webdataset"])
def test_a_torn_copy_is_fetched_again_and_is_no_damage_of_the_cache(tmp_path, monkeypatch, backend, left):
    """Also where a ledger trusts the shard, as one of this run does that read it through another folder of copies."""
    url = f"memory://{uuid.uuid4().hex}/cache"
    convert(make_tiny_cache(tmp_path / "cache", 2), url, backend)

    def opened():
        reader = open_reader(ObjectStore.from_url(url, LocalCopies.create(tmp_path / "copies", 10**9)))
        reader.share_ledger(Ledger(tmp_path / "ledger"))
        return reader

    expected = opened().batch("000000")
    (path,) = (tmp_path / "copies").glob("*.copy")
    power_cut(monkeypatch)
    path.write_bytes(TORN[left](path.read_bytes()))
    found = opened().batch("000000")
    assert found.jpegs == expected.jpegs
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
