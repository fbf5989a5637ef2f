"""Repeats requests that failed for a while, with waits that grow, and gives up after a bounded number and time."""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from embedonce.cache.stores.request_errors import Failure, Kind, failure_of

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """attempts: how often a request is made at most. total_sec: none is repeated once this much time has passed.

    first_wait_sec, longest_wait_sec: the wait doubles from one repetition to the next. Each wait is shortened by up to
    half at random, so that many clients do not return at once.
    """

    attempts: int = 6
    total_sec: float = 120.0
    first_wait_sec: float = 0.25
    longest_wait_sec: float = 15.0

    def waits(self) -> list[float]:
        """Seconds to wait before each repetition, before they are shortened at random."""
        return [min(self.first_wait_sec * 2**i, self.longest_wait_sec) for i in range(self.attempts - 1)]


def repeated(call: Callable[[], T], policy: RetryPolicy) -> T | Failure:
    """The result of call(), or the failure after which it was not repeated.

    Only temporary failures are repeated. Errors that are not those of a store or its network are raised.
    """
    started, waits = time.monotonic(), policy.waits()
    for attempt in range(policy.attempts):
        with _Caught() as caught:
            return call()
        if caught.failure.kind is not Kind.TEMPORARY or attempt == len(waits):
            break
        wait = waits[attempt] * random.uniform(0.5, 1)
        if time.monotonic() - started + wait > policy.total_sec:
            break
        time.sleep(wait)
    return caught.failure


class _Caught:
    """Keeps the failure of a request; all other errors are raised."""

    failure: Failure

    def __enter__(self) -> "_Caught":
        self._handled = sys.exception()
        return self

    def __exit__(self, kind, error, traceback) -> bool:
        failure = None if error is None else failure_of(error, self._handled)
        if failure is None:
            return False
        self.failure = failure
        return True
