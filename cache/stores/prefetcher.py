"""Reads files in the background that will be needed soon."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from itertools import islice

from embedonce.cache.errors import CacheError

MAX_PENDING = 8  # files


class Prefetcher:
    """Calls fetch(name) for the files that were asked for last, one after another in a thread that ends with them."""

    def __init__(self, fetch: Callable[[str], None]):
        self._fetch = fetch
        self._pending: list[str] = []
        self._state, self._process = threading.Lock(), os.getpid()
        self._thread: threading.Thread | None = None

    def ask(self, names: Iterable[str]) -> None:
        """Fetch these files, the first few of them; the ones asked for before that were not begun are not fetched."""
        if self._process != os.getpid():  # the thread did not survive the fork, and the lock may be held by it
            self.__init__(self._fetch)  # type: ignore[misc]
        with self._state:
            self._pending = list(islice(names, MAX_PENDING))
            if self._pending and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Wait until all that was asked for is fetched."""
        if thread := self._thread:
            thread.join()

    def _run(self) -> None:
        while (name := self._next()) is not None:
            with contextlib.suppress(CacheError):  # whoever needs the file will meet the error
                self._fetch(name)

    def _next(self) -> str | None:
        with self._state:
            if self._pending:
                return self._pending.pop(0)
            self._thread = None
            return None
