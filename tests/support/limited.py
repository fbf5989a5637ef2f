"""Calls in a child process with a limit of memory and time.

The child is forked, so that libraries that are loaded here need not be loaded again, and limited by the kernel.
"""

import faulthandler
import io
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from embedonce import cli

MEGABYTES = 1 << 20
SPARE_BYTES, BYTES_PER_BYTE = 256 * MEGABYTES, 32  # what docs/reliability.md says that a reader takes at most
_RAISED = 99


def thinned(cases: list[tuple], step: int = 4) -> list:
    """Every fourth of these cases for the ordinary tests; the others are marked slow."""
    return [case if not n % step else pytest.param(*case, marks=pytest.mark.slow) for n, case in enumerate(cases)]


def allowance(*paths: Path) -> int:
    """Bytes of memory that reading these files or folders may take."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return SPARE_BYTES + BYTES_PER_BYTE * sum(file.stat().st_size for file in files if file.is_file())


def run(call: Callable, num_bytes: int, seconds: int = 60) -> tuple[int, str]:
    """(exit code, all that it printed) of a call in a child with so much more memory than this process has now.

    The code is 99 if it raised anything but SystemExit, and below 0 if a signal ended it. A child that reached its time
    limit without computing is forked once more: pytest's workers have threads, and a fork of such a process may wait
    forever for a lock that another thread held. A call that hangs by itself does so both times.
    """
    code, said, cpu_seconds = _run_once(call, num_bytes, seconds)
    if code == -signal.SIGALRM and cpu_seconds < seconds / 4:
        code, said, _ = _run_once(call, num_bytes, seconds)
    return code, said


def _run_once(call: Callable, num_bytes: int, seconds: int) -> tuple[int, str, float]:
    """(exit code, output, CPU seconds) of one child."""
    sys.stdout.flush()
    with tempfile.TemporaryFile("w+", errors="backslashreplace") as said:
        child = os.fork()
        if not child:
            _in_child(call, num_bytes, seconds, said.fileno())
        _, status, usage = os.wait4(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read(), usage.ru_utime + usage.ru_stime


def _in_child(call: Callable, num_bytes: int, seconds: int, output: int) -> None:
    """Never returns."""
    code = _RAISED
    try:
        os.dup2(output, 1), os.dup2(output, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), errors="backslashreplace")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), errors="backslashreplace")
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + num_bytes, used + num_bytes))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=2, chain=True)  # a call that hangs shows where
        signal.alarm(seconds)
        call()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def command(*arguments, num_bytes: int, seconds: int = 60) -> tuple[int, str]:
    """run() of one command line."""
    return run(lambda: cli.main(list(map(str, arguments)), "cli.py"), num_bytes, seconds)


def refusal(*arguments, num_bytes: int, codes=(2, 4), seconds: int = 60) -> str:
    """The one sentence that a command ends with. AssertionError where it ends otherwise."""
    code, said = command(*arguments, num_bytes=num_bytes, seconds=seconds)
    assert code in codes and "Traceback" not in said, f"exit code {code}: {said[-2000:]}"
    error = said[said.index("Error: ") :].strip()
    assert "\n" not in error and len(error) < 2000 and "out of memory" not in error, error[:2000]
    return error
