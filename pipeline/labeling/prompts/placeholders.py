"""Templates of prompts: texts with a placeholder, `{}` or `{name}`, for the class name. Pure functions of text."""

import string

from embedonce.cache.limits import MAX_TEXT, brief
from embedonce.pipeline.naming.class_names import is_plain

FIELDS = ("", "name")
SHOWN = 80  # characters of a text in a message
Template = tuple[str, ...]  # what is around the placeholders: ("a photo of ", "."); one piece if there are none


def parse(text: str) -> Template:
    """The template in a text. `{{` and `}}` stand for braces.

    ValueError for an empty text, unknown placeholders, unbalanced braces, unprintable characters.
    """
    text = " ".join(text.split())
    if not text:
        raise ValueError("it is empty")
    if not is_plain(text):
        raise ValueError(f"{brief(text)} contains control characters")
    if len(text) > MAX_TEXT:
        raise ValueError(f"it has {len(text)} characters; the maximum is {MAX_TEXT}")
    pieces = [""]
    for literal, field in _parts(text):
        pieces[-1] += literal
        if field is not None:
            pieces.append("")
    return tuple(pieces)


def has_placeholder(template: Template) -> bool:
    """Whether the class name is part of the template."""
    return len(template) > 1


def render(template: Template, name: str) -> str:
    """The prompt of a class. name: as words."""
    return " ".join(name.join(template).split())


def escaped(prompt: str) -> str:
    """The template that is this prompt for every class."""
    return prompt.replace("{", "{{").replace("}", "}}")


def quoted(text: str) -> str:
    """The beginning of a text, for messages."""
    return repr(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")


def _parts(text: str) -> list[tuple[str, str | None]]:
    """(text before a placeholder, its field) in order; the field is None after the last one and for escaped braces."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{quoted(text)} has a brace without its counterpart; write {{{{ or }}}} for one") from error
    for _, field, specification, conversion in parts:
        if field is not None and (field not in FIELDS or specification or conversion):
            problem = f"{quoted(text)} has the unknown placeholder {{{field}}}"
            if field in FIELDS:
                problem = f"{quoted(text)} has a placeholder with a format"
            raise ValueError(f"{problem}; the class name is {{}} or {{name}}")
    return [(literal, field) for literal, field, _, _ in parts]
