"""Errors of a cache, each with the exit code of a command that ends with it.

States of a cache are CacheErrors that also subclass the closest builtin; wrong argument values are ValueErrors.
"""

from collections.abc import Iterable

from embedonce.cache.command_lines import as_argument, program, quoted


class CacheError(Exception):
    """Something is wrong with a cache on disk. The message is one sentence for the user."""

    exit_code = 4


class NotACacheError(CacheError, FileNotFoundError):
    """The folder is not a cache."""


class DamagedError(CacheError, ValueError):
    """Bytes on disk differ from what their record declares.

    has_advice: the message names the command that helps, so that no general advice needs to follow it.
    """

    def __init__(self, message: str, *, has_advice: bool = False):
        super().__init__(message)
        self.has_advice = has_advice


class OtherVersionError(DamagedError):
    """A document is intact, but of a format version that this program does not read."""

    def __init__(self, message: str):
        super().__init__(message, has_advice=True)


class IdentityMismatchError(CacheError, ValueError):
    """The cache was made with another teacher, preprocessing, sampling or set of views."""


class AlreadyCommittedError(CacheError, FileExistsError):
    """Another writer published this name first."""


class BusyError(CacheError, BlockingIOError):
    """Another process is writing this cache."""


class LabelSetError(CacheError, LookupError):
    """A label set does not exist, is ambiguous, or differs from the one of that name on disk."""


class VideoError(CacheError, LookupError):
    """A video is not in the cache."""


class TeacherError(CacheError, LookupError):
    """An added teacher does not exist, or differs from the one of that name, or is there under another name."""


class StorageError(CacheError, OSError):
    """The file system failed or refused: full, read-only, missing. The same command works once that is fixed."""

    exit_code = 5


def rebuild_hint(root: object) -> str:
    """How to rebuild the plan of a cache, for a message. root: its location, as str() shows it."""
    command = f"{program()} repair-cache --cache-dir {quoted(as_argument(str(root)))} --rebuild-plan"
    return f"rebuild it from the records with: {command}"


def some(names: Iterable[str], shown: int = 3) -> str:
    """The first few names, and how many more there are, for a message."""
    names = list(names)
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
