"""Runs Ego4D's own client in a process of its own, one data set per call, with its output in a log.

Never imports the client. Its exit code is 0 even if downloads failed, so callers check the files.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes import interrupts

POLL_SEC = 0.5
TERMINATION_SEC = 5.0
NUM_LAST_LINES = 8


def program() -> list[str]:
    """The command that starts the client. Raises PipelineError if it is not installed."""
    if importlib.util.find_spec("ego4d") is not None:
        return [sys.executable, "-P", "-m", "ego4d.cli.cli"]  # -P: ignore modules in the current folder
    script = shutil.which("ego4d")
    if script is None:
        raise PipelineError("Ego4D's client is not installed: pip install 'embedonce[ego4d]'")
    return [script]


def run(
    root: Path, dataset: str, version: str, profile: str, uids: Iterable[str], log: Path, lock: int, tick: Callable
) -> None:
    """Download a data set into root, or only some uids of it. Returns when the client exits, whatever its result.

    A file gets its name when it is complete. The client skips existing files (--bypass-existing) without checking their
    size, so files of a wrong size must be removed before. Its own record of versions is not used, because in a bucket
    without versioning it downloads everything again. lock: a file descriptor that the client inherits, so that the
    folder stays locked if it outlives this process. tick: called at intervals. On an interrupt the client is ended.
    """
    command = [*program(), f"--output_directory={root.absolute()}", "--datasets", dataset, f"--version={version}"]
    command += [f"--aws_profile_name={profile}", "--bypass-existing", "-y"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as list_of_uids, log.open("wb") as output:
        if uids := list(uids):
            list_of_uids.write("\n".join(uids))
            list_of_uids.flush()
            command += [f"--video_uid_file={list_of_uids.name}"]  # a command line has no room for thousands
        process = None
        try:
            with interrupts.deferred():
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=(lock,)
                )
                interrupts.end_with_us(process)
            _wait(process, tick)
        finally:
            if process is not None:
                _terminate(process)
    tick()


def last_lines(log: Path) -> list[str]:
    """The end of the client's output, without the redrawn lines of its progress bars."""
    lines = [line.rpartition("\r")[2].rstrip() for line in read_log(log).replace("\r\n", "\n").split("\n")]
    return [f"  | {line[:200]}" for line in [line for line in lines if line][-NUM_LAST_LINES:]]


def read_log(log: Path) -> str:
    """The client's output; empty if there is no log."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _wait(process: subprocess.Popen, tick: Callable) -> None:
    while process.poll() is None:
        try:
            process.wait(POLL_SEC)
        except subprocess.TimeoutExpired:
            tick()


def _terminate(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(TERMINATION_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
