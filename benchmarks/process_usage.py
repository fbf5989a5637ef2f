"""What a command needs, with all processes that it starts: seconds, processor seconds, memory.

Reads /proc, so it works on Linux only.
"""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SAMPLE_SEC = 0.2  # between two looks at the processes; the last moments of one that ends in between are not seen
TICKS = os.sysconf("SC_CLK_TCK")
KB_PER_MB = 1024


class CommandError(Exception):
    """A command that is measured failed; the text is the last line that it wrote."""


@dataclass(frozen=True)
class Usage:
    """Of one run of a command.

    cpu_sec: of all its processes. parent_mb, child_mb: largest resident size of its own process, and of the largest
    one that it started. all_mb: of all of them at once, with what they share counted in each.
    """

    wall_sec: float
    cpu_sec: float
    parent_mb: float
    child_mb: float
    all_mb: float
    output: str


def measure(command: Sequence[str], environment: dict[str, str], folder: Path) -> Usage:
    """Run a command in a folder to its end. CommandError if it fails."""
    start, before = time.perf_counter(), os.times()
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        watch = _Watch(process.pid)
        watch.start()
        output, _ = process.communicate()
        wall_sec = time.perf_counter() - start
        watch.stop()
    if process.returncode:
        raise CommandError(next(iter(reversed(output.strip().splitlines())), f"exit code {process.returncode}"))
    after = os.times()
    reaped = after.children_user + after.children_system - before.children_user - before.children_system
    # Processes that nobody waits for are missing in the kernel's sum, and the last moments of others in the samples
    return Usage(wall_sec, max(reaped, watch.cpu_sec), *watch.megabytes, output)


def tree_seconds(pid: int) -> float:
    """Processor seconds so far of a running process and of its descendants."""
    watch = _Watch(pid)
    watch.look()
    return watch.cpu_sec


class _Watch(threading.Thread):
    """Looks at a process and its descendants until it is stopped."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._pid, self._has_ended = pid, threading.Event()
        self._family = {pid}
        self._cpu: dict[tuple[int, str], float] = {}  # (pid, when it started) -> processor seconds
        self._peak: dict[int, float] = {}
        self._all_mb = 0.0

    def run(self) -> None:
        while not self._has_ended.wait(SAMPLE_SEC):
            self.look()

    def stop(self) -> None:
        self._has_ended.set()
        self.join()

    @property
    def cpu_sec(self) -> float:
        return sum(self._cpu.values())

    @property
    def megabytes(self) -> tuple[float, float, float]:
        """Largest resident size of the process, of its largest descendant, and of all at once."""
        children = [size for pid, size in self._peak.items() if pid != self._pid]
        return self._peak.get(self._pid, 0.0), max(children, default=0.0), self._all_mb

    def look(self) -> None:
        """Take what the processes have used so far."""
        stats = {int(entry.name): _stat(entry) for entry in PROC.iterdir() if entry.name.isdecimal()}
        found = {pid: stat for pid, stat in stats.items() if stat is not None}
        count = 0
        while count != len(self._family):  # a process keeps belonging to it when its parent has ended
            count = len(self._family)
            self._family |= {pid for pid, stat in found.items() if int(stat[1]) in self._family}
        sizes = 0.0
        for pid in self._family & set(found):
            stat = found[pid]
            self._cpu[pid, stat[19]] = (int(stat[11]) + int(stat[12])) / TICKS
            size = int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / (KB_PER_MB * KB_PER_MB)
            self._peak[pid] = max(self._peak.get(pid, 0.0), size)
            sizes += size
        self._all_mb = max(self._all_mb, sizes)


def _stat(entry: Path) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name; None if the process has ended."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
