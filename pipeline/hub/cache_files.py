"""The files of a cache that are shared, under the names that they have in it, without what only concerns its maker."""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import ColumnPaths, Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import Record
from embedonce.cache.stores.base import FileVersion, Store
from embedonce.cache.stores.local import LocalStore

_UID, _HEX = "[A-Za-z0-9][A-Za-z0-9_-]{0,118}", "[0-9a-f]{64}"
_NUMBER, _SHARD = r"\d{6,12}\.json", r"\d{6,12}\.[A-Za-z0-9]{1,16}"
_NAMES = (
    r"cache\.json",
    rf"manifest(?:\.json|\.continued/{_HEX}\.json)",
    rf"(?:plan|records)/{_NUMBER}",
    rf"frames/{_SHARD}",
    r"(?:quarantine|withdrawn)/[0-9a-f]{32}\.json",
    rf"labels/{_UID}/(?:label_set|texts)(?:\.json|\.continued/{_HEX}\.json)",
    rf"labels/{_UID}/(?:tensors|texts\.vectors/{_HEX})\.safetensors",
    rf"labels/{_UID}/(?:clips|revisions)/(?:{_NUMBER}|\d{{6,12}}\.continued/{_HEX}\.json)",
    rf"labels/{_UID}/(?:logits/{_SHARD}|records/{_NUMBER})",
    rf"teachers/{_UID}/(?:teacher\.json|columns/{_SHARD}|records/{_NUMBER})",
)
_CACHE_FILE = re.compile("|".join(_NAMES), re.ASCII)
_RECORD = re.compile(rf"(?:(?:teachers|labels)/{_UID}/)?records/{_NUMBER}", re.ASCII)
PRIVATE_PROVENANCE = ("host",)  # fields of a record's provenance that are not shared


@dataclass(frozen=True)
class SharedFile:
    """A file to share: its name in the cache and in a repository, size in bytes, and SHA-256.

    blob_id: what git names it by; empty for shards, which are stored as large files.
    """

    name: str
    size: int
    sha256: str
    blob_id: str = ""


def is_cache_file(name: str) -> bool:
    """Whether a shared cache may have a file of this relative name."""
    return _CACHE_FILE.fullmatch(name) is not None


class CacheFiles:
    """The shared files of one cache. extra: names of what verification found that nothing refers to."""

    def __init__(self, reader: CacheReader, extra: Collection[str] = ()):
        self._store: Store = reader.store
        self._shards = dict(_shards(reader))
        found = list(_walk(self._store, "", frozenset(extra)))
        self.names = [name for name in found if is_cache_file(name) and (name in self._shards or not _is_shard(name))]
        self.left_out = sorted({*found, *extra} - set(self.names))
        records = {name for name in self.names if _RECORD.fullmatch(name)}
        self._has_all_shards = records == set(_records(reader))
        self._versions = self._current_versions()

    def shared(self) -> list[SharedFile]:
        """All files, shards first. Documents are read."""
        shards = [self._shards[name] for name in self.names if name in self._shards]
        return [*shards, *(_described(name, self.content(name)) for name in self.names if name not in self._shards)]

    def content(self, name: str) -> bytes | Path:
        """What is shared under this name: bytes, or the path of a shard in a local cache."""
        if name not in self._shards:
            return _without_private(name, self._store.get(name))
        return self._store.root / name if isinstance(self._store, LocalStore) else self._store.get(name)

    def have_changed(self) -> bool:
        """Whether a file was replaced or deleted since this was made, or records were committed just before."""
        try:
            return not self._has_all_shards or self._current_versions() != self._versions
        except DamagedError:
            return True

    def _current_versions(self) -> dict[str, FileVersion]:
        return {name: self._store.version(name) for name in self.names}


def _columns(reader: CacheReader) -> Iterator[tuple[ColumnPaths, dict[str, Record]]]:
    """The folders of all columns of shards, and their records by unit."""
    layout = Layout(reader.store)
    yield layout.frame_paths(), reader.records
    for name in reader.label_sets():
        yield layout.logit_paths(name), reader.label_records(name)
    for name in reader.teachers.names():
        yield layout.teacher_paths(name), reader.teachers.records(name)


def _records(reader: CacheReader) -> Iterator[str]:
    """The names of all records that a reader knows."""
    for paths, records in _columns(reader):
        yield from ((paths.records / f"{unit}.json").relative for unit in records)


def _shards(reader: CacheReader) -> Iterator[tuple[str, SharedFile]]:
    """name -> shard, of all columns, as their records describe them."""
    for paths, records in _columns(reader):
        for path in paths.shards.list():
            record = records.get(path.stem)
            if record is not None and record.num_rows:
                yield path.relative, SharedFile(path.relative, record.num_bytes, record.sha256)


def _walk(store: Store, folder: str, extra: frozenset[str]) -> Iterator[str]:
    """The names of all files, hidden ones and what is in extra left out."""
    for name in store.list(folder):
        if name.rpartition("/")[2].startswith(".") or name in extra:
            continue
        if store.is_folder(name):
            yield from _walk(store, name, extra)
        else:
            yield name


def _is_shard(name: str) -> bool:
    return not name.endswith((".json", ".safetensors"))


def _described(name: str, data: bytes | Path) -> SharedFile:
    assert isinstance(data, bytes)
    return SharedFile(name, len(data), sha256(data), git_blob_id(data))


def git_blob_id(data: bytes) -> str:
    """What git names a file of this content by."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _without_private(name: str, data: bytes) -> bytes:
    """The bytes of a document; a record without the fields of PRIVATE_PROVENANCE."""
    if not _RECORD.fullmatch(name):
        return data
    document = documents.parse(data, name)
    kept = {field: value for field, value in document["provenance"].items() if field not in PRIVATE_PROVENANCE}
    if kept == document["provenance"]:
        return data
    return documents.serialize_with_checksum({**document, "provenance": kept})
