"""Memory that processes share, which has no name: the system frees it with the last process that has it.

Nothing is ever left in /dev/shm, and its size limit, which is often 64 MB in containers, does not apply.
"""

import contextlib
import errno
import mmap
import os
from multiprocessing import reduction
from typing import Any

import numpy as np


class SharedMemory:
    """num_bytes of memory that this process and those it spawns with it share."""

    def __init__(self, num_bytes: int, is_occupied: bool = True):
        """OSError if there is too little memory, or if this system cannot share it so.

        is_occupied: occupy all of it at once, as a lack of it would otherwise end a process in the middle of writing;
        else each page is when it is first written.
        """
        if not hasattr(os, "memfd_create"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        descriptor = os.memfd_create("embedonce")
        try:
            os.ftruncate(descriptor, num_bytes)
            if is_occupied:
                os.posix_fallocate(descriptor, 0, num_bytes)
            self._map(descriptor, num_bytes)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Give the memory up in this process."""
        del self.array
        with contextlib.suppress(BufferError):  # an error that ended the run still refers to it
            self._mapped.close()
        os.close(self._descriptor)

    def __getstate__(self) -> tuple[Any, int]:
        return reduction.DupFd(self._descriptor), self.num_bytes

    def __setstate__(self, state: tuple[Any, int]) -> None:
        descriptor = state[0].detach()
        self._map(descriptor, state[1])
        os.close(descriptor)  # only the process that made the memory hands it on

    def _map(self, descriptor: int, num_bytes: int) -> None:
        self._mapped = mmap.mmap(descriptor, num_bytes)
        self._descriptor, self.num_bytes = descriptor, num_bytes
        self.array = np.frombuffer(self._mapped, np.uint8)
