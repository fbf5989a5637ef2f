"""What went wrong when a remote file was listed or read: one sentence, and whether trying again may help."""

from collections.abc import Iterator
from enum import Enum

from embedonce.cache.errors import StorageError
from embedonce.pipeline.remote_files.addresses import shown

MAX_DETAIL = 200  # characters of a library's own message
_NO_CREDENTIALS = {
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
    *("UnauthorizedSSOTokenError", "SSOTokenLoadError", "ProfileNotFound", "DefaultCredentialsError", "RefreshError"),
    *("GoogleAuthError", "ClientAuthenticationError"),
}
_UNREACHABLE = {
    *("ClientConnectorError", "EndpointConnectionError", "ConnectionClosedError", "ConnectTimeoutError"),
    *("ConnectionError", "TimeoutError", "ServiceRequestError", "ServerDisconnectedError"),
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_REJECTED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure", "InvalidSecurity", "401"}
_SKEWED = {"RequestTimeTooSkewed"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_MISSING = {"NoSuchKey", "NoSuchVersion", "BlobNotFound", "404", "410"}


class Kind(Enum):
    """What is wrong; only a `passing` failure is worth another attempt."""

    CREDENTIALS = "credentials"
    DENIED = "denied"
    MISSING = "missing"
    CHANGED = "changed"
    PASSING = "passing"
    FINAL = "final"


class RemoteError(StorageError):
    """A remote file or folder could not be listed or read now: no evidence about what it contains.

    is_temporary: the same file may be usable another time.
    """

    is_temporary = True

    def __init__(self, message: str, kind: Kind = Kind.FINAL):
        super().__init__(message)
        self.strerror = message
        self.kind = kind


class NoRangesError(OSError):
    """The server sends whole files only."""


def changed(url: str) -> RemoteError:
    """The error for a file that is not the one that was listed."""
    return RemoteError(f"{shown(url)} was changed after it was listed", Kind.CHANGED)


def explain(error: BaseException, url: str) -> RemoteError:
    """The error to raise for what a file system raised."""
    if isinstance(error, RemoteError):
        return error
    chain = list(_chain(error))
    codes = {code for one in chain for code in _codes(one)}
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    detail = _detail(chain)
    if "FileExpired" in names or codes & {"PreconditionFailed", "412"}:
        return changed(url)
    if names & _NO_CREDENTIALS:
        return RemoteError(f"there are no valid credentials for {shown(url)} ({detail})", Kind.CREDENTIALS)
    for found, what in ((_EXPIRED, "have expired"), (_REJECTED, "are not accepted")):
        if codes & found:
            return RemoteError(f"the credentials for {shown(url)} {what} ({detail})", Kind.CREDENTIALS)
    if codes & _SKEWED:
        return RemoteError(f"the clock of this machine is wrong, so {shown(url)} refuses it", Kind.CREDENTIALS)
    if codes & _DENIED or (not codes and "PermissionError" in names):
        return RemoteError(f"access to {shown(url)} is denied ({detail})", Kind.DENIED)
    if codes & _NO_BUCKET:
        return RemoteError(f"the bucket of {shown(url)} does not exist", Kind.MISSING)
    if names & _UNREACHABLE:
        return RemoteError(f"{shown(url)} cannot be reached ({detail})", Kind.PASSING)
    if codes & _MISSING or (not codes and "FileNotFoundError" in names and len(chain) == 1):
        return RemoteError(f"{shown(url)} does not exist", Kind.MISSING)
    return RemoteError(f"{shown(url)} cannot be read ({detail})", Kind.PASSING)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _codes(error: BaseException) -> Iterator[str]:
    """Error codes of S3, and status codes of HTTP."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        yield str(response.get("Error", {}).get("Code", ""))
    for name in ("status", "status_code", "code"):
        value = vars(error).get(name)
        if isinstance(value, int | str) and str(value).isdigit():
            yield str(value)


def _detail(chain: list[BaseException]) -> str:
    """The innermost message, in one line; addresses in it are cut off at their query, which may hold a signature."""
    innermost = chain[-1]
    text = " ".join(str(innermost).split()) or type(innermost).__name__
    words = [shown(word) if "://" in word else word for word in text.split(" ")]
    return " ".join(words)[:MAX_DETAIL]
