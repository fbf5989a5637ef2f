"""Signals in a worker process: the parent decides when it ends, and it never outlives the parent.

Imports nothing that is slow to load.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection

_PR_SET_PDEATHSIG = 1


def leave_to_parent(*_) -> None:
    """Call this first in a worker process. Takes what pools and loaders pass to such a function.

    Ctrl-C and SIGTERM often go to all processes of a run: a worker that ended then would look like one that crashed,
    before the parent has saved its state. So a worker ends by SIGTERM only where the parent sent it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.signal(signal.SIGTERM, lambda *_: None)  # for threads of libraries that are there already
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, args=(parent.pid,), daemon=True).start()
    _end_with_parent(parent)


def _end_by_parent(pid: int) -> None:
    while True:
        with contextlib.suppress(InterruptedError):
            if signal.sigwaitinfo({signal.SIGTERM}).si_pid == pid:
                os._exit(128 + signal.SIGTERM)


def _end_with_parent(parent) -> None:
    """Be ended when the parent is gone, however that went."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it went before that call
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel) -> None:
    connection.wait([sentinel])
    os._exit(1)
