"""A ring of buffers in memory that two processes share: one lays them into it, the other copies them out and frees
their room."""

import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection

import numpy as np

from embedonce.pipeline.processes.shared_memory import SharedMemory

log = logging.getLogger(__name__)

Span = tuple[int, int]  # (offset, length) of a buffer in the memory, in bytes
_ALIGNMENT = 64
_TAKEN = b"\0"


def shared_memories(count: int, num_bytes: int) -> list[SharedMemory | None]:
    """Memory to share with each of count processes. None for 0 bytes, or, with a warning, if there is too little."""
    memories: list[SharedMemory | None] = []
    try:
        memories.extend(SharedMemory(num_bytes) for _ in range(count if num_bytes else 0))
    except OSError as error:
        close_memories(memories)
        log.warning(
            "%d MB of memory to share with %d processes are not available (%s): images go through pipes, which is "
            "slower",
            num_bytes * count // 10**6,
            count,
            error.strerror,
        )
        memories = []
    return memories or [None] * count


def close_memories(memories: Iterable[SharedMemory | None]) -> None:
    """Give all of them up in this process."""
    for memory in memories:
        if memory is not None:
            memory.close()


class RingWriter:
    """The end of the process that lays buffers into the memory. They lie there until the reader has taken them."""

    def __init__(self, memory: SharedMemory, taken: Connection):
        """taken: receives one message for every group of buffers that the reader has taken, in their order."""
        self._memory, self._taken = memory, taken
        self._ends: deque[int] = deque()  # where the groups in the memory end; positions only grow, and wrap around
        self._written = self._free_until = 0

    def write(self, buffers: Sequence[memoryview]) -> list[Span] | None:
        """Lay a group of buffers into the memory; waits for room. None if they can never fit. EOFError: no reader."""
        sizes = [-(-buffer.nbytes // _ALIGNMENT) * _ALIGNMENT for buffer in buffers]
        if sum(sizes) > self._memory.num_bytes:
            return None
        offset, spans = self._room_for(sum(sizes)), []
        for buffer, size in zip(buffers, sizes, strict=True):
            self._memory.array[offset : offset + buffer.nbytes] = np.frombuffer(buffer, np.uint8)
            spans.append((offset, buffer.nbytes))
            offset += size
        return spans

    def _room_for(self, num_bytes: int) -> int:
        """The offset of so many free bytes in one piece, which are occupied from now on."""
        while self._taken.poll():
            self._forget_taken()
        while (start := self._start_of(num_bytes)) + num_bytes > self._free_until + self._memory.num_bytes:
            self._forget_taken()
        self._written = start + num_bytes
        self._ends.append(self._written)
        return start % self._memory.num_bytes

    def _start_of(self, num_bytes: int) -> int:
        """The position of the next so many bytes that do not wrap around; of all bytes, if nothing is in the memory."""
        if not self._ends:
            self._written = self._free_until = 0
        left = self._memory.num_bytes - self._written % self._memory.num_bytes
        return self._written if num_bytes <= left else self._written + left

    def _forget_taken(self) -> None:
        self._taken.recv_bytes()
        self._free_until = self._ends.popleft()


class RingReader:
    """The end of the process that takes the buffers."""

    def __init__(self, memory: SharedMemory, taken: Connection):
        self._memory, self._taken = memory, taken

    def copied(self, spans: Sequence[Span]) -> list[np.ndarray]:
        """Copies of a group of buffers, whose room is given back."""
        with self.in_place(spans) as views:
            return [view.copy() for view in views]

    @contextlib.contextmanager
    def in_place(self, spans: Sequence[Span]) -> Iterator[list[np.ndarray]]:
        """A group of buffers where they lie; their room is given back when this context ends."""
        try:
            yield [self._memory.array[offset : offset + length] for offset, length in spans]
        finally:
            with contextlib.suppress(OSError):  # the writer is gone
                self._taken.send_bytes(_TAKEN)
