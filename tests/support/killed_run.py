"""A whole extraction with a fake teacher in a session of its own, killed by SIGKILL while it runs.

Starts, kills and awaits it; what must be true afterwards is checked elsewhere. Never loads torch.
"""

import base64
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction import frame_pipeline, runner
from embedonce.pipeline.extraction.decode_tasks import decode_video
from embedonce.pipeline.extraction.parts import chosen_names
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import union
from tests.support.fake_teacher import FakeTeacher, write_zero_shot

ROOT = Path(__file__).parents[2]
COMMITS = {"commit_frames": 0, "commit_logits": 1, "publish_clips": 1}  # method -> position of the argument to print
ATTEMPTS = {"count_attempt": 0, "forget_attempts": 0}
SECONDS_TO_END = 300.0  # for the processes to end by themselves


@dataclass(frozen=True)
class Job:
    """One extraction. dies_after: line of output after which it is killed; mutate: called before it starts."""

    config: ExtractConfig
    decode: Callable = decode_video
    dies_after: str | None = None
    mutate: Callable[[], None] | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended. code: negative after a signal; lines: its output; hit: it was still running when killed."""

    code: int
    lines: list[str]
    errors: str
    seconds: float
    hit: bool

    @property
    def acknowledged(self) -> list[str]:
        """The output lines that acknowledge commits."""
        return [line for line in self.lines if line.partition(" ")[0] in COMMITS]


def run(job: Job, strike: str | None = None, delay_sec: float = 0.0, num_lines: int = 0) -> Ended:
    """Run the job; kill what STRIKES names after num_lines of output and another delay_sec.

    Returns when all its processes are gone. Time starts after the imports.
    """
    packed = base64.b64encode(pickle.dumps(job)).decode()
    command = [sys.executable, "-c", "from tests.support.killed_run import work; work()", packed]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as process:
        try:
            process.stdout.readline()
            start, hit = time.monotonic(), False
            output = b"".join(process.stdout.readline() for _ in range(num_lines))
            if strike is not None:
                try:
                    process.wait(delay_sec)
                except subprocess.TimeoutExpired:
                    hit = STRIKES[strike](process)
            rest, errors = process.communicate(timeout=SECONDS_TO_END)  # until the last process has closed the pipes
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    lines = (output + rest).decode().splitlines()
    return Ended(process.returncode, lines, errors.decode(), time.monotonic() - start, hit)


def _kill_everything(process: subprocess.Popen) -> bool:
    os.killpg(process.pid, signal.SIGKILL)
    return True


def _kill_the_parent(process: subprocess.Popen) -> bool:
    process.kill()
    return True


def _kill_a_worker(process: subprocess.Popen) -> bool:
    """Whether there was a worker."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process may have just ended
            if os.getpgid(int(folder.name)) == process.pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
                return True
    return False


STRIKES = {"everything": _kill_everything, "the parent": _kill_the_parent, "a worker": _kill_a_worker}


# -- in the process that may be killed -----------------------------------------------------------------------------


def work() -> None:
    """Run the job given on the command line; print immediately what is committed, and finally the summary."""
    job: Job = pickle.loads(base64.b64decode(sys.argv[1]))
    frame_pipeline.work_on_video = job.decode
    if job.mutate is not None:
        job.mutate()
    for name, position in (COMMITS | ATTEMPTS).items():
        setattr(CacheWriter, name, _telling(getattr(CacheWriter, name), position, job.dies_after))
    os.write(1, b"started\n")
    source = union(open_sources(job.config.data_dir))
    chosen = chosen_names(source, job.config.part)
    writer, teacher, result = runner.extract(job.config, source, FakeTeacher, chosen=chosen)
    write_zero_shot(writer, source, teacher)
    writer.write_manifest()
    writer.close()
    os.write(1, f"{result.line}\n".encode())
    sys.exit(result.exit_code)


def _telling(method: Callable, position: int, dies_after: str | None) -> Callable:
    def told(writer, *arguments):
        method(writer, *arguments)
        line = f"{method.__name__} {arguments[position]}"
        os.write(1, f"{line}\n".encode())
        if line == dies_after:
            os.killpg(0, signal.SIGKILL)

    return told
