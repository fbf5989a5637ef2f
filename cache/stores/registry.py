"""The store that a location names: a local folder, or a URL such as s3://bucket/prefix."""

import re
from pathlib import Path

from embedonce.cache.stores.base import Store
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.stores.stored_path import StoredPath

Location = Path | str | Store  # where a cache is
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(where: Path | str) -> bool:
    """Whether this names an object store and not a local folder."""
    return isinstance(where, str) and _URL.match(where) is not None


def stored_path(where: Location) -> StoredPath:
    """The folder at a location, as a path in its store."""
    return StoredPath(open_store(where))


def address_of(store: Store) -> Path | str:
    """What --cache-dir must be for this store: the path of a local folder, or a URL."""
    return store.root if isinstance(store, LocalStore) else store.location("")


def open_store(where: Location) -> Store:
    """The store at a location; nothing is read or created. StorageError if its kind is unknown or not installed."""
    if isinstance(where, Store):
        return where
    if is_url(where):
        from embedonce.cache.stores.object_store import ObjectStore  # fsspec is imported only for URLs

        return ObjectStore.from_url(str(where))
    return LocalStore(Path(where))
