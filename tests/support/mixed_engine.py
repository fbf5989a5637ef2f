"""An engine in this process whose tasks advance in turns, drawn by chance: the same seed gives the same order."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from embedonce.pipeline.engines.engine import (
    MAX_ATTEMPTS,
    EngineOptions,
    Event,
    TaskDone,
    TaskFailed,
    TaskResult,
    WorkerCrashed,
    run_task,
)


class CrashError(Exception):
    """Raised by a task: its worker process would have died."""


@dataclass
class _Running:
    task: Any
    events: Iterator[Event]


class MixedEngine:
    """workers tasks at once. Each next event is that of a task drawn by chance."""

    def __init__(self, function: Callable, options: EngineOptions, seed: int = 0, workers: int | None = None):
        self._function, self._options, self._random = function, options, random.Random(seed)
        self._workers = workers or options.workers

    def run(self, tasks: Iterable[Any]) -> Iterator[Event]:
        """As Engine.run."""
        waiting, running, has_more = iter(tasks), [], True
        while has_more or running:
            while has_more and len(running) < self._workers:
                task = next(waiting, StopIteration)
                if task is StopIteration:
                    has_more = False
                elif task is not None:
                    running.append(_Running(task, self._events(task)))
                else:
                    break
            if running:
                chosen = self._random.choice(running)
                event = next(chosen.events)
                running = [one for one in running if one is not chosen or not isinstance(event, TaskDone | TaskFailed)]
                yield event

    def _events(self, task: Any) -> Iterator[Event]:
        used, delivered = self._options.attempts_used(task), 0
        while used < MAX_ATTEMPTS:
            crashed, received = None, 0
            for event in run_task(self._guarded, task):
                if isinstance(event, TaskFailed) and event.reason.startswith("crash: "):
                    crashed = event.reason
                    break
                received += isinstance(event, TaskResult)
                if not isinstance(event, TaskResult) or received > delivered:
                    delivered = max(delivered, received)
                    yield event
                if isinstance(event, TaskDone | TaskFailed):
                    return
            yield WorkerCrashed(task, crashed)
            used = max(used + 1, self._options.attempts_used(task))
        yield TaskFailed(task, f"{used} attempts")

    def _guarded(self, task: Any) -> Iterator[Any]:
        try:
            for value in self._function(task):
                if value is not None and not (isinstance(value, list) and not value):
                    yield value
        except CrashError as crash:
            raise RuntimeError(f"crash: {crash}") from crash
