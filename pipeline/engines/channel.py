"""Messages between two processes: pickles through a pipe, and the large arrays in them through shared memory."""

import contextlib
import pickle
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from embedonce.pipeline.engines.shared_ring import RingReader, RingWriter, Span

MIN_BUFFER_BYTES = 4096  # of an array: smaller ones stay in the pickle
MIN_SHARED_BYTES = 1 << 18  # of all such arrays of a message: with less, the pipe is as fast


class Channel:
    """One end of a pipe, whose other end is a Channel too."""

    def __init__(self, pipe: Connection, writer: RingWriter | None = None, reader: RingReader | None = None):
        """writer: takes the large arrays of messages that are sent; without one, the pipe does. reader: as the writer
        of the other end.
        """
        self.pipe, self._writer, self._reader = pipe, writer, reader

    def send(self, message: Any) -> None:
        """Send a message; waits while memory and pipe are full. OSError or EOFError if the other end is gone."""
        data, spans = self._packed(message)
        self.pipe.send_bytes(np.array(spans, np.uint64).tobytes())
        self.pipe.send_bytes(data)

    def receive(self) -> Any:
        """The next message. EOFError or OSError if the other end is gone."""
        spans, data = self._received()
        copies = self._reader.copied(spans) if spans and self._reader is not None else ()
        return pickle.loads(data, buffers=copies)

    @contextlib.contextmanager
    def receive_in_place(self) -> Iterator[Any]:
        """The next message, whose large arrays are overwritten once this context has ended."""
        spans, data = self._received()
        if not spans or self._reader is None:
            yield pickle.loads(data)
            return
        with self._reader.in_place(spans) as views:
            yield pickle.loads(data, buffers=views)

    def _packed(self, message: Any) -> tuple[bytes, Sequence[Span]]:
        """The pickle of a message, and where the arrays lie that it lacks."""
        if self._writer is not None:
            buffers: list[memoryview] = []
            data = pickle.dumps(message, protocol=5, buffer_callback=lambda found: _stays(found.raw(), buffers))
            if not buffers:
                return data, ()
            is_large = sum(buffer.nbytes for buffer in buffers) >= MIN_SHARED_BYTES
            spans = self._writer.write(buffers) if is_large else None
            if spans is not None:
                return data, spans
        return pickle.dumps(message, protocol=5), ()

    def _received(self) -> tuple[list[Span], bytes]:
        flat = np.frombuffer(self.pipe.recv_bytes(), np.uint64).reshape(-1, 2)
        return [(int(offset), int(length)) for offset, length in flat], self.pipe.recv_bytes()


def _stays(buffer: memoryview, buffers: list[memoryview]) -> bool:
    """Whether a buffer stays in the pickle; otherwise it is added to the buffers."""
    if buffer.nbytes < MIN_BUFFER_BYTES:
        return True
    buffers.append(buffer)
    return False
