"""What went wrong when a remote file was listed or read, in one sentence."""

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.request_errors import Failure, Kind
from embedonce.pipeline.remote_files.addresses import shown
from embedonce.pipeline.settings.paths import without_secrets_in


class RemoteError(StorageError):
    """A remote file or folder could not be listed or read now: no evidence about what it contains.

    is_missing: there is none, according to the server. is_temporary: the same file may be usable another time.
    """

    is_temporary = True

    def __init__(self, message: str, is_missing: bool = False):
        super().__init__(message)
        self.strerror = message
        self.is_missing = is_missing

    def __reduce__(self) -> tuple:
        return RemoteError, (self.strerror, self.is_missing)


class NoRangesError(Exception):
    """The server sends whole files only."""


def changed(url: str) -> RemoteError:
    """The error for a file that is not the one that was listed."""
    return RemoteError(f"{shown(url)} was changed after it was listed")


def error_of(failure: Failure, url: str) -> RemoteError:
    """The error to raise for a request about a file or folder that failed for good."""
    where, reason = shown(url), without_secrets_in(failure.reason)
    if failure.kind is Kind.MISSING:
        return RemoteError(f"{where} does not exist", is_missing=True)
    if failure.kind is Kind.NO_BUCKET:
        return RemoteError(f"the bucket of {where} does not exist")
    if failure.kind in (Kind.TAKEN, Kind.NO_SUCH_RANGE):
        return changed(url)
    if failure.kind is Kind.TEMPORARY:
        return RemoteError(f"{where} cannot be read, also after several attempts: {reason}")
    return RemoteError(f"{where} cannot be read: {reason}")
