"""Dataclasses whose fields declare the forms of their JSON values: to JSON values, from them, and their schema."""

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from embedonce.pipeline.metrics.json_forms import OrNull

T = TypeVar("T")


def form(value: Any, key: str | None = None) -> dict[str, Any]:
    """Metadata of a field whose JSON value has this form; dataclasses stand for their own forms. key: its JSON name."""
    return {"form": value, "key": key}


def as_json(value: Any) -> Any:
    """Such dataclasses as JSON values."""
    if is_dataclass(value):
        return {_key(item): as_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return {name: as_json(entry) for name, entry in value.items()} if isinstance(value, dict) else value


def from_json(form: type[T] | Any, value: Any) -> T | Any:
    """The reverse of as_json: a value of this form, a dataclass for every dataclass in it."""
    if isinstance(form, OrNull):
        return None if value is None else from_json(form.form, value)
    if is_dataclass(form) and isinstance(form, type) and fields(form) and "form" in fields(form)[0].metadata:
        items = {item.name: from_json(item.metadata["form"], value[_key(item)]) for item in fields(form)}
        return form(**items)
    if isinstance(form, list):
        return [from_json(form[0], entry) for entry in value]
    return tuple(value) if isinstance(form, tuple) else value


def schema_of(form: Any) -> Any:
    """A form with every dataclass in it replaced by a dict of its keys and their forms."""
    if isinstance(form, OrNull):
        return OrNull(schema_of(form.form))
    if isinstance(form, type) and is_dataclass(form):
        return {_key(item): schema_of(item.metadata["form"]) for item in fields(form)}
    return [schema_of(form[0])] if isinstance(form, list) else form


def _key(item: Any) -> str:
    return item.metadata["key"] or item.name
