"""Trying a call of a remote file system again after failures that may pass, with pauses that grow, until a limit."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from embedonce.pipeline.remote_files.addresses import errors_of, scheme_of
from embedonce.pipeline.remote_files.failures import Kind, NoRangesError, explain

ATTEMPTS = 6
FIRST_PAUSE_SEC = 0.25  # doubled after each failure, and shortened at random so that workers do not retry in step
LIMIT_SEC = 30.0  # no attempt begins later than this: a worker without progress for --video-timeout is ended
Value = TypeVar("Value")


def with_retries(call: Callable[[], Value], url: str, pause: Callable[[float], None] = time.sleep) -> Value:
    """What the call returns. RemoteError once it has failed for good; NoRangesError passes."""
    started = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except NoRangesError:
            raise
        except errors_of(scheme_of(url)) as error:
            failure = explain(error, url)
            is_last = attempt == ATTEMPTS or time.monotonic() - started > LIMIT_SEC
            if failure.kind is not Kind.PASSING or is_last:
                raise failure from error
        pause(FIRST_PAUSE_SEC * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
    raise AssertionError("the last attempt returns or raises")
