"""Checks that scanning and decoding tasks share: a limit on CPU time, and whether a file can be read at all."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

from embedonce.pipeline.sources.content_identity import read_whole
from embedonce.pipeline.sources.source import VideoPath
from embedonce.pipeline.video.container import TemporaryError, VideoError

Value = TypeVar("Value")
Result = TypeVar("Result")


def limit_cpu_time(values: Generator[Value, None, Result], limit_sec: float) -> Generator[Value, None, Result]:
    """Yield the values of a generator, and return what it returns. VideoError after limit_sec of CPU time.

    Time spent waiting for other processes does not count.
    """
    start = time.process_time()
    while True:
        try:
            value = next(values)
        except StopIteration as end:
            return end.value
        if time.process_time() - start > limit_sec:
            raise VideoError(f"decoding took more than {limit_sec:.0f} s of CPU time")
        yield value


def checked(path: VideoPath) -> VideoPath:
    """The file, to be opened several times in one task; a server is asked about it now, and not each time.

    TemporaryError if the server does not have it, or not as it was listed.
    """
    if isinstance(path, Path):
        return path
    try:
        return path.checked()
    except OSError as error:
        raise TemporaryError(f"its file cannot be read now ({error}); run the same command again") from error


def check_readable(path: VideoPath, heartbeat: Value) -> Iterator[Value]:
    """Read the whole file, yielding heartbeat now and then. TemporaryError if it cannot be read.

    A file that this machine cannot read now is not reported as a damaged video.
    """
    try:
        for _ in read_whole(path):
            yield heartbeat
    except OSError as error:
        raise TemporaryError(
            f"its file cannot be read now ({error.strerror}); fix that and run the same command again"
        ) from error
