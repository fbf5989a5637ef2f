"""What the errors of object stores' client libraries mean.

The libraries are optional and not imported here: errors are recognized by their HTTP status, by the store's error code,
and by the names of their classes.
"""

import enum
import http.client
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from embedonce.cache.errors import CacheError

_LONGEST_REASON = 200  # characters
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "FilesystemNotFound"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_CLOCK = {"RequestTimeTooSkewed"}
_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed", "InvalidSecurity"}
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "TokenRetrievalError",
    "CredentialUnavailableError",
}
_TAKEN = {"BlobAlreadyExists"}  # by Azure with status 409, which elsewhere means that it may be tried again
_UNSUPPORTED = {"NotImplemented", "ConditionHeadersNotSupported", "UnsupportedHeader"}
_TEMPORARY_STATUS = {408, 409, 425, 429}
_TEMPORARY = {
    *("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted", "ServerBusy"),
    *("ConditionalRequestConflict", "Throttling", "ThrottlingException", "RequestLimitExceeded", "IncompleteBody"),
    *("NoSuchUpload", "BadDigest", "XAmzContentSHA256Mismatch", "OperationTimedOut"),
}
_TEMPORARY_CLASSES = {
    *("HTTPClientError", "ResponseParserError", "ClientConnectionError", "ClientPayloadError", "RequestException"),
    *("IncompleteRead", "IncompleteReadError", "ServiceRequestError", "ServiceResponseError", "TransportError"),
    *("ChecksumError", "FlexibleChecksumError", "ProtocolError"),
}


class Kind(enum.Enum):
    """What a failed request means."""

    MISSING = enum.auto()
    TAKEN = enum.auto()  # or changed: the request's condition does not hold
    NO_BUCKET = enum.auto()
    REFUSED = enum.auto()
    NO_SUCH_RANGE = enum.auto()
    UNSUPPORTED = enum.auto()
    TEMPORARY = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True)
class Failure:
    """A failed request. reason: a phrase for a message, such as "access is refused (AccessDenied)"."""

    kind: Kind
    reason: str
    error: BaseException


class ShortBodyError(OSError):
    """The body of an answer has another length than was requested."""


def failure_of(error: BaseException, handled: BaseException | None) -> Failure | None:
    """What an error of a request means, or None if it is not one of a store, its client library, or the network.

    handled: sys.exception() when the request began. It explains nothing, although Python makes it the error's context.
    """
    root = type(error).__module__.partition(".")[0]
    is_ours = isinstance(error, CacheError) or not isinstance(error, Exception)
    if is_ours or (root in ("builtins", "embedonce") and not isinstance(error, OSError)):
        return None
    kind, reason = _meaning(error, handled)
    return Failure(kind, reason, error)


def _meaning(error: BaseException, handled: BaseException | None) -> tuple[Kind, str]:
    chain = list(_chain(error, handled))
    codes = {code for link in chain if (code := _code(link))}
    status = next((status for link in chain if (status := _status(link))), 0)
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    shown = ", ".join(sorted(codes - {str(status)})) or str(status or type(error).__name__)
    if codes & _NO_BUCKET:
        return Kind.NO_BUCKET, "it does not exist"
    if reason := _refusal(codes, names, status, shown):
        return Kind.REFUSED, reason
    if codes & _UNSUPPORTED or status == 501:
        return Kind.UNSUPPORTED, f"the store does not support it ({shown})"
    if codes & _TAKEN:
        return Kind.TAKEN, "it exists"
    if _is_temporary(chain, codes, names, status):
        return Kind.TEMPORARY, _reason(error)
    if status in (304, 412) or names & {"FileExistsError", "FileExpired"}:
        return Kind.TAKEN, "it exists"
    if status == 416:
        return Kind.NO_SUCH_RANGE, "it ends before"
    if status == 404 or "FileNotFoundError" in names:
        return Kind.MISSING, "it does not exist"
    return Kind.OTHER, _reason(error)


def _refusal(codes: set[str], names: set[str], status: int, shown: str) -> str:
    """Why access is refused; empty if it is not."""
    if names & _NO_CREDENTIALS:
        return "there are no credentials for the store; set them as its own tools expect them"
    if codes & _EXPIRED:
        return f"the credentials have expired ({shown}); renew them and run the same command again"
    if codes & _CLOCK:
        return f"this machine's clock differs too much from the store's ({shown}); set it right"
    if codes & _WRONG_KEYS:
        return f"the store does not accept the credentials ({shown}); check them"
    if status in (401, 403) or "PermissionError" in names:
        return f"access is refused ({shown}); check the credentials and their permissions"
    return ""


def _is_temporary(chain: list[BaseException], codes: set[str], names: set[str], status: int) -> bool:
    if codes & _TEMPORARY or status in _TEMPORARY_STATUS or 500 <= status < 600:
        return True
    if names & _TEMPORARY_CLASSES:  # also those of truncated bodies, which have a status without meaning
        return True
    if status:
        return False
    kinds = (TimeoutError, ConnectionError, ShortBodyError, http.client.HTTPException)
    return any(isinstance(link, kinds) for link in chain) or "gaierror" in names


def _chain(error: BaseException | None, handled: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, up to the error that was being handled before."""
    for _ in range(10):
        if error is None or error is handled:
            return
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> str:
    """The store's code of an error, such as NoSuchKey."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _status(error: BaseException) -> int:
    """The HTTP status of an error; 0 if it has none."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    attributes = (getattr(error, name, None) for name in ("status_code", "status", "code"))  # lazy: some are deprecated
    numbers = itertools.chain([metadata.get("HTTPStatusCode")], attributes)
    return next((number for number in numbers if type(number) is int), 0)


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines() or [""]
    return lines[0][:_LONGEST_REASON].rstrip(". ") or type(error).__name__
