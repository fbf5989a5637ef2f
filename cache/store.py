"""Opening a cache for reading or writing, and the rule that a cache has one identity."""

import contextlib
from pathlib import Path

from embedonce.cache import commit, documents
from embedonce.cache.errors import IdentityMismatchError, NotACacheError
from embedonce.cache.identity_document import differences, identity_document, identity_from
from embedonce.cache.layout import Layout, read_identity
from embedonce.cache.plan_age import check_age, last_clip_part
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.writer import CacheWriter

__all__ = [
    "check_identity",
    "claim",
    "has_cache",
    "open_reader",
    "open_writer",
    "read_identity",
    "refuse_busy",
    "refuse_nesting",
]


def has_cache(root: Path) -> bool:
    """Whether root is a cache: whether it has a cache.json."""
    return Layout(root).identity.is_file()


def claim(root: Path, identity: CacheIdentity) -> bool:
    """Give root this identity, or check that it has it already. Returns True if the cache is new.

    IdentityMismatchError, which lists the fields that differ, if it has another identity; nothing is changed then.
    """
    layout = Layout(root)
    is_new = not layout.identity.is_file()
    if is_new:
        _refuse_other_files(root)
        refuse_nesting(root)
        document = identity_document(identity)
        data = documents.serialize_verified(document, identity_from, str(layout.identity))
        commit.make_folder(root)
        # Before any other file: a run that is killed right after it leaves a cache, not a folder of unknown files
        commit.publish(layout.identity, data)
    else:
        check_identity(identity, read_identity(root), root)
    for folder in layout.folders:
        commit.make_folder(folder)
    return is_new


def check_identity(requested: CacheIdentity, stored: CacheIdentity, root: Path) -> None:
    """IdentityMismatchError, which lists the fields that differ, if there are any."""
    if differing := differences(requested, stored):
        raise IdentityMismatchError(
            f"{root} was made with other settings (in the cache -> requested): {'; '.join(differing)}. "
            "Nothing was changed; use another --cache-dir for these settings"
        )


def _refuse_other_files(root: Path) -> None:
    if not root.exists():
        return
    names = sorted(p.name for p in root.iterdir() if not p.name.startswith(commit.TEMP_PREFIX))
    if names:
        raise NotACacheError(
            f"{root} is not empty and not a cache (it holds {', '.join(names[:3])}); choose another --cache-dir"
        )


def refuse_nesting(root: Path) -> None:
    """NotACacheError if root is inside the folder of a cache, also through symbolic links."""
    for parent in root.resolve().parents:
        if has_cache(parent):
            raise NotACacheError(f"{root} is inside the cache {parent}; choose a folder outside of it")


def open_writer(root: Path, identity: CacheIdentity) -> CacheWriter:
    """A writer of the cache in root, which is created or must have this identity already."""
    claim(root, identity)
    return CacheWriter(root, identity)


def refuse_busy(root: Path) -> None:
    """BusyError while another process writes the cache in root."""
    with contextlib.closing(commit.Lock(Layout(root).lock)):
        return


def open_reader(root: Path | str) -> CacheReader:
    """A reader of the cache in root. NotACacheError if root is not a cache.

    DamagedError, which names the command that helps, if its plan is missing or older than what was committed.
    """
    root = Path(root)
    layout = Layout(root)
    last_part = last_clip_part(layout)
    reader = CacheReader(root, read_identity(root))
    check_age(root, reader.records, last_part)
    return reader
