"""Tasks whose values are large arrays. Worker processes import this module."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from embedonce.pipeline.engines.shared_ring import RingWriter


def array(number: int, num_bytes: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, num_bytes, np.uint8)


def run_array_task(task):
    """task: (what, argument). Values are [array, ...] unless the task says otherwise."""
    what, argument = task
    if what == "arrays":
        yield from ([array(number, size)] for number, size in enumerate(argument))
    elif what == "kill while writing":
        _kill_when_written()
        yield [array(0, argument)]
    elif what == "descriptors":
        yield sorted(
            os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if _is_open(number)
        )
    elif what == "forever":
        Path(argument, str(os.getpid())).touch()
        while True:
            yield [array(0, 1_000_000)]
            time.sleep(0.01)


def _kill_when_written() -> None:
    """The process is killed once an array lies in the memory, before the other process can know."""
    write = RingWriter.write

    def write_and_end(self, buffers):
        write(self, buffers)
        os.kill(os.getpid(), signal.SIGKILL)

    RingWriter.write = write_and_end


def _is_open(number: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{number}")
