"""A spawned process and the channel to it."""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

from embedonce.pipeline.engines.channel import Channel
from embedonce.pipeline.engines.shared_ring import RingReader, RingWriter
from embedonce.pipeline.processes.main_module import without_main
from embedonce.pipeline.processes.shared_memory import SharedMemory
from embedonce.pipeline.processes.worker_signals import leave_to_parent

EXIT_WAIT_SEC = 5.0  # for a process that closed its pipe


class ChildProcess:
    """A process that runs function(channel, *arguments), and whose other end of the channel is here.

    function: module-level. It ends by SIGKILL, or when this process does.
    """

    def __init__(
        self,
        function: Callable[..., None],
        arguments: tuple[Any, ...] = (),
        to_child: SharedMemory | None = None,
        to_parent: SharedMemory | None = None,
    ):
        """Start it. to_child, to_parent: what large arrays pass through; without, they go through the pipe.

        The memory may have belonged to a process that has ended.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        our_writing, their_reading = _ends(context, to_child)
        their_writing, our_reading = _ends(context, to_parent)
        self.channel = _channel(ours, our_writing, our_reading)
        packed = (function, arguments, theirs, their_writing, their_reading)
        self._process = context.Process(target=_run, args=packed, daemon=True)
        self._connections = [ours, *(end[1] for end in (our_writing, our_reading) if end)]
        try:
            with without_main():
                self._process.start()
        except BaseException:
            self._close()
            raise
        finally:
            for connection in (theirs, *(end[1] for end in (their_writing, their_reading) if end)):
                connection.close()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """End it now. Whatever waits for its messages gets an EOFError or an OSError."""
        self._process.kill()

    def end(self) -> str | None:
        """Close the channel to a process that has closed its own end. Returns how it ended.

        None: it did not end by itself within a moment, and was killed.
        """
        self._process.join(EXIT_WAIT_SEC)
        code = self._process.exitcode
        self.close()
        return None if code is None else _described(code)

    def close(self) -> None:
        """Kill it, wait until it is gone, and close the channel."""
        self._process.kill()
        self._process.join()
        self._close()

    def _close(self) -> None:
        for connection in self._connections:
            connection.close()


def _described(code: int) -> str:
    """`exit code 1` or `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"signal {names.get(-code, -code)}"


_End = tuple[SharedMemory, Connection]


def _ends(context: BaseContext, memory: SharedMemory | None) -> tuple[_End | None, _End | None]:
    """What the writing and the reading process need of a memory."""
    if memory is None:
        return None, None
    told, tells = context.Pipe(duplex=False)
    return (memory, told), (memory, tells)


def _channel(pipe: Connection, writing: _End | None, reading: _End | None) -> Channel:
    return Channel(pipe, RingWriter(*writing) if writing else None, RingReader(*reading) if reading else None)


def _run(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    pipe: Connection,
    writing: _End | None,
    reading: _End | None,
) -> None:
    """The main function of the process."""
    leave_to_parent()
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
        function(_channel(pipe, writing, reading), *arguments)
