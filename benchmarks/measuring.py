"""What all benchmarks share: interleaved runs, medians, the machine they ran on, the closing line of JSON."""

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np


def interleaved(
    calls: dict[str, Callable[[], object]],
    repeats: int,
    processor: dict[str, float] | None = None,
    untimed: int = 0,
) -> dict[str, float]:
    """Median wall seconds of each call: every round runs all of them once, each round beginning with another one.

    processor: filled with the median seconds of processor time of each, all threads of this process together. untimed:
    how often each is called before it is timed, in each round, so that what others left in the caches does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    working: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            call = calls[name]
            for _ in range(untimed):
                call()
            start, work_start = time.perf_counter(), time.process_time()
            call()
            seconds[name].append(time.perf_counter() - start)
            working[name].append(time.process_time() - work_start)
    if processor is not None:
        processor |= {name: float(np.median(found)) for name, found in working.items()}
    return {name: float(np.median(found)) for name, found in seconds.items()}


def machine(*libraries: str) -> dict:
    """Processor, cores, interpreter and versions; a library that is not there is None."""
    versions = {}
    for name in libraries:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def finish(name: str, figures: dict) -> None:
    """The one line of JSON that ends a benchmark."""
    click.echo(json.dumps({"benchmark": name, **figures}))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
