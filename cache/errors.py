"""Errors a cache can raise, each with the exit code a command line ends with.

States of a cache are CacheErrors that also subclass the closest builtin; wrong argument values stay ValueErrors.
"""

import shlex


class CacheError(Exception):
    """Something is wrong with a cache on disk. The message is one sentence for the user."""

    exit_code = 4


class NotACacheError(CacheError, FileNotFoundError):
    """The folder holds no cache."""


class DamagedError(CacheError, ValueError):
    """Bytes on disk differ from what their record declares. names_remedy: the message states what to do."""

    names_remedy = False


class OtherVersionError(DamagedError):
    """A document is whole, and of a format that this program does not read."""

    names_remedy = True


class DamagedPlanError(DamagedError):
    """The plan is missing, damaged or older than the records; the message ends with rebuild_hint()."""

    names_remedy = True


class IdentityMismatchError(CacheError, ValueError):
    """The cache was made with another teacher, preprocessing, sampling or set of views."""


class AlreadyCommittedError(CacheError, FileExistsError):
    """Another writer published this name first."""


class BusyError(CacheError, BlockingIOError):
    """Another process is writing this cache now."""


class LabelSetError(CacheError, LookupError):
    """A label set is absent, ambiguous, or differs from the one of that name on disk."""


class StorageError(CacheError, OSError):
    """The disk refused: full, read-only, missing. The user mends the machine and runs the command again."""

    exit_code = 5


def rebuild_hint(root) -> str:
    """How to get a plan back, for a message on the cache in the folder root."""
    command = f"python cli.py repair-cache --cache-dir {shlex.quote(str(root))} --rebuild-plan"
    return f"rebuild it from the records with: {command}"


def some(names, shown: int = 3) -> str:
    """Names for a message: the first few, and how many there are besides."""
    names = list(names)
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
