"""Files that users name, read without trust: regular files only, and no more bytes than allowed.

A link is followed, for the user gave its name; a FIFO, a device or a socket is refused before anybody waits for it or
reads without end. Knows paths and bytes.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

CONFIG_BYTES = 1 << 20  # of a model's configuration: they have some hundreds
LIST_BYTES = 256 << 20  # of a list, log or record that somebody keeps beside data


class NotPlainError(OSError):
    """What lies under a name is no regular file, or is too large to be what it should be; strerror says which."""


def open_plain(path: Path, limit: int | None = None) -> BinaryIO:
    """A regular file open for reading. NotPlainError where it is something else or has more than limit bytes; other
    OSErrors as open() raises them."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise NotPlainError(errno.EINVAL, "is a pipe or a device, not a regular file", str(path))
        if limit is not None and status.st_size > limit:
            message = f"has {status.st_size} bytes, more than the {limit} that such a file may have"
            raise NotPlainError(errno.EFBIG, message, str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_plain(path: Path, limit: int) -> bytes:
    """All bytes of a regular file of at most limit bytes. Errors as in open_plain()."""
    with open_plain(path, limit) as file:
        return file.read(limit)
