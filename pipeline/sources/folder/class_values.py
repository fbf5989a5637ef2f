"""Class names in values of JSON or YAML: lists of names or records, maps from numbers to names and the reverse."""

import json
from typing import Any

from embedonce.pipeline.naming.class_names import is_code
from embedonce.pipeline.sources.folder.class_tables import NAME_COLUMNS, NUMBER_COLUMNS, ClassEntry

WRAPPERS = ("classes", "names", "labels", "categories", "class_names")  # keys whose value may be the list or map


def entries_of(value: Any) -> list[ClassEntry]:
    """The classes of a list or map. ValueError, which quotes the first entries, if it is neither or unclear."""
    if isinstance(value, dict):
        value = next((value[key] for key in WRAPPERS if isinstance(value.get(key), (list, dict))), value)
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, dict):
        return _of_map(value)
    raise ValueError("it contains neither a list nor a map")


def pairs_of(value: Any) -> dict[str, str]:
    """A map from names to names. ValueError for anything else."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise ValueError(f'it must be a map such as {{"folder": "name"}}; it begins {_brief(value)}')
    return {folder: name.strip() for folder, name in value.items()}


def _of_list(values: list) -> list[ClassEntry]:
    if all(isinstance(value, str) for value in values):
        return [ClassEntry(None, value.strip(), f"entry {n}") for n, value in enumerate(values)]
    if all(isinstance(value, dict) for value in values):
        return _of_records(values)
    raise ValueError(f"the list contains values that are not names; it begins {_brief(values)}")


def _of_records(records: list[dict[str, Any]]) -> list[ClassEntry]:
    name = next((key for key in NAME_COLUMNS if all(isinstance(r.get(key), str) for r in records)), None)
    number = next((key for key in NUMBER_COLUMNS if all(type(r.get(key)) is int for r in records)), None)
    if name is None:
        raise ValueError(f"its records have no field `name`; it begins {_brief(records)}")
    return [
        ClassEntry(None if number is None else record[number], record[name].strip(), f"entry {n}")
        for n, record in enumerate(records)
    ]


def _of_map(values: dict[str, Any]) -> list[ClassEntry]:
    names = {key: name for key, value in values.items() if (name := _name(value))}
    if all(key.isascii() and key.isdigit() for key in values) and len(names) == len(values):
        return [ClassEntry(int(key), name, f"entry {key}") for key, name in names.items()]
    if all(type(value) is int for value in values.values()):
        return [ClassEntry(number, name.strip(), f"entry {name!r}") for name, number in values.items()]
    raise ValueError(
        f"the map is neither from numbers to names nor from names to numbers; it begins {_brief(values)} (pass a map "
        "from folder names to class names with --class-names)"
    )


def _name(value: object) -> str | None:
    """A name: a text, or the first text of a list that is not a code, as in ImageNet's index."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = next((part for part in value if not is_code(part)), None)
    return value.strip() if isinstance(value, str) else None


def _brief(value: object) -> str:
    first = value[:3] if isinstance(value, list) else value
    if isinstance(value, dict):
        first = dict(list(value.items())[:3])
    text = json.dumps(first, ensure_ascii=False)
    return text[:100] + ("…" if len(text) > 100 else "")
