"""Calls counted across forked processes: each appends a line to a file."""

import functools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path


class CountedCalls:
    """Counts calls by what they are about. path: of the file that is appended to."""

    def __init__(self, path: Path):
        self._path = path
        self._path.touch()

    def counting(self, function: Callable, about: Callable[..., str]) -> Callable:
        """The function, with each call counted under what `about` returns for its arguments."""

        @functools.wraps(function)
        def counted(*arguments, **options):
            with self._path.open("a") as file:
                file.write(f"{os.getpid()} {about(*arguments, **options)}\n")
            return function(*arguments, **options)

        return counted

    def taken(self) -> Counter[str]:
        """What was called how often since the last time, in any process."""
        lines = self._lines()
        self._path.write_text("")
        return Counter(what for _, what in lines)

    def processes(self) -> set[int]:
        """The processes that have called since the last time."""
        return {int(process) for process, _ in self._lines()}

    def _lines(self) -> list[list[str]]:
        return [line.split(" ", 1) for line in self._path.read_text().splitlines()]
