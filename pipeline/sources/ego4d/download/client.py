"""Ego4D's own client, called as a program of its own: one data set a call, its words in a log, nothing asked.

Never imports it. Its exit code says little (it is 0 when downloads failed), so callers look at the files.
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

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 5.0
LAST_LINES = 8


def program() -> list[str]:
    """How to start the client. PipelineError where it is not installed."""
    if importlib.util.find_spec("ego4d") is not None:
        return [sys.executable, "-P", "-m", "ego4d.cli.cli"]  # -P: no module of the folder we are in gets in its way
    script = shutil.which("ego4d")
    if script is None:
        raise PipelineError("Ego4D's client is not installed: pip install 'embedonce[ego4d]'")
    return [script]


def run(
    root: Path, dataset: str, version: str, profile: str, uids: Iterable[str], log: Path, lock: int, tick: Callable
) -> None:
    """Let the client fetch a data set into root, or only uids of it. Returns when it ended, however it did.

    Its files get their names when they are whole. It skips those that are there (--bypass-existing) without looking
    at their size, so wrong ones must be taken away before. Its own record of versions is of no use: in a bucket
    without versions it fetches everything again. lock: a descriptor it keeps open, so that the folder stays locked
    should it outlive us. tick: called from time to time. Interrupted, it is ended first.
    """
    command = [*program(), f"--output_directory={root.absolute()}", "--datasets", dataset, f"--version={version}"]
    command += [f"--aws_profile_name={profile}", "--bypass-existing", "-y"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as list_of_uids, log.open("wb") as said:
        if uids := list(uids):
            list_of_uids.write("\n".join(uids))
            list_of_uids.flush()
            command += [f"--video_uid_file={list_of_uids.name}"]  # a file: a command line has not room for thousands
        process = None
        try:
            with interrupts.deferred():
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, pass_fds=(lock,)
                )
                interrupts.kill_on_second_signal(process)
            _wait(process, tick)
        finally:
            if process is not None:
                _end(process)
    tick()


def last_lines(log: Path) -> list[str]:
    """The end of what the client said, without the redrawn lines of its progress bars."""
    lines = [line.rpartition("\r")[2].rstrip() for line in said(log).replace("\r\n", "\n").split("\n")]
    return [f"  | {line[:200]}" for line in [line for line in lines if line][-LAST_LINES:]]


def said(log: Path) -> str:
    """All that the client said."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _wait(process: subprocess.Popen, tick: Callable) -> None:
    while process.poll() is None:
        try:
            process.wait(SECONDS_BETWEEN_LOOKS)
        except subprocess.TimeoutExpired:
            tick()


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
