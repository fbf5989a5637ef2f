"""Requests to a remote file system: repeated if they fail for a moment, given up after a bounded number and time."""

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from embedonce.cache.stores.request_errors import Failure, Kind, failure_of
from embedonce.cache.stores.retries import RetryPolicy, repeated
from embedonce.pipeline.remote_files.failures import error_of

PATIENT = RetryPolicy(total_sec=30.0)  # a worker without progress for --video-timeout is ended
ONCE = RetryPolicy(attempts=1)
OUTAGE_SEC = 60.0  # after a host failed for good, requests to it are made once
Value = TypeVar("Value")
_failed_at: dict[str, float] = {}  # host or bucket -> when a request to it failed for good, in this process


def with_retries(request: Callable[[], Value], url: str) -> Value:
    """What the request for a URL returns. RemoteError once it has failed for good."""
    host = urlsplit(url).netloc
    is_down = time.monotonic() - _failed_at.get(host, -OUTAGE_SEC) < OUTAGE_SEC
    result = repeated(lambda: _with_cause(request), ONCE if is_down else PATIENT)
    if not isinstance(result, Failure):
        _failed_at.pop(host, None)
        return result
    if result.kind is Kind.TEMPORARY:
        _failed_at[host] = time.monotonic()
    raise error_of(result, url) from result.error


def _with_cause(request: Callable[[], Value]) -> Value:
    """What the request returns. fsspec takes whatever goes wrong on the way to a web server for a missing file; the
    cause of its error is what went wrong.
    """
    try:
        return request()
    except FileNotFoundError as error:
        cause = error.__cause__
        if cause is None:
            raise
    if failure_of(cause, None) is None:
        raise ConnectionError(f"its server's answer has no meaning ({cause})")
    raise cause  # here, where the missing file is not its context
