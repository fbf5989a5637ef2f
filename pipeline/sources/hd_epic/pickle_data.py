"""Reads a pickle as data: what it would call is recorded and never called, so that no code of the file can run.

The result is made of plain values (None, numbers, texts, bytes, lists, tuples, dicts), Names and Made objects.
"""

import pickletools
import struct
from dataclasses import dataclass
from typing import Any

_WITH_ARGUMENT = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}  # operations that push their argument
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = ("PROTO", "FRAME", "STOP")


class PickleDataError(ValueError):
    """The bytes are no pickle, or one with operations that plain tables do not need."""


@dataclass(eq=False)
class Name:
    """A class or function that the pickle names, such as `numpy.ndarray`."""

    path: str


@dataclass(eq=False)
class Made:
    """What a class or function would return for these arguments; state: what would be set afterwards, or None."""

    maker: str
    args: tuple
    state: Any = None


def read_pickle(data: bytes) -> object:
    """The content of a pickle. PickleDataError if there is none, or if it is not made of the above."""
    stack = _Stack()
    try:
        for operation, argument, _ in pickletools.genops(data):
            stack.do(operation.name, argument)
        return stack.result()
    except PickleDataError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, MemoryError, RecursionError, struct.error) as error:
        raise PickleDataError(f"expected a pickle, got something else: {error}") from error


class _Stack:
    """The stack and the memo of the virtual machine that pickles are programs for."""

    def __init__(self):
        self._items: list = []
        self._below: list[list] = []  # the items below each mark
        self._memo: dict[int, object] = {}

    def result(self) -> object:
        (only,) = self._items
        return only

    def do(self, name: str, argument: object) -> None:
        """Do one operation. PickleDataError if it is not one of those that plain tables need."""
        if name in _WITH_ARGUMENT:
            self._items.append(argument)
        elif name in _CONSTANTS:
            self._items.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self._items.append(tuple(self._pop_last(_TUPLES[name])))
        elif name not in _NOTHING:
            operation = getattr(self, f"_do_{name.lower()}", None)
            if operation is None:
                raise PickleDataError(f"expected a table of plain values, got a pickle with the operation {name}")
            operation(argument)

    def _pop(self):
        return self._items.pop()

    def _pop_last(self, count: int) -> list:
        if len(self._items) < count:
            raise IndexError("the stack is too short")
        last = self._items[-count:]
        del self._items[-count:]
        return last

    def _pop_mark(self) -> list:
        """The items above the last mark."""
        items = self._items
        self._items = self._below.pop()
        return items

    def _do_mark(self, _) -> None:
        self._below.append(self._items)
        self._items = []

    def _do_pop(self, _) -> None:
        self._pop()

    def _do_empty_list(self, _) -> None:
        self._items.append([])

    def _do_empty_dict(self, _) -> None:
        self._items.append({})

    def _do_tuple(self, _) -> None:
        items = self._pop_mark()
        self._items.append(tuple(items))

    def _do_append(self, _) -> None:
        value = self._pop()
        _of_type(self._items[-1], list).append(value)

    def _do_appends(self, _) -> None:
        values = self._pop_mark()
        _of_type(self._items[-1], list).extend(values)

    def _do_setitem(self, _) -> None:
        key, value = self._pop_last(2)
        _of_type(self._items[-1], dict)[key] = value

    def _do_setitems(self, _) -> None:
        pairs = self._pop_mark()
        _of_type(self._items[-1], dict).update(zip(pairs[::2], pairs[1::2], strict=True))

    def _do_memoize(self, _) -> None:
        self._memo[len(self._memo)] = self._items[-1]

    def _do_binput(self, index) -> None:
        self._memo[index] = self._items[-1]

    def _do_binget(self, index) -> None:
        self._items.append(self._memo[index])

    _do_long_binput, _do_long_binget = _do_binput, _do_binget

    def _do_global(self, path) -> None:
        self._items.append(Name(path.replace(" ", ".")))

    def _do_stack_global(self, _) -> None:
        module, name = self._pop_last(2)
        self._items.append(Name(f"{_of_type(module, str)}.{_of_type(name, str)}"))

    def _do_reduce(self, _) -> None:
        maker, args = self._pop_last(2)
        self._items.append(Made(_of_type(maker, Name).path, _of_type(args, tuple)))

    _do_newobj = _do_reduce

    def _do_build(self, _) -> None:
        state = self._pop()
        made = _of_type(self._items[-1], Made)
        if made.state is not None:
            raise ValueError("a state is set twice")
        made.state = state


def _of_type(value, wanted: type):
    if type(value) is not wanted:
        raise TypeError(f"{wanted.__name__} expected, got {type(value).__name__}")
    return value
