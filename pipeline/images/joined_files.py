"""Several files, one after the other, as one file that can be read anywhere."""

import bisect
import errno
import io
import itertools
import os
import stat
from collections.abc import Sequence
from pathlib import Path


class JoinedFiles(io.RawIOBase):
    """The bytes of `head` and of the files of these names. sizes: of the files in bytes, as they were listed.

    Reading raises OSError if a file is gone, is not a regular file, or is shorter than it was.
    """

    def __init__(self, head: bytes, folder: Path, names: Sequence[str], sizes: Sequence[int]):
        self._head, self._folder, self._names = head, folder, names
        self._ends = list(itertools.accumulate(sizes, initial=len(head)))  # of the head and of each file
        self._position = 0
        self._number = -1  # of the file that was read last,
        self._file: io.BufferedIOBase = io.BytesIO()  # which is open

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer) -> int:
        if self._position >= self._ends[-1]:
            return 0
        number = bisect.bisect(self._ends, self._position)
        start = self._ends[number - 1] if number else 0
        file = self._opened(number)
        file.seek(self._position - start)
        data = file.read(min(len(buffer), self._ends[number] - self._position))
        if not data:
            raise OSError(errno.EIO, "is shorter than it was", str(self._folder / self._names[number - 1]))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _opened(self, number: int) -> io.BufferedIOBase:
        """File number, counted from 1; the head is number 0."""
        if number != self._number:
            self._file.close()
            self._file = open_regular(self._folder / self._names[number - 1]) if number else io.BytesIO(self._head)
            self._number = number
        return self._file


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file, open for reading. OSError for anything else: reading a pipe or a device may block forever."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return open(handle, "rb")
