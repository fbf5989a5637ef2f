"""What an extraction does to its video files: how often each is opened, and what is read, by stage.

Everything runs in this process, one task after another, so that nothing escapes the counters.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedonce.pipeline.engines.engine import Event, awaited, run_task
from embedonce.pipeline.extraction import frame_pipeline, scanning
from embedonce.pipeline.extraction.scan_tasks import ScanTask
from embedonce.pipeline.remote_files import ranged_file, remote_file
from embedonce.pipeline.sources import known_files
from embedonce.pipeline.video import container, demuxer_input

IO = Path("/proc/self/io")
STAGES = ("fingerprint", "scan", "decode")
VIDEO_MODULES = "embedonce.pipeline.video."


@dataclass
class Reads:
    """What one stage did.

    opens: of the files themselves, by FFmpeg or not. demuxers: of them, opened by FFmpeg. packets: that FFmpeg gave.
    num_bytes: that the process asked the system for, 0 if that is not counted. requests: to the server of a remote
    file. downloaded: bytes of its answers. cpu_sec: processor time.
    """

    opens: int = 0
    demuxers: int = 0
    packets: int = 0
    num_bytes: int = 0
    requests: int = 0
    downloaded: int = 0
    cpu_sec: float = 0.0


class ReadCounter:
    """Counts within counting(), by stage. folder: of the local files that count; None for remote files."""

    def __init__(self, folder: Path | None = None):
        self.stages = {stage: Reads() for stage in STAGES}
        self._folder = None if folder is None else f"{folder.resolve()}{os.sep}"
        self._stage: str | None = None

    @property
    def total(self) -> Reads:
        """Of all stages."""
        names = Reads.__dataclass_fields__
        return Reads(*(sum(getattr(reads, name) for reads in self.stages.values()) for name in names))

    @contextlib.contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """What is read now belongs to this stage."""
        reads, outer = self.stages[stage], self._stage
        before, start, self._stage = num_read(), time.process_time(), stage
        try:
            yield
        finally:
            reads.num_bytes += num_read() - before
            reads.cpu_sec += time.process_time() - start
            self._stage = outer

    def add(self, **counts: int) -> None:
        """Count for the stage of now, if there is one."""
        if self._stage is not None:
            reads = self.stages[self._stage]
            for name, count in counts.items():
                setattr(reads, name, getattr(reads, name) + count)

    def hear(self, event: str, arguments: tuple) -> None:
        """Of sys.addaudithook: files that Python opens."""
        if event == "open" and self._folder is not None and isinstance(arguments[0], str | os.PathLike):
            self.add(opens=os.fspath(arguments[0]).startswith(self._folder))


_heard: list[ReadCounter] = []  # audit hooks stay for ever: there is one, and these counters


def _hear(event: str, arguments: tuple) -> None:
    for counter in _heard:
        counter.hear(event, arguments)


sys.addaudithook(_hear)


@contextlib.contextmanager
def counting(folder: Path | None = None) -> Iterator[ReadCounter]:
    """Extractions run in this process and are counted. folder: as of a ReadCounter."""
    counter = ReadCounter(folder)
    with pytest.MonkeyPatch.context() as patch:
        of_files = known_files.KnownFiles.fingerprints
        patch.setattr(known_files.KnownFiles, "fingerprints", _staged(counter, "fingerprint", of_files))
        for module in (scanning, frame_pipeline):
            patch.setattr(module, "make_engine", lambda name, function, options: _CountingEngine(function, counter))
        _patch_video_modules(patch, demuxer_input.open_container, _counted_container(counter))
        _patch_video_modules(patch, container.packets_of, _counted_packets(counter))
        patch.setattr(remote_file.RemoteFile, "open", _counted_open(counter))
        patch.setattr(remote_file, "described", _counted_description(counter))
        patch.setattr(ranged_file.RangedFile, "_range", _counted_range(counter))
        _heard.append(counter)
        try:
            yield counter
        finally:
            _heard.remove(counter)


def num_read() -> int:
    """Bytes that this process has asked the system for; 0 if the system does not count them."""
    return int(IO.read_text().split()[1]) if IO.exists() else 0


class _CountingEngine:
    """Runs tasks one after another in this process, each in its stage."""

    def __init__(self, function: Callable[[Any], Iterable[Any]], counter: ReadCounter):
        self._function, self._counter = function, counter

    def run(self, tasks: Iterable[Any]) -> Iterator[Event[Any, Any]]:
        for task in awaited(tasks):
            yield from run_task(self._counted, task)

    def _counted(self, task: Any) -> Iterator[Any]:
        stage = "scan" if isinstance(task, ScanTask) else "decode"
        values = iter(self._function(task))
        while True:
            with self._counter.during(stage):
                try:
                    value = next(values)
                except StopIteration:
                    return
            yield value


def _patch_video_modules(patch: pytest.MonkeyPatch, old: Callable, new: Callable) -> None:
    """Replace a function in every module that has imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith(VIDEO_MODULES) and getattr(module, old.__name__, None) is old:
            patch.setattr(module, old.__name__, new)


def _staged(counter: ReadCounter, stage: str, function: Callable) -> Callable:
    def staged(*arguments):
        with counter.during(stage):
            return function(*arguments)

    return staged


def _counted_container(counter: ReadCounter) -> Callable:
    original = demuxer_input.open_container

    def counted(source, **options):
        counter.add(demuxers=1, opens=isinstance(source, str))
        return original(source, **options)

    return counted


def _counted_packets(counter: ReadCounter) -> Callable:
    original = container.packets_of

    def counted(*arguments):
        for packet in original(*arguments):
            counter.add(packets=1)
            yield packet

    return counted


def _counted_open(counter: ReadCounter) -> Callable:
    original = remote_file.RemoteFile.open

    def counted(self, mode="rb"):
        counter.add(opens=1)
        return original(self, mode)

    return counted


def _counted_description(counter: ReadCounter) -> Callable:
    original = remote_file.described

    def counted(url):
        counter.add(requests=1)
        return original(url)

    return counted


def _counted_range(counter: ReadCounter) -> Callable:
    original = ranged_file.RangedFile._range

    def counted(self, start, stop):
        data = original(self, start, stop)
        counter.add(requests=1, downloaded=len(data))
        return data

    return counted
