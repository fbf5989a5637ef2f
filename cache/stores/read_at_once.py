"""Reads several things at once, where each takes long to answer."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_at_once(read: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """read(item) for each item, in order, in so many threads, and never far ahead of whoever takes the results.

    The first of its errors, in order of items, is raised; what has not begun by then is not read.
    """
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) >= 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
