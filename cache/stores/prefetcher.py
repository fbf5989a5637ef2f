"""Reads in the background what will be needed soon."""

import contextlib
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Generic, TypeVar

from embedonce.cache.errors import CacheError

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")

MAX_PENDING = 8  # items
MAX_THREADS = 3  # a connection alone seldom gets all that a network gives


class Prefetcher(Generic[T, R]):
    """Calls read(item) for the items that were asked for last, in a few threads that end with them.

    May be pickled, and used after a fork; nothing is known there of what was asked for before.
    """

    def __init__(self) -> None:
        self._state, self._process = threading.Lock(), os.getpid()
        self._pending: list[T] = []
        self._begun: dict[T, Future[R | None]] = {}
        self._threads: list[threading.Thread] = []

    def __reduce__(self) -> tuple:
        return Prefetcher, ()

    def ask(self, read: Callable[[T], R], items: Iterable[T]) -> None:
        """Read these items, the first few of them; the ones asked for before that were not begun are not read."""
        wanted = dict.fromkeys(islice(items, MAX_PENDING))
        with self._locked():
            self._begun = {item: of for item, of in self._begun.items() if item in wanted or not of.done()}
            self._pending = [item for item in wanted if item not in self._begun]
            for _ in range(min(MAX_THREADS - len(self._threads), len(self._pending))):
                self._threads.append(threading.Thread(target=self._run, args=(read,), name="prefetch", daemon=True))
                self._threads[-1].start()

    def take(self, item: T) -> R | None:
        """What read(item) returned, after it ended if it was begun. None if it was not, or failed with a CacheError.

        It is forgotten, and not begun any more.
        """
        with self._locked():
            self._pending = [other for other in self._pending if other != item]
            begun = self._begun.pop(item, None)
        return None if begun is None else begun.result()

    def forget(self) -> None:
        """Begin nothing more of what was asked for, and forget what was read."""
        with self._locked():
            self._pending, self._begun = [], {}

    def wait(self) -> None:
        """Wait until all that was asked for is read."""
        for thread in list(self._threads):
            thread.join()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._process != os.getpid():  # threads do not survive a fork, and one of them may have held the lock
            self.__init__()  # type: ignore[misc]
        with self._state:
            yield

    def _run(self, read: Callable[[T], R]) -> None:
        while (work := self._next()) is not None:
            (item, future), result = work, None
            try:
                with contextlib.suppress(CacheError):  # whoever needs it will meet the error
                    result = read(item)
            finally:
                future.set_result(result)

    def _next(self) -> tuple[T, Future[R | None]] | None:
        with self._state:
            if not self._pending:
                self._threads.remove(threading.current_thread())
                return None
            item = self._pending.pop(0)
            future: Future[R | None] = Future()
            self._begun[item] = future
            return item, future
