"""Free disk space, and whether a command that writes into a folder has enough of it."""

import shutil
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.errors import StorageError
from embedonce.pipeline.console.units import in_bytes


def free_bytes(folder: Path) -> int | None:
    """Free bytes where a folder is, or will be created; None if there is no limit that is known."""
    return shutil.disk_usage(commit.existing_parent(folder)).free


def check_space(folder: Path, needed: int, advice: str) -> None:
    """StorageError if a folder has fewer free bytes than needed. advice: what to do about it besides making space."""
    free = free_bytes(folder)
    if free is not None and needed > free:
        raise StorageError(
            f"{folder} needs about {in_bytes(needed)} more and its disk has {in_bytes(free)} free; make space, or "
            f"{advice}"
        )
