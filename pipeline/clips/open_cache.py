"""Opening a cache for repeated random access: with local copies of its shards, if it is in an object store."""

import os
from pathlib import Path
from typing import Protocol

from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.registry import is_url, open_store

BYTES_PER_GIGABYTE = 10**9


class CacheSettings(Protocol):
    """The settings that say where a cache is, and where and how many local copies of its shards are kept."""

    @property
    def cache_dir(self) -> Path | str: ...

    @property
    def local_cache_dir(self) -> Path | None: ...

    @property
    def local_cache_gb(self) -> float: ...


def open_cache(config: CacheSettings) -> CacheReader:
    """A reader of the cache. StorageError if local copies are needed and their folder cannot be written."""
    copies = None
    if is_url(config.cache_dir) and config.local_cache_gb:
        folder = config.local_cache_dir or default_folder()
        copies = LocalCopies.create(folder, round(config.local_cache_gb * BYTES_PER_GIGABYTE))
    return open_reader(open_store(config.cache_dir, copies))


def default_folder() -> Path:
    """The folder of local copies in the user's cache folder, as the XDG Base Directory Specification names it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "embedonce"
