"""Decode processes that are forked from one that has imported all they need, in place of those that import it anew.

For tests that extract many times and are not about the processes: a spawned one takes most of half a second to import,
twice for each extraction. How real ones start and end, and what they load, is for test_process_pool.py, test_kills.py,
test_interrupts.py and test_boundary.py, among others, which spawn them.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from embedonce.pipeline.engines import worker_process
from embedonce.pipeline.processes import worker_signals

ROOT = Path(__file__).parents[2]
CONTEXT = multiprocessing.get_context("forkserver")


def _begin(target, *arguments) -> None:
    """The server is what started this process, so that it is no orphan; it ends with its pipe and by its parent."""
    worker_signals._end_with_parent = lambda parent: None
    target(*arguments)


def _process(target, args=(), daemon=None):
    return CONTEXT.Process(target=_begin, args=(target, *args), daemon=daemon)


@contextlib.contextmanager
def forked() -> Iterator[None]:
    """The pools of pipeline.engines fork their processes."""
    places = (os.environ.get("PYTHONPATH"), str(ROOT))
    tasks = [f"embedonce.pipeline.extraction.{name}" for name in ("scan_tasks", "decode_tasks")]
    CONTEXT.set_forkserver_preload([*tasks, "tests.support.forked_workers"])
    with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(filter(None, places))}):
        forkserver.ensure_running()
    context = SimpleNamespace(Pipe=CONTEXT.Pipe, Process=_process)
    with mock.patch.object(worker_process, "multiprocessing", SimpleNamespace(get_context=lambda kind: context)):
        yield
