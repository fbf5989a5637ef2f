"""What an error of huggingface_hub means, in one sentence."""

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with write access to it"
AGAIN = "run the same command again; it continues where it was"
_NETWORK = ("httpx2", "httpx", "httpcore", "requests", "urllib3", "hf_xet")  # whose errors are the network's


def explanation(error: BaseException, repo: str, action: str, host: str, revision: str | None = None) -> str | None:
    """The sentence; None if the error is not of the hub or the network.

    repo: kind and name. action: what was tried, such as "upload files". host: address of the hub.
    """
    from huggingface_hub import errors

    error = _root(error)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"not logged in to {host}: {LOGIN}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{host} cannot be reached: HF_HUB_OFFLINE is set; unset it"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision or 'main'!r}; look at {host} which branches and tags it has"
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error, repo, action, host)
    if _is_of_network(error):
        return f"{host} cannot be reached ({_first_line(error)}): check the network, then {AGAIN}"
    if isinstance(error, (errors.EntryNotFoundError, errors.FileMetadataError, ValueError, RuntimeError)):
        return f"{repo}: cannot {action}: {_first_line(error)}"
    return None


def _root(error: BaseException) -> BaseException:
    """The error that others only report: of one upload among several, of a file that is not here either."""
    from huggingface_hub import errors

    while error.__cause__ is not None and isinstance(error, (RuntimeError, errors.LocalEntryNotFoundError)):
        error = error.__cause__
    return error


def _answered(error, repo: str, action: str, host: str) -> str:
    """What an HTTP status means."""
    status = error.response.status_code if error.response is not None else 0
    said = _first_line(getattr(error, "server_message", None) or error)
    if status == 401:
        return f"{host} does not accept the token, or {repo} does not exist for it ({said}): {LOGIN}"
    if status == 403:
        return f"{repo}: not allowed to {action} ({said}): {LOGIN}"
    if status == 404:
        return f"{repo} does not exist at {host}, or is private ({said}): check its name, or {LOGIN}"
    if status in (409, 412):
        return f"{repo} was changed by someone else meanwhile ({said}): {AGAIN}"
    if status == 429 or status >= 500:
        return f"{host} failed to {action} with status {status} ({said}): {AGAIN}"
    return f"{repo}: cannot {action}: status {status} ({said})"


def _is_of_network(error: BaseException) -> bool:
    package = type(error).__module__.partition(".")[0]
    return package in _NETWORK or isinstance(error, (ConnectionError, TimeoutError))


def _first_line(error: object) -> str:
    text = " ".join(str(error).split())
    return text[:300] or type(error).__name__
