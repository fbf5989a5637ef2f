"""The columns of a pandas DataFrame in a pickle, without pandas and without running anything of the file.

pandas pickles a frame as blocks of columns of one type, each a numpy array, with the places of these columns.
"""

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedonce.models.plain_files import read_plain
from embedonce.pipeline.sources.hd_epic.pickle_data import Made, PickleDataError, read_pickle

MAX_BYTES = 1 << 30
MAX_COLUMNS = MAX_ENTRIES = 1000  # of a frame, of a list in a cell
_FRAME = ("pandas.core.frame.DataFrame",)
_MANAGER = ("pandas.core.internals.managers.BlockManager",)
_BLOCK = ("pandas._libs.internals._unpickle_block",)
_INDEX = ("pandas.core.indexes.base._new_Index",)
_SLICE = ("builtins.slice", "__builtin__.slice")
_DTYPE = ("numpy.dtype",)
_ARRAY = ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct")
_BUFFER = ("numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer")
_SCALAR = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
_ENCODE = ("_codecs.encode",)  # how bytes are written for Python 2
_NUMBERS = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_OBJECT = "O8"


def frame_columns(path: Path, wanted: Collection[str]) -> dict[str, list]:
    """Name -> values of the wanted columns that the frame has, all of the same length.

    Values are numbers, texts, None, and lists of these. PickleDataError if the file holds something else than a frame
    of plain values. OSError as read_plain().
    """
    content = read_pickle(read_plain(path, MAX_BYTES))
    try:
        return _columns(content, wanted)
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
        raise PickleDataError(f"expected a table of plain values, got another form of it: {error}") from error


def _columns(content: object, wanted: Collection[str]) -> dict[str, list]:
    blocks, (names, _) = _made(_made(content, _FRAME).state["_mgr"], _MANAGER).args
    _, named = _made(names, _INDEX).args
    _, column_names = _array(named["data"])
    columns: dict[int, list] = {}
    for block in blocks:
        values, places, _ = _made(block, _BLOCK).args
        columns |= dict(zip(_places(places), _rows(values), strict=True))
    if sorted(columns) != list(range(len(column_names))) or len({len(values) for values in columns.values()}) > 1:
        raise ValueError("its blocks do not make up its columns")
    named_columns = {name: columns[place] for place, name in enumerate(column_names) if name in wanted}
    return {name: [_plain(value) for value in values] for name, values in named_columns.items()}


def _made(value: object, makers: tuple[str, ...]) -> Made:
    if not isinstance(value, Made) or value.maker not in makers:
        raise ValueError(
            f"{makers[0]} expected, got {value.maker if isinstance(value, Made) else type(value).__name__}"
        )
    return value


def _places(value: object) -> Sequence[int]:
    """The places of the columns of a block, a slice or an array."""
    if isinstance(value, Made) and value.maker in _SLICE:
        return range(*value.args)
    return _array(value)[1]


def _rows(value: object) -> list[list]:
    """The rows of an array of two dimensions."""
    (num_rows, length), values = _array(value)
    if num_rows > MAX_COLUMNS:
        raise ValueError(f"at most {MAX_COLUMNS} columns expected, got {num_rows}")
    return [values[row * length : (row + 1) * length] for row in range(num_rows)]


def _array(value: object) -> tuple[tuple[int, ...], list]:
    """(shape, values row by row) of a numpy array."""
    made = _made(value, (*_ARRAY, *_BUFFER))
    if made.maker in _BUFFER:
        raw, kind, shape, order = made.args
    else:
        _, shape, kind, is_fortran, raw = made.state
        order = "F" if is_fortran else "C"
    dtype = _dtype(kind)
    if dtype != _OBJECT:
        return shape, _numbers(raw, dtype).reshape(shape, order=order).ravel().tolist()
    if not isinstance(raw, list) or len(raw) != math.prod(shape):
        raise ValueError("an array with another number of values than its shape has")
    return shape, raw


def _dtype(value: object) -> str:
    """The type of an array, with its byte order, if it is one of plain values."""
    made = _made(value, _DTYPE)
    code, order = made.args[0], made.state[1]
    if code in (_OBJECT, "O"):
        return _OBJECT
    if code not in _NUMBERS or order not in ("<", ">", "|"):
        raise ValueError(f"plain values expected, got those of the type {code!r}")
    return f"{order}{code}"


def _numbers(raw: Any, dtype: str) -> np.ndarray:
    if isinstance(raw, Made):
        text, encoding = _made(raw, _ENCODE).args
        if encoding != "latin1":
            raise ValueError(f"bytes expected, got text in {encoding!r}")
        raw = text.encode(encoding)
    return np.frombuffer(raw, np.dtype(dtype))


def _plain(value: object) -> object:
    """The value, with numbers in place of the scalars of numpy. ValueError for other objects."""
    if not isinstance(value, list):
        return _single(value)
    if len(value) > MAX_ENTRIES:
        raise ValueError(f"at most {MAX_ENTRIES} entries of a list expected, got {len(value)}")
    return [_single(entry) for entry in value]


def _single(value: object) -> object:
    if isinstance(value, Made):
        kind, raw = _made(value, _SCALAR).args
        (number,) = _numbers(raw, _dtype(kind)).tolist()
        return number
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"a plain value expected, got a {type(value).__name__}")
    return value
