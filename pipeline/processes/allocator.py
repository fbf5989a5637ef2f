"""Lets the C library keep large buffers that were freed, for the next ones of their size.

By default, glibc returns each large buffer to the kernel, which clears every page of the next one anew. Imports nothing
that is slow to load.
"""

import contextlib
import ctypes
import os
import platform

KEPT_BYTES = 1 << 30  # freed memory that a process keeps at most before it returns some to the kernel
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_OF_THE_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep up to KEPT_BYTES of freed memory in this process. Call it before large buffers are allocated.

    Returns whether that was set: not without glibc, nor where the user's environment sets up its allocator.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _OF_THE_USER):
        return False
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return all([mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES), mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)])
    return False
