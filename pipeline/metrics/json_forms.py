"""Forms of JSON values: what a value must look like, and the first place where it does not."""

from dataclasses import dataclass
from typing import Any

from embedonce.cache.limits import brief
from embedonce.cache.strict_json import is_text


@dataclass(frozen=True)
class OrNull:
    """A form, or null if the figure has no value."""

    form: Any


@dataclass(frozen=True)
class Text:
    """Text of at most `limit` characters, all of which can be encoded."""

    limit: int


@dataclass(frozen=True)
class Number:
    """A number from low to high; an integer if kind is int."""

    low: float
    high: float
    kind: type = float


# A form is a type; a Text or Number; a dict of exactly these keys (... stands for any further ones); [form] for a list;
# (form, form) for a list of this length.
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "an object",
    list: "a list",
}


def find_mismatch(value: Any, form: Any, place: str = "") -> str | None:
    """Describe the first part of a value that does not have its form; None if all of it does. place: its name."""
    if isinstance(form, OrNull):
        return None if value is None else find_mismatch(value, form.form, place)
    if isinstance(form, dict):
        return _mismatch_of_object(value, form, place)
    if isinstance(form, (list, tuple)):
        return _mismatch_of_list(value, form, place)
    if isinstance(form, Text):
        is_right = type(value) is str and len(value) <= form.limit and is_text(value)
        return None if is_right else f"{place} is {brief(value)}, not text of up to {form.limit} characters"
    if isinstance(form, Number):
        problem = find_mismatch(value, form.kind, place)
        if problem is None and not form.low <= value <= form.high:
            problem = f"{place} is {brief(value)}, not from {form.low} to {form.high}"
        return problem
    return None if _has_type(value, form) else _wrong(place, value, form)


def _has_type(value: Any, form: type) -> bool:
    if form is float:
        return type(value) in (int, float) and -1e300 < value < 1e300  # neither infinite nor NaN
    if form is int:
        return type(value) is int and -(2**63) <= value < 2**63
    return form is object or (type(value) is form if form in (str, bool) else isinstance(value, form))


def _mismatch_of_list(value: Any, form: list | tuple, place: str) -> str | None:
    if not isinstance(value, list):
        return _wrong(place, value, list)
    if isinstance(form, tuple) and len(value) != len(form):
        return f"{place} has {len(value)} entries, not {len(form)}"
    forms = form * len(value) if isinstance(form, list) else form
    entries = enumerate(zip(value, forms, strict=True))
    return next(filter(None, (find_mismatch(entry, kind, f"{place}[{i}]") for i, (entry, kind) in entries)), None)


def _mismatch_of_object(value: Any, form: dict, place: str) -> str | None:
    if not isinstance(value, dict):
        return _wrong(place, value, dict)
    dot = f"{place}." if place else ""
    for name in form:
        if name is not ... and name not in value:
            return f"it has no {dot}{name}"
    for name, entry in value.items():
        if name not in form and ... not in form:
            return f"{dot}{str(name)[:60]} is not one of its keys"
        problem = find_mismatch(entry, form.get(name, form.get(...)), f"{dot}{name}")
        if problem:
            return problem
    return None


def _wrong(place: str, value: Any, form: type) -> str:
    return f"{place} is {_quoted(value)}, not {_NAMES.get(form, 'what it should be')}"


def _quoted(value: Any) -> str:
    """A value in quotes, shortened."""
    return brief(value) if isinstance(value, (str, list, tuple, dict)) and value else repr(str(value)[:40])
