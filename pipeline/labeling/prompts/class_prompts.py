"""The prompts of each class of a label set, from the built-in wording or a file, and where they are from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.prompts.placeholders import Template, has_placeholder, render
from embedonce.pipeline.labeling.prompts.prompt_files import PromptFile
from embedonce.pipeline.labeling.prompts.templates import class_prompts, plain_names
from embedonce.pipeline.naming.near_misses import with_near_misses

MAX_PROMPTS = 2_000_000  # of all classes


@dataclass(frozen=True)
class ClassPrompts:
    """The prompts of each class, at least one, and the name of the file they are from, or of the built-in style.

    named: the classes whose names are in their prompts. notes: remarks for the user.
    """

    texts: tuple[tuple[str, ...], ...]
    source: str
    named: tuple[str, ...]
    notes: tuple[str, ...] = ()


def prompts_of_style(classes: tuple[str, ...], annotation: str, style: str) -> ClassPrompts:
    """The built-in prompts. annotation: the kind that the classes are from, or "". style: one of PROMPT_STYLES."""
    return ClassPrompts(class_prompts(classes, annotation, style), f"built-in ({style})", classes)


def prompts_of_file(classes: tuple[str, ...], file: PromptFile) -> ClassPrompts:
    """The prompts of a file: those of a class itself, else the templates with the words of its name.

    InputError if a class has neither, or if there are too many.
    """
    missing = [name for name in classes if name not in file.classes]
    if missing and not file.templates:
        raise InputError(
            f"{file.name}: it has no prompts for {len(missing)} of {len(classes)} classes "
            f"({with_near_misses(missing, file.classes)}); add them, or `templates` for all classes without prompts"
        )
    templates = [file.classes.get(name, file.templates) for name in classes]
    count = sum(map(len, templates))
    if count > MAX_PROMPTS:
        raise InputError(f"{file.name}: {len(classes)} classes have {count} prompts; the maximum is {MAX_PROMPTS}")
    texts = tuple(map(_rendered, templates, plain_names(classes)))
    named = tuple(name for name, own in zip(classes, templates, strict=True) if any(map(has_placeholder, own)))
    return ClassPrompts(texts, file.name, named, _notes(classes, file))


def prompts_sha256(classes: Sequence[str], prompts: Sequence[Sequence[str]]) -> str:
    """A hash of the classes with their prompts, in order, which does not depend on how they were written in a file."""
    digest = hashlib.sha256()
    for name, texts in zip(classes, prompts, strict=True):
        digest.update(json.dumps([name, *texts]).encode() + b"\n")
    return digest.hexdigest()


def _rendered(templates: tuple[Template, ...], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(render(template, name) for template in templates))


def _notes(classes: tuple[str, ...], file: PromptFile) -> tuple[str, ...]:
    unused = sorted(set(file.classes) - set(classes))
    by_template = [name for name in classes if name not in file.classes] if file.classes else []
    notes = []
    if unused:
        names = with_near_misses(unused, classes)
        notes.append(f"{file.name}: prompts of {len(unused)} classes that the data do not have are not used: {names}")
    if by_template:
        names = with_near_misses(by_template, unused)
        notes.append(
            f"{file.name}: {len(by_template)} classes have no prompts of their own, but the templates: {names}"
        )
    return tuple(notes)
