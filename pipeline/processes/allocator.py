"""Lets the C library keep large buffers that were freed, for the next ones of their size.

By default, glibc returns each large buffer to the kernel, which clears every page of the next one anew. Imports nothing
that is slow to load.
"""

import contextlib
import ctypes
import os
import platform

KEPT_BYTES = 1 << 30  # freed memory that a process keeps at most before it returns some to the kernel
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
_OF_THE_USER = tuple(f"MALLOC_{name}_" for name in ("TRIM_THRESHOLD", "MMAP_THRESHOLD", "TOP_PAD", "ARENA_MAX"))


def keep_freed_memory() -> bool:
    """Keep up to KEPT_BYTES of freed memory in this process. Call it before threads and large buffers are made.

    All threads then share it: memory of a thread's own is limited to pieces of 64 MB, and larger ones are not kept.
    Returns whether that was set: not without glibc, nor where the user's environment sets up its allocator.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in (*_OF_THE_USER, "GLIBC_TUNABLES")):
        return False
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        numbers = {_M_MMAP_THRESHOLD: KEPT_BYTES, _M_TRIM_THRESHOLD: KEPT_BYTES, _M_ARENA_MAX: 1}
        were_set = [mallopt(name, number) for name, number in numbers.items()]
        return all(were_set)
    return False
