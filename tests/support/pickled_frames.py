"""Pickles of data frames as pandas writes them, made without pandas: stand-ins for its classes, and real arrays."""

import pickle
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

FRAME, MANAGERS, BLOCKS = "pandas.core.frame", "pandas.core.internals.managers", "pandas._libs.internals"
INDEX, RANGE = "pandas.core.indexes.base", "pandas.core.indexes.range"


class Reduced:
    """Pickled as a call of a stand-in with arguments."""

    def __init__(self, *call: Any):
        self._call = call

    def __reduce__(self):
        function, *args = self._call
        return function, tuple(args)


def pickled_frame(
    columns: Mapping[str, Sequence], protocol: int = 5, numbers: Sequence[str] = (), order: str = "C"
) -> bytes:
    """The pickle of a frame. numbers: the columns of floats; all others are objects. order: of arrays in memory."""
    modules, made = _pandas()
    objects = [name for name in columns if name not in numbers]
    names = list(columns)
    length = len(next(iter(columns.values())))
    values = _objects([columns[name] for name in objects], length, order)
    blocks = [Reduced(made["_unpickle_block"], values, _places(names, objects), 2)]
    if numbers:
        floats = np.array([columns[name] for name in numbers], np.float64, order=order)
        blocks.append(Reduced(made["_unpickle_block"], floats, _places(names, numbers), 2))
    axes = [
        Reduced(made["_new_Index"], made["Index"], {"data": _objects([names], len(names))[0], "name": None}),
        Reduced(made["_new_Index"], made["RangeIndex"], {"name": None, "start": 0, "stop": length, "step": 1}),
    ]
    frame = made["DataFrame"]()
    frame.__dict__ |= {"_mgr": Reduced(made["BlockManager"], tuple(blocks), axes), "_typ": "dataframe", "attrs": {}}
    with patch.dict(sys.modules, modules):
        return pickle.dumps(frame, protocol)


def _pandas() -> tuple[dict[str, ModuleType], dict[str, Any]]:
    """(modules by name, stand-ins by name)."""
    places = {
        "DataFrame": FRAME,
        "BlockManager": MANAGERS,
        "_unpickle_block": BLOCKS,
        "_new_Index": INDEX,
        "Index": INDEX,
        "RangeIndex": RANGE,
    }
    made = {name: type(name, (), {"__module__": module}) for name, module in places.items()}
    names = {".".join(module.split(".")[:n]) for module in places.values() for n in range(1, 5)}
    modules = {name: ModuleType(name) for name in names}
    for name, module in places.items():
        setattr(modules[module], name, made[name])
    return modules, made


def _objects(rows: Sequence[Sequence], length: int, order: str = "C") -> np.ndarray:
    array = np.empty((len(rows), length), object, order=order)
    for number, row in enumerate(rows):
        for place, value in enumerate(row):
            array[number, place] = value
    return array


def _places(names: Sequence[str], some: Sequence[str]) -> np.ndarray | slice:
    """A slice if the places have equal distances, as pandas does, else an array."""
    places = np.array([names.index(name) for name in some])
    steps = np.diff(places)
    if len(steps) and (steps == steps[0]).all():
        return slice(int(places[0]), int(places[-1]) + 1, int(steps[0]))
    return places
