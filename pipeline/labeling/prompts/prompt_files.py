"""Files of prompts, for --prompts: templates, and lists of prompts for single classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.files.user_values import QUOTES_HINT, json_value, kind_of, user_text, yaml_value
from embedonce.pipeline.labeling.prompts.placeholders import Template, escaped, has_placeholder, parse, quoted
from embedonce.pipeline.naming.near_misses import near_miss

MAX_BYTES = 64 << 20
TEMPLATES, CLASSES = "templates", "classes"
FORMATS = "one template such as `a photo of {}` per line (.txt), or templates or prompts of classes (.json, .yaml)"
TABLES = (".csv", ".tsv", ".xlsx", ".parquet")


@dataclass(frozen=True)
class PromptFile:
    """The content of a file of prompts.

    name: of the file. templates: for classes without prompts of their own; none if all must have some. classes: class
    name to prompts, in which the class name may occur as in templates.
    """

    name: str
    templates: tuple[Template, ...] = ()
    classes: dict[str, tuple[Template, ...]] = field(default_factory=dict)


def read_prompts(path: Path) -> PromptFile:
    """The prompts in a file: text with one template per line, or JSON or YAML.

    InputError, with the line or key, if it cannot be read, is empty, or has something that is no prompt.
    """
    suffix = path.suffix.lower()
    if suffix in TABLES:
        raise InputError(f"{path}: {suffix} files of prompts are not supported; give {FORMATS}")
    text = user_text(path, MAX_BYTES, "prompts", FORMATS)
    try:
        if suffix not in (".json", ".yaml", ".yml"):
            return PromptFile(path.name, _of_lines(text))
        value = json_value(text) if suffix == ".json" else yaml_value(text)
        return PromptFile(path.name, *_of_value(value))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def prompts_document(classes: Sequence[str], prompts: Sequence[Sequence[str]]) -> bytes:
    """A JSON file of the prompts of all classes, which read_prompts() reads."""
    listed = {name: list(map(escaped, texts)) for name, texts in zip(classes, prompts, strict=True)}
    return json.dumps({CLASSES: listed}, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")


def _of_lines(text: str) -> tuple[Template, ...]:
    lines = [(f"line {n}", line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(where, line) for where, line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError("it contains no template; write one per line, such as `a photo of {}`")
    if all(line.startswith(("- ", "* ")) or line[0] == line[-1] in ("'", '"') for _, line in lines):
        raise ValueError(
            f"the lines are quoted or itemized ({quoted(lines[0][1])}): write only the templates, or name it .yaml"
        )
    if lines[0][1].startswith(("[", '{"')):
        raise ValueError("it looks like JSON: name the file .json")
    return _distinct([_template(where, line) for where, line in lines])


def _of_value(value: Any) -> tuple[tuple[Template, ...], dict[str, tuple[Template, ...]]]:
    """(templates, prompts of classes) of JSON or YAML."""
    if isinstance(value, list):
        return _templates("", value), {}
    if not isinstance(value, dict):
        raise ValueError(f"it is {kind_of(value)}, not a list of templates or a map from class names to prompts")
    if not value:
        raise ValueError("it contains no prompt")
    if TEMPLATES not in value and not isinstance(value.get(CLASSES), dict):
        return (), _classes("", value)
    unknown = next((key for key in value if key not in (TEMPLATES, CLASSES)), None)
    if unknown is not None:
        near = near_miss(unknown, (TEMPLATES, CLASSES))
        hint = f"did you mean {near!r}?" if near else f"prompts of classes go under {CLASSES!r}"
        raise ValueError(f"unknown key {unknown!r} beside {TEMPLATES!r} and {CLASSES!r}; {hint}")
    templates = _templates(TEMPLATES, value[TEMPLATES]) if TEMPLATES in value else ()
    return templates, _classes(CLASSES, value[CLASSES]) if CLASSES in value else {}


def _templates(key: str, value: Any) -> tuple[Template, ...]:
    return _distinct([_template(where, text) for where, text in _texts(key, value)])


def _classes(key: str, value: Any) -> dict[str, tuple[Template, ...]]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {kind_of(value)}, not a map from class names to prompts")
    if not value:
        raise ValueError(f"{key} is empty")
    parsed = {}
    for name, prompts in value.items():
        where = f"{key}.{name}" if key else name
        parsed[name] = _distinct([_parsed(place, text) for place, text in _texts(where, prompts)])
    return parsed


def _texts(key: str, value: Any) -> list[tuple[str, str]]:
    """(place, text) of a list of texts, or of a single text."""
    if isinstance(value, str):
        return [(key, value)]
    if not isinstance(value, list):
        raise ValueError(f"{key} is {_kind(value)}, not a text or a list of texts")
    if not value:
        raise ValueError(f"{key or 'the list'} is empty")
    for i, text in enumerate(value):
        if not isinstance(text, str):
            raise ValueError(f"{key}[{i}] is {_kind(text)}, not text")
    return [(f"{key}[{i}]", text) for i, text in enumerate(value)]


def _kind(value: Any) -> str:
    return kind_of(value) + (f" ({QUOTES_HINT})" if isinstance(value, dict) else "")


def _template(where: str, text: str) -> Template:
    template = _parsed(where, text)
    if not has_placeholder(template):
        raise ValueError(f"{where}: {quoted(text)} has no {{}} for the class name")
    return template


def _parsed(where: str, text: str) -> Template:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _distinct(templates: list[Template]) -> tuple[Template, ...]:
    """Repeated ones count once."""
    return tuple(dict.fromkeys(templates))
