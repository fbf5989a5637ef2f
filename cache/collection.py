"""Pauses Python's garbage collector: where it could stop a thread for ever, and where it only costs time.

h5py has one lock for the whole HDF5 library. It is held while a file is read, also while the bytes come from another
thread: the event loop of an object store. If that thread collected garbage with an object of h5py in it, it would wait
for the lock, and both would wait for ever. And while many documents are parsed, which have no cycles, the collector
would search all of them again and again.
"""

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_num_within = 0
_was_enabled = False


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No garbage is collected on its own, in any thread, until all who are within this context have left it."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _num_within, _was_enabled
    with _lock:
        if not _num_within:
            _was_enabled = gc.isenabled()
            gc.disable()
        _num_within += 1


def _leave() -> None:
    global _num_within
    with _lock:
        _num_within -= 1
        if not _num_within and _was_enabled:
            gc.enable()
