"""The store that a location names: a local folder, or a URL such as s3://bucket/prefix."""

import re
from collections.abc import Callable
from pathlib import Path

from embedonce.cache.stores.base import Store
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.stored_path import StoredPath

StoreFactory = Callable[[str], Store]
_FACTORIES: dict[str, StoreFactory] = {}  # by scheme, of stores that were registered
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


def register_store(scheme: str, factory: StoreFactory) -> None:
    """Open URLs of a scheme, such as "ftp", with factory(url). ValueError if it is no scheme, or used already."""
    from embedonce.cache.stores.object_urls import SCHEMES

    if not is_url(f"{scheme}://") or scheme != scheme.lower():
        raise ValueError(f"{scheme!r} is not a URL scheme of two or more small letters and digits")
    if scheme in SCHEMES or scheme in _FACTORIES:
        raise ValueError(f"stores of {scheme}:// are registered already")
    _FACTORIES[scheme] = factory


def open_store(where: Location, copies: LocalCopies | None = None) -> Store:
    """The store at a location; nothing is read or created. StorageError if its kind is unknown or not installed.

    copies: where an object store keeps whole files that were read for a good part; None keeps none.
    """
    if isinstance(where, Store):
        return where
    if is_url(where) and (factory := _FACTORIES.get(str(where).partition("://")[0].lower())):
        return factory(str(where))
    if is_url(where):
        from embedonce.cache.stores.object_store import ObjectStore  # fsspec is imported only for URLs

        return ObjectStore.from_url(str(where), copies)
    return LocalStore(Path(where))
