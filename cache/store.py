"""Opening a cache for reading or writing, and the rule that a cache has one identity."""

from pathlib import Path

from embedonce.cache import commit, documents
from embedonce.cache.catalog import Catalog
from embedonce.cache.errors import AlreadyCommittedError, IdentityMismatchError, NotACacheError, StorageError
from embedonce.cache.identity_document import differences, identity_document, identity_from
from embedonce.cache.layout import Layout, read_identity
from embedonce.cache.opening import refuse_locked
from embedonce.cache.plan_age import check_age, last_clip_part
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.stores.registry import Location, open_store
from embedonce.cache.writer import CacheWriter

__all__ = [
    "check_identity",
    "check_place",
    "claim",
    "has_cache",
    "open_reader",
    "open_writer",
    "read_identity",
    "refuse_busy",
    "refuse_nesting",
]


def has_cache(where: Location) -> bool:
    """Whether there is a cache at a location: whether it has a cache.json."""
    return Layout.at(where).identity.exists()


def claim(where: Location, identity: CacheIdentity) -> bool:
    """Give a location this identity, or check that it has it already. Returns True if the cache is new.

    IdentityMismatchError, which lists the fields that differ, if it has another identity; nothing is changed then.
    """
    layout = Layout.at(where)
    is_new = not layout.identity.exists() and _claim_first(layout, identity)
    if not is_new:
        check_identity(identity, read_identity(layout.store), layout.root)
    for folder in layout.folders:
        folder.make_folder()
    return is_new


def _claim_first(layout: Layout, identity: CacheIdentity) -> bool:
    """Publish the identity of a new cache. False if another process has just done so. Errors as in check_place()."""
    try:
        check_place(layout.store)
        data = documents.serialize_verified(identity_document(identity), identity_from, str(layout.identity))
        layout.root.make_folder()
        # Before any other file: a run that is killed right after it leaves a cache, not a folder of unknown files
        layout.identity.put_if_absent(data)
    except (NotACacheError, AlreadyCommittedError, StorageError):  # its writer deletes temporary files, ours too
        if layout.identity.exists():
            return False
        raise
    return True


def check_identity(requested: CacheIdentity, stored: CacheIdentity, root: object) -> None:
    """IdentityMismatchError, which lists the fields that differ, if there are any. root: shown as the cache's place."""
    if differing := differences(requested, stored):
        raise IdentityMismatchError(
            f"{root} was made with other settings (in the cache -> requested): {'; '.join(differing)}. "
            "Nothing was changed; use another --cache-dir for these settings, or the options that it was made with"
        )


def check_place(where: Location) -> None:
    """NotACacheError unless a new cache may be created at a location: it has other files, or is inside a cache."""
    layout = Layout.at(where)
    _refuse_other_files(layout)
    refuse_nesting(layout.store)


def _refuse_other_files(layout: Layout) -> None:
    names = [path.name for path in layout.root.list() if not path.name.startswith(commit.TEMP_PREFIX)]
    if names:
        raise NotACacheError(
            f"{layout.root} is not empty and not a cache (it holds {', '.join(names[:3])}); choose another folder"
        )


def refuse_nesting(where: Location) -> None:
    """NotACacheError if a location is inside a cache, also through symbolic links."""
    store = open_store(where)
    for parent in store.parents():
        if has_cache(parent):
            raise NotACacheError(
                f"{store.location('')} is inside the cache {parent.location('')}; choose a folder outside of it"
            )


def open_writer(
    where: Location, identity: CacheIdentity, catalog: Catalog | None = None, is_shared: bool = False
) -> CacheWriter:
    """A writer of the cache at a location, which is created or must have this identity already.

    catalog: of a reader of this cache in this process, so that nothing is parsed twice. is_shared: other writers that
    share it, on this machine or others, may write it at the same time. BusyError if another process writes the cache,
    unless both share it.
    """
    store = open_store(where)
    claim(store, identity)
    return CacheWriter(store, identity, catalog, is_shared)


def refuse_busy(where: Location, is_shared: bool = False) -> None:
    """BusyError while another process writes the cache at a location, unless both are shared, as in open_writer()."""
    refuse_locked(Layout.at(where), is_shared)


def open_reader(where: Location) -> CacheReader:
    """A reader of the cache at a location: a folder or a URL. NotACacheError if it is not a cache.

    DamagedError, which names the command that helps, if its plan is missing or older than what was committed.
    """
    if isinstance(where, Path) and where.is_file():
        raise NotACacheError(f"{where} is a file; name the folder of a cache")
    layout = Layout.at(where)
    last_part = last_clip_part(layout)
    reader = CacheReader(layout.store, read_identity(layout.store))
    check_age(layout, reader.records, last_part)
    return reader
