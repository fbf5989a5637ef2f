"""Reads files that users name: regular files only, up to a size limit.

Symbolic links are followed, as the user named them. FIFOs, devices and sockets are refused, since reading them could
block or never end.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

CONFIG_BYTES = 1 << 20  # of a model configuration; typical ones have a few hundred bytes
LIST_BYTES = 256 << 20  # of a list, log or record kept with the data


class NotPlainError(OSError):
    """The path is not a regular file, or the file is too large; `strerror` says which."""


def open_plain(path: Path, limit: int | None = None) -> BinaryIO:
    """Open a regular file for reading in binary.

    Raises NotPlainError if it is something else or has more than `limit` bytes, and OSError as open() does.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise NotPlainError(errno.EINVAL, "is a pipe or a device, not a regular file", str(path))
        if limit is not None and status.st_size > limit:
            message = f"has {status.st_size} bytes, more than the limit of {limit}"
            raise NotPlainError(errno.EFBIG, message, str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_plain(path: Path, limit: int) -> bytes:
    """All bytes of a regular file of at most `limit` bytes. Raises as open_plain() does."""
    with open_plain(path, limit) as file:
        return file.read(limit)
