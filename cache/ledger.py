"""Which shards were verified on this machine: shared by the processes of a run, and kept beside it for the next one.

A ledger is a file of lines that processes append to. It saves time and decides nothing else: a line counts only on the
machine that wrote it, and only while the file is the same one (size, times, inode or ETag) and its record asks for the
same SHA-256. Lines that cannot be read are skipped, and a ledger that cannot be used is none: shards are hashed again.
"""

import contextlib
import fcntl
import functools
import os
import platform
import secrets
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from embedonce.cache import strict_json
from embedonce.cache.boot import boot_id
from embedonce.cache.commit import TEMP_PREFIX, sha256, to_json
from embedonce.cache.stores.base import FileVersion

LEDGER = "verified_shards.jsonl"  # in the output folder of a run
MAX_BYTES = 1 << 28  # of a ledger that is used: a million lines
_HEADER = to_json({"ledger": "shards verified by embedonce", "version": 1}) + b"\n"
_APPENDING = 0  # the byte of the file that is locked while a line is written; one of those behind it for each shard
_OTHER_BYTES = 1 << 60
_THREADS = threading.Lock()  # those of this process share what they have read of a file


@dataclass(frozen=True)
class VerifiedFile:
    """A file, as its store names it, in the version that had this SHA-256."""

    location: str
    version: FileVersion
    sha256: str


class Ledger:
    """What was verified on this machine. Without a path it is only in memory, and workers start with a copy of it.

    May be pickled; on another machine it is empty. Processes that share a path take turns: of two that need the same
    shard the second waits for the first one, for as long as that lives.
    """

    def __init__(self, path: Path | None = None):
        self._path, self._machine = path, this_machine()
        self._known: dict[str, VerifiedFile] = {}  # by location
        self._handle, self._position = -1, 0  # the file, and up to where it was read

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handle": -1}

    def __setstate__(self, state: dict) -> None:
        self.__dict__ |= state
        if self._machine != this_machine():
            self.__init__(self._path)  # type: ignore[misc]

    def problem(self) -> str | None:
        """Why the file cannot be used, in a sentence; None if it can, or if there is none yet."""
        if self._path is None or not os.path.lexists(self._path) or self._opened():
            return None
        return f"{self._path} cannot be used, so shards are verified again in each process and when a run is resumed"

    @contextlib.contextmanager
    def turn(self, file: VerifiedFile) -> Iterator[bool]:
        """Whether this file was verified. While the body runs, no other process has the turn for the same file."""
        if self._known.get(file.location) == file or not self._opened():
            yield self._known.get(file.location) == file
            return
        place = 1 + int(sha256(f"{self._machine} {file.location}".encode())[:16], 16) % _OTHER_BYTES
        with self._locked(place):
            self._read_new_lines()
            yield self._known.get(file.location) == file

    def add(self, file: VerifiedFile) -> None:
        """Remember that this file was verified."""
        self._known[file.location] = file
        if not self._opened():
            return
        written = {"machine": self._machine, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        line = to_json(asdict(file) | written) + b"\n"
        with _THREADS, self._locked(_APPENDING), contextlib.suppress(OSError):  # for example a full disk
            is_new = os.fstat(self._handle).st_size < len(_HEADER)
            if is_new:
                os.ftruncate(self._handle, 0)
            os.write(self._handle, (_HEADER if is_new else b"\n") + line)  # a line may have been cut before this one

    def forget(self) -> None:
        """Forget what is in memory."""
        self._known.clear()
        self._position = 0

    def close(self) -> None:
        handle, self._handle = getattr(self, "_handle", -1), -1
        if handle >= 0:
            os.close(handle)

    __del__ = close

    def _opened(self) -> bool:
        """Whether there is a file, open from now on, that is a ledger."""
        with _THREADS:
            if self._handle < 0 and self._path is not None:
                self._handle = _open_ledger(self._path)
                self._position = 0
            return self._handle >= 0

    @contextlib.contextmanager
    def _locked(self, place: int) -> Iterator[None]:
        """Holds the lock of one byte of the file, if its file system has locks; released too when the process ends."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._handle, fcntl.LOCK_EX, 1, place)
                stack.callback(self._unlock, place)
            yield

    def _unlock(self, place: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, place)

    def _read_new_lines(self) -> None:
        """Learn what this and other processes have written since the last time."""
        with _THREADS, contextlib.suppress(OSError):
            size = min(os.fstat(self._handle).st_size, MAX_BYTES)
            self._position = self._position if self._position <= size else 0  # the file was cut
            data = os.pread(self._handle, size - self._position, self._position)
            lines = data[: data.rfind(b"\n") + 1]
            self._position += len(lines)
            for line in filter(None, lines.split(b"\n")):
                self._learn(line)

    def _learn(self, line: bytes) -> None:
        try:
            fields = strict_json.loads(line)
            file = VerifiedFile(fields["location"], FileVersion(**fields["version"]), fields["sha256"])
            if fields["machine"] == self._machine:
                self._known[file.location] = file
        except (ValueError, TypeError, KeyError):  # the header, a damaged line, or one of another program version
            return


def _after_fork() -> None:
    """A thread that held the lock is not in the new process."""
    global _THREADS
    _THREADS = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def temporary_ledger(folder: Path) -> Iterator[Ledger]:
    """A ledger for the processes of one run, in a file of this folder that is deleted afterwards."""
    path = folder / f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    ledger = Ledger(path)
    try:
        yield ledger
    finally:
        ledger.close()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@functools.cache
def this_machine() -> str:
    """Tells this machine, since it was booted, from others, and from containers that only share files with it."""
    boot = boot_id() or f"{uuid.getnode():x}"
    return sha256(f"{boot} {platform.node()}".encode())[:16]


def is_ledger(beginning: bytes) -> bool:
    """Whether a file that begins so is a ledger, if only a new one or what is left of one."""
    return _HEADER.startswith(beginning[: len(_HEADER)])


def _open_ledger(path: Path) -> int:
    """A descriptor of the ledger, which is created if there is none; -1 if it cannot be used, for example a link."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o644)
    except OSError:
        return -1
    try:
        status = os.fstat(handle)
        is_usable = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES
        if is_usable and is_ledger(os.pread(handle, len(_HEADER), 0)):
            return handle
    except OSError:
        pass
    os.close(handle)
    return -1
