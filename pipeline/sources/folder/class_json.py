"""Class names in JSON: lists of names or of records, maps from numbers to names or back. Pure functions of text."""

import json

from embedonce.cache import strict_json
from embedonce.pipeline.naming.class_names import is_code
from embedonce.pipeline.sources.folder.class_tables import NAME_COLUMNS, NUMBER_COLUMNS, Entry

WRAPPERS = ("classes", "names", "labels", "categories", "class_names")  # keys under which lists or maps lie


def entries_of_json(text: str) -> list[Entry]:
    """The classes of a JSON list or map. ValueError, with the first entries, where it is neither or unclear."""
    value = _load(text)
    if isinstance(value, dict):
        value = next((value[key] for key in WRAPPERS if isinstance(value.get(key), (list, dict))), value)
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, dict):
        return _of_map(value)
    raise ValueError("it holds neither a list nor a map")


def pairs_of_json(text: str) -> dict[str, str]:
    """A map from names to names. ValueError where it is anything else."""
    value = _load(text)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
        raise ValueError(f'it must be a map such as {{"folder": "name"}}; it begins {_brief(value)}')
    return {folder: name.strip() for folder, name in value.items()}


def _of_list(values: list) -> list[Entry]:
    if all(isinstance(value, str) for value in values):
        return [(None, value.strip(), f"entry {n}") for n, value in enumerate(values)]
    if all(isinstance(value, dict) for value in values):
        return _of_records(values)
    raise ValueError(f"the list holds something else than names; it begins {_brief(values)}")


def _of_records(records: list[dict]) -> list[Entry]:
    name = next((key for key in NAME_COLUMNS if all(isinstance(r.get(key), str) for r in records)), None)
    number = next((key for key in NUMBER_COLUMNS if all(type(r.get(key)) is int for r in records)), None)
    if name is None:
        raise ValueError(f"no field of its records is called name; it begins {_brief(records)}")
    return [(number and r[number], r[name].strip(), f"entry {n}") for n, r in enumerate(records)]


def _of_map(values: dict) -> list[Entry]:
    numbered = {key: _name(value) for key, value in values.items()}
    if all(key.isascii() and key.isdigit() for key in values) and all(numbered.values()):
        return [(int(key), name, f"entry {key}") for key, name in numbered.items()]
    if all(type(value) is int for value in values.values()):
        return [(number, name.strip(), f"entry {name!r}") for name, number in values.items()]
    raise ValueError(
        f"the map is neither from numbers to names nor from names to numbers; it begins {_brief(values)} (a map from "
        "folder names to class names goes with --class-names)"
    )


def _name(value) -> str | None:
    """A name, alone or in a list after a code, as in ImageNet's index."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = next((part for part in value if not is_code(part)), None)
    return value.strip() if isinstance(value, str) else None


def _load(text: str):
    def unique(pairs: list[tuple]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands in it twice")
        return found

    try:
        return strict_json.loads(text.encode("utf-8", "surrogatepass"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON (line {error.lineno}: {error.msg})") from error


def _brief(value) -> str:
    first = value[:3] if isinstance(value, list) else value
    if isinstance(value, dict):
        first = dict(list(value.items())[:3])
    text = json.dumps(first, ensure_ascii=False)
    return text[:100] + ("…" if len(text) > 100 else "")
