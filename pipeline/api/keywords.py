"""Settings from the keyword arguments of a function: each of the type of its option, and paths as text or Path."""

import math
import operator
from collections.abc import Collection, Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.api.python_terms import in_terms_of
from embedonce.pipeline.naming.near_misses import near_miss
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import Option
from embedonce.pipeline.settings.paths import expand

AnySettings = TypeVar("AnySettings", bound=Settings)
_EXPECTED = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a str or a Path"}


def settings_from(settings: type[AnySettings], function: str, arguments: Mapping[str, Any]) -> AnySettings:
    """The settings made of the keyword arguments of a function; what is not given has its default.

    TypeError for unknown names and for values of another type, ValueError for values that the settings refuse.
    """
    options = {option.name: option for option in settings.options()}
    check_names(function, arguments, options.values())
    values = {name: option.default for name, option in options.items()}
    values |= {name: _converted(options[name], value) for name, value in arguments.items()}
    try:
        return settings.from_options(values)
    except ValueError as error:
        raise ValueError(in_terms_of(options.values(), str(error))) from None


def check_names(function: str, arguments: Iterable[str], options: Collection[Option]) -> None:
    """TypeError, with the argument that was probably meant, unless these options have all the names."""
    known = {option.name for option in options}
    for name in arguments:
        if name not in known:
            raise TypeError(f"{function}() has no argument {name!r}{_hint(name, options)}")


def _hint(name: str, options: Iterable[Option]) -> str:
    """The argument that was probably meant, for a message."""
    spellings = {alias.lstrip("-").replace("-", "_"): option.name for option in options for alias in option.aliases}
    spellings |= {option.name: option.name for option in options}
    near = name if name in spellings else near_miss(name, spellings)
    return "" if near is None else f"; did you mean {spellings[near]!r}?"


def _converted(option: Option, value: Any) -> Any:
    """The value as the settings keep it. TypeError if it is of another type."""
    if value is None and (option.is_optional or option.default is None):
        return None
    if option.value_type is Path and isinstance(value, (str, Path)):
        return _path(option, value)
    if option.may_be_path and isinstance(value, (str, Path)):
        return expand(value) if isinstance(value, str) else str(value)
    if isinstance(value, str) and value in option.words:
        return value
    number_or_text = _of_type(option.value_type, value)
    if number_or_text is not None:
        return number_or_text
    expected = " or ".join([_EXPECTED[option.value_type], *map(repr, option.words)])
    raise TypeError(f"{option.name} must be {expected}{_joined(option, value)}, got {value!r}")


def _of_type(value_type: type, value: Any) -> bool | int | float | str | None:
    """The value as Python's own type, also of NumPy's scalars; None if it is of another kind."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value) if value_type is bool else None
    if value_type is int and hasattr(value, "__index__"):
        return operator.index(value)
    if value_type is float and isinstance(value, Real):
        return _float(value)
    return value if value_type is str and isinstance(value, str) else None


def _float(value: Real) -> float:
    try:
        return float(value)
    except OverflowError:  # no range includes infinity
        return math.inf


def _joined(option: Option, value: Any) -> str:
    """How a list of names is given as text, for a message."""
    is_list = isinstance(value, (list, tuple)) and value and all(isinstance(entry, str) for entry in value)
    return f" ({option.name}={','.join(value)!r})" if is_list and option.value_type is str else ""


def _path(option: Option, value: Path | str) -> Path | str:
    if option.may_be_url and isinstance(value, str) and is_url(value):
        return value.rstrip("/")
    path = local_path(option.name, value)
    if option.must_exist and not path.is_file():
        raise ValueError(f"{option.name}: there is no file {path}")
    return path


def local_path(name: str, value: Path | str) -> Path:
    """An argument as a path, with `~` and variables in text expanded. TypeError unless it is text or a Path.

    ValueError for URLs and unknown variables.
    """
    if not isinstance(value, (str, Path)):
        raise TypeError(f"{name} must be a str or a Path, got {value!r}")
    try:
        return Path(expand(value)) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
