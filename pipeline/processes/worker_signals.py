"""Signal handling in worker processes: the parent decides when they end, and they never outlive it.

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
    """Call this first in a worker process. Accepts and ignores the arguments that pools and loaders pass.

    Ctrl-C and SIGTERM often go to all processes of a run. A worker that ended then would look as if it had crashed,
    before the parent has saved its state. So a worker ends on SIGTERM only if the parent sent it.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.signal(signal.SIGTERM, lambda *_: None)  # for threads that libraries have started already
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, args=(parent.pid,), daemon=True).start()
    _end_with_parent(parent)


def _end_by_parent(pid: int) -> None:
    while True:
        with contextlib.suppress(InterruptedError):
            if signal.sigwaitinfo({signal.SIGTERM}).si_pid == pid:
                os._exit(128 + signal.SIGTERM)


def _end_with_parent(parent) -> None:
    """End this process when the parent is gone, however it ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent.pid:  # it ended before that call
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel) -> None:
    connection.wait([sentinel])
    os._exit(1)
