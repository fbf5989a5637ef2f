"""One local copy: the bytes of a stored file, their SHA-256, and since when the file is known to have these bytes.

A copy is not synced to the disk. It is the file's bytes for as long as the machine runs; after a restart, when some of
them may be missing, it is compared with its SHA-256 before anything of it is read.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from embedonce.cache.boot import boot_id
from embedonce.cache.errors import StorageError
from embedonce.cache.files import read_error
from embedonce.cache.stores.local import LocalFile

_DIGEST_BYTES = hashlib.sha256().digest_size
_SYNCED = b"synced to a disk"  # in place of a start of the machine; not zeros, which a lost block may have
TRAILER_BYTES = _DIGEST_BYTES + len(_SYNCED)
_BLOCK = 1 << 20


class Copy(LocalFile):
    """An open copy. digest: the hexadecimal SHA-256 of its file, if it was just computed."""

    def __init__(self, path: Path, digest: str | None = None):
        super().__init__(path)
        self._size -= TRAILER_BYTES  # no read goes beyond it
        self._digest = digest

    def digest(self) -> str | None:
        """The hexadecimal SHA-256 of the file; None if the copy is damaged."""
        if self._digest is None:
            sha256 = hashlib.sha256()
            for start in range(0, self._size, _BLOCK):
                sha256.update(self.read_at(start, min(_BLOCK, self._size - start)))
            if self._trailer()[0] == sha256.digest():
                self._digest = sha256.hexdigest()
        return self._digest

    def survived(self) -> bool:
        """Whether the copy is as it was written although the machine may have been started again since."""
        if self._trailer()[1] in (_SYNCED, _this_start()):
            return True
        if self.digest() is None:
            return False
        self._stamp()
        return True

    def _trailer(self) -> tuple[bytes, bytes]:
        """(SHA-256 of the file, start of the machine in which it was known to have it), as the copy has them."""
        try:
            trailer = os.pread(self._handle, TRAILER_BYTES, self._size)
        except OSError as error:
            raise read_error(self._path, error) from error
        return trailer[:_DIGEST_BYTES], trailer[_DIGEST_BYTES:]

    def _stamp(self) -> None:
        """Note that the copy was whole after the last start of the machine."""
        with contextlib.suppress(OSError):  # another user's, for example: it is compared again the next time
            handle = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.path.samestat(os.fstat(handle), os.fstat(self._handle)):
                    os.pwrite(handle, _this_start(), self._size + _DIGEST_BYTES)
            finally:
                os.close(handle)


def write_copy(handle: int, blocks: Iterable[bytes | memoryview], num_bytes: int) -> str:
    """Write a copy into an empty file; returns the hexadecimal SHA-256 of the num_bytes bytes in these blocks.

    A block is used before the next one is asked for.
    """
    sha256, written = hashlib.sha256(), 0
    for block in blocks:
        sha256.update(block)
        _write_all(handle, block)
        written += len(block)
    if written != num_bytes:
        raise StorageError(f"{written} bytes arrived instead of {num_bytes}")
    _write_all(handle, sha256.digest() + _this_start())
    if _this_start() == _SYNCED:
        os.fsync(handle)
    os.close(os.dup(handle))  # network file systems report now what they could not write
    return sha256.hexdigest()


def _this_start() -> bytes:
    """Names the last start of this machine; _SYNCED if that is not known."""
    name = boot_id()
    return _SYNCED if name is None else hashlib.sha256(name.encode()).digest()[: len(_SYNCED)]


def _write_all(handle: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
