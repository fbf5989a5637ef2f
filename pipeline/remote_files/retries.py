"""Trying a call of a remote file system again after failures that may pass, with pauses that grow, until a limit."""

import random
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from embedonce.pipeline.remote_files.addresses import errors_of, scheme_of
from embedonce.pipeline.remote_files.failures import Kind, NoRangesError, RemoteError, explain

ATTEMPTS = 6
FIRST_PAUSE_SEC = 0.25  # doubled after each failure, and shortened at random so that workers do not retry in step
LIMIT_SEC = 30.0  # no attempt begins later than this: a worker without progress for --video-timeout is ended
OUTAGE_SEC = 60.0  # after a host failed for good, calls to it are tried once
Value = TypeVar("Value")
_failed_at: dict[str, float] = {}  # host or bucket -> when a call to it failed for good, in this process


def with_retries(call: Callable[[], Value], url: str, pause: Callable[[float], None] = time.sleep) -> Value:
    """What the call returns. RemoteError once it has failed for good; NoRangesError passes."""
    host, started = urlsplit(url).netloc, time.monotonic()
    is_down = started - _failed_at.get(host, -OUTAGE_SEC) < OUTAGE_SEC
    attempts = 1 if is_down else ATTEMPTS
    for attempt in range(1, attempts + 1):
        try:
            result = call()
        except NoRangesError:
            raise
        except errors_of(scheme_of(url)) as error:
            failure = explain(error, url)
            if failure.kind is not Kind.PASSING:
                raise failure from error
            if attempt == attempts or time.monotonic() - started > LIMIT_SEC:
                raise _noted(failure, host) from error
        else:
            _failed_at.pop(host, None)
            return result
        pause(FIRST_PAUSE_SEC * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
    raise AssertionError("the last attempt returns or raises")


def _noted(failure: RemoteError, host: str) -> RemoteError:
    """The failure; from now on its host counts as down."""
    _failed_at[host] = time.monotonic()
    return failure
