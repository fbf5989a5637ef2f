"""Files of a cache on the local disk, as the cache itself refers to them."""

from pathlib import Path

from embedonce.cache.stores.local import LocalStore
from embedonce.cache.stores.stored_path import StoredPath


def stored(path: Path) -> StoredPath:
    """A file or folder of the local disk."""
    return StoredPath(LocalStore(path.parent), path.name)


def on_disk(path: StoredPath) -> Path:
    """The path on the local disk of a file or folder of a cache."""
    return Path(str(path))
