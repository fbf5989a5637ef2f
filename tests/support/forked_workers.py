"""Decode processes forked from one that has imported everything they need, instead of spawned ones.

For tests that extract many times and do not test the processes themselves: a spawned process takes almost half a second
to import, twice per extraction. test_process_pool.py, test_kills.py and test_interrupts.py, among others, spawn real
ones.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from embedonce.pipeline.engines import child_process
from embedonce.pipeline.processes import worker_signals

ROOT = Path(__file__).parents[2]
CONTEXT = multiprocessing.get_context("forkserver")


def _begin(target, *arguments) -> None:
    """The fork server is the parent of this process, so the check for an orphaned process must not apply."""
    worker_signals._end_with_parent = lambda parent: None
    target(*arguments)


def _process(target, args=(), daemon=None):
    return CONTEXT.Process(target=_begin, args=(target, *args), daemon=daemon)


@contextlib.contextmanager
def forked() -> Iterator[None]:
    """The worker pools of pipeline.engines fork their processes."""
    places = (os.environ.get("PYTHONPATH"), str(ROOT))
    tasks = [f"embedonce.pipeline.extraction.{name}" for name in ("scan_tasks", "decode_tasks")]
    CONTEXT.set_forkserver_preload([*tasks, "tests.support.forked_workers"])
    with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(filter(None, places))}):
        forkserver.ensure_running()
    context = SimpleNamespace(Pipe=CONTEXT.Pipe, Process=_process)
    with mock.patch.object(child_process, "multiprocessing", SimpleNamespace(get_context=lambda kind: context)):
        yield
