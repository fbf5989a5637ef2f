"""Starts processes that do not import the main module of this one."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

_starting = threading.Lock()


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Within this context, started processes do not import the main module: it may be a script of the user's.

    They need nothing of it, and a script without `if __name__ == "__main__"` would begin anew in each of them. The
    module itself stays as it is: other threads may be importing something that looks at it. A process that is forked
    here can start others in turn.
    """
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _renew_lock() -> None:
    global _starting
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
