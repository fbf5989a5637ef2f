"""Signals in a worker process: the parent decides when it ends, and it never outlives the parent.

Imports nothing that is slow to load.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection

GRACE_SEC = 2.0  # a SIGTERM to all processes of a run reaches the parent within it
_PR_SET_PDEATHSIG = 1


def leave_to_parent(*_) -> None:
    """Call this first in a worker process. Takes what pools and loaders pass to such a function.

    Ctrl-C and SIGTERM often go to all processes of a run: a worker that ended at once would look like one that crashed.
    SIGINT and SIGHUP are ignored; after a SIGTERM the process goes on for GRACE_SEC, or until the parent ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_soon)
    _end_with_parent()


def _end_soon(_number, _frame) -> None:
    timer = threading.Timer(GRACE_SEC, os._exit, (128 + signal.SIGTERM,))
    timer.daemon = True
    timer.start()


def _end_with_parent() -> None:
    """Be ended when the parent is gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it went before that call
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel) -> None:
    connection.wait([sentinel])
    os._exit(1)
