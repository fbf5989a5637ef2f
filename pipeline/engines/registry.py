"""The engines that a run can choose from, by name. To add one, write a module and add one line to ENGINES."""

from collections.abc import Callable, Iterable
from typing import Any

from embedonce.pipeline.engines.engine import Engine, EngineOptions, Task, Value
from embedonce.pipeline.engines.process_pool import WorkerPool

DEFAULT_ENGINE = "local"
RAY = "ray"
ENGINES: dict[str, Callable[[Callable[[Any], Iterable[Any]], EngineOptions], Engine[Any, Any]]] = {
    "local": WorkerPool,
    RAY: WorkerPool,  # each worker of the cluster decodes with one; see pipeline/extraction/cluster
}


def make_engine(name: str, function: Callable[[Task], Iterable[Value]], options: EngineOptions) -> Engine[Task, Value]:
    """The engine of this name, which will run function. ValueError if there is no such engine.

    function: module-level, task -> values that can be pickled; its errors become TaskFailed.
    """
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}: choose one of {', '.join(ENGINES)}")
    return ENGINES[name](function, options)
