"""The doors of a cache: open_writer, open_reader, and the rule that a cache has one identity.

Encodes and decodes nothing itself.
"""

from pathlib import Path

from embedonce.cache import commit, documents
from embedonce.cache.errors import IdentityMismatchError, NotACacheError
from embedonce.cache.layout import Layout, read_identity
from embedonce.cache.plan_age import check_age, last_clip_part
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.writer import CacheWriter

__all__ = ["claim", "has_cache", "open_reader", "open_writer", "read_identity", "refuse_nesting"]


def has_cache(root: Path) -> bool:
    """Whether root says that it is a cache."""
    return Layout(root).identity.is_file()


def claim(root: Path, identity: CacheIdentity) -> bool:
    """Give root this identity, or prove that it has it already. Returns True where the cache is new.

    IdentityMismatchError, field by field, where it belongs to something else; nothing is changed then.
    """
    layout = Layout(root)
    is_new = not layout.identity.is_file()
    if is_new:
        _refuse_strangers(root)
        refuse_nesting(root)
        document = documents.identity_document(identity)
        data = documents.sealed(document, documents.identity_from, str(layout.identity))
        commit.make_folder(root)
        # First of all files: a run that is killed right after it leaves a cache, not a folder of something else
        commit.publish(layout.identity, data)
    else:
        check_identity(identity, read_identity(root), root)
    for folder in layout.folders:
        commit.make_folder(folder)
    return is_new


def check_identity(asked: CacheIdentity, stored: CacheIdentity, root: Path) -> None:
    """IdentityMismatchError, field by field, where they differ."""
    if differing := documents.difference(asked, stored):
        raise IdentityMismatchError(
            f"{root} was made with other settings (in the cache -> asked for): {'; '.join(differing)}. "
            "Nothing was changed; use another --cache-dir for these settings"
        )


def _refuse_strangers(root: Path) -> None:
    if not root.exists():
        return
    strangers = sorted(p.name for p in root.iterdir() if not p.name.startswith(commit.TEMP_PREFIX))
    if strangers:
        raise NotACacheError(
            f"{root} is not empty and not a cache (it holds {', '.join(strangers[:3])}); choose another --cache-dir"
        )


def refuse_nesting(root: Path) -> None:
    """NotACacheError where root lies inside the folder of a cache, under whatever name."""
    for parent in root.resolve().parents:
        if has_cache(parent):
            raise NotACacheError(f"{root} lies inside the cache {parent}; choose a folder outside of it")


def open_writer(root: Path, identity: CacheIdentity) -> CacheWriter:
    """A writer on root, which is created or must have this identity already."""
    claim(root, identity)
    return CacheWriter(root, identity)


def open_reader(root: Path | str) -> CacheReader:
    """A reader on the cache in root; NotACacheError where there is none.

    DamagedError, which names the command that helps, where its plan is missing or older than what was committed.
    """
    root = Path(root)
    layout = Layout(root)
    last_part = last_clip_part(layout)
    reader = CacheReader(root, read_identity(root))
    check_age(root, reader.records, last_part)
    return reader
