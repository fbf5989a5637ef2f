"""Temporary copies of the parts of remote files that were read, so that no byte needs to be downloaded twice.

One folder per run, shared with its worker processes and removed when the run ends. Each file is sparse: the blocks at
their places, then a table with one byte per block that is 1 once the block is complete. No locks are needed, since
every process writes the same bytes to the same place, and the table last.
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.remote_files.computed_once import ComputedOnce

BLOCK_BYTES = 1 << 16
MAX_BYTES = 16 << 30  # of all copies; never more than half of what is free when the run begins
CHECK_BYTES = 64 << 20  # written by one process, after which the size of all copies is looked at
PREFIX, LOCK = "embedonce-spool-", "lock"
_written: Counter[Path] = Counter()  # folder -> bytes that this process wrote since it looked


@dataclass(frozen=True)
class Spool:
    """A folder of temporary copies.

    max_bytes: limit for all of them together, exceeded by at most CHECK_BYTES per process and one request per thread.
    """

    folder: Path
    max_bytes: int

    def store(self, name: str, data: bytes) -> Path:
        """A whole file among the copies."""
        handle, temporary = tempfile.mkstemp(dir=self.folder)
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, self.folder / name)
        return self.folder / name

    def make_room(self, kept: str, num_bytes: int = 0) -> bool:
        """Remove the oldest copies but `kept` until the others leave room for num_bytes; whether there is room now.

        Processes that have a removed copy open can still read it.
        """
        sizes = self._sizes()
        used = {name: status.st_blocks * 512 for name, status in sizes.items()}
        total = sum(used.values()) + num_bytes
        for name in sorted(set(used) - {kept}, key=lambda name: sizes[name].st_mtime_ns):
            if total <= self.max_bytes:
                break
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                os.unlink(self.folder / name)
            total -= used[name]
        return total <= self.max_bytes

    def _sizes(self) -> dict[str, os.stat_result]:
        """Of all copies that no other process removes meanwhile."""
        sizes = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    sizes[entry.name] = entry.stat()
        sizes.pop(LOCK, None)
        return sizes


class SpooledFile:
    """The parts of one remote file that are on this machine. name: of the copy. size: of the whole file, in bytes."""

    def __init__(self, spool: Spool, name: str, size: int):
        self._spool, self._name = spool, name
        self.num_blocks = -(-size // BLOCK_BYTES)
        self._size = size
        self._open()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._handle = os.open(self._spool.folder / self._name, flags, 0o600)
        os.ftruncate(self._handle, self._size + self.num_blocks)

    def first(self, is_present: bool, start: int, stop: int) -> int:
        """The first of the blocks [start, stop) that is present, or is not; stop if there is none."""
        table = os.pread(self._handle, max(stop - start, 0), self._size + start)
        at = table.find(bytes([is_present]))
        return stop if at < 0 else start + at

    def read_into(self, buffer: memoryview, position: int) -> int:
        """Fill the buffer with bytes of blocks that are present; returns how many."""
        return os.preadv(self._handle, [buffer], position)

    def write(self, block: int, data: bytes) -> None:
        """Store whole blocks (the file's last one may be shorter). OSError if the disk is full."""
        rest, position = memoryview(data), block * BLOCK_BYTES
        while rest:
            written = os.pwrite(self._handle, rest, position)
            rest, position = rest[written:], position + written
        os.pwrite(self._handle, b"\1" * -(-len(data) // BLOCK_BYTES), self._size + block)
        _written[self._spool.folder] += len(data)

    def keep_within_limit(self) -> None:
        """Make room if this process wrote much. A copy that alone exceeds the limit is begun anew."""
        if _written[self._spool.folder] >= CHECK_BYTES:
            _written[self._spool.folder] = 0
            if not self._spool.make_room(self._name):
                self.discard()
                os.close(self._handle)
                self._open()

    def reserve(self) -> bool:
        """Make room for the whole file; whether there is."""
        return self._spool.make_room(self._name, self._size)

    def discard(self) -> None:
        """Remove the copy; what is open of it can still be read."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._spool.folder / self._name)

    def close(self) -> None:
        os.close(self._handle)


@ComputedOnce
def spool_of_run() -> Spool:
    """The folder of this process, in the system's temporary folder. Those of processes that were killed are removed."""
    _remove_abandoned()
    folder = _new_folder()
    atexit.register(_remove, folder, os.getpid())
    return Spool(folder, min(MAX_BYTES, shutil.disk_usage(folder).free // 2))


def _new_folder() -> Path:
    """A new folder with a file in it that this process keeps locked until it ends."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)  # stays open, and is inherited by no one
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return folder
        os.close(handle)  # another process took it for abandoned just before it was locked


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked process
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just being made
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
