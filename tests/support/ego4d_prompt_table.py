"""Writes the table of Ego4D's classes and their phrases, for a person to review: tests/support/ego4d_prompts.txt.

    python -m tests.support.ego4d_prompt_table > new.txt

Each line has a label and the phrases in its prompts. The labels are read from the file itself, whose first lines name
their sources.
"""

import sys
from pathlib import Path

from embedonce.pipeline.labeling.prompts.templates import class_prompts

FILE = Path(__file__).with_name("ego4d_prompts.txt")
SECTIONS = {"verbs": "fho-verbs", "nouns": "lta-nouns", "moments": "moments"}  # section -> kind of annotations
IN_FULL = ("cut_(trim,_slice,_chop)", "mouse_(computer)", "climb_up_/_down_a_ladder")


def sections(text: str) -> dict[str, list[str]]:
    """The labels of each section."""
    labels_by_section: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            labels = labels_by_section.setdefault(line.strip("[]"), [])
        elif line and line[0] not in "# ":
            labels.append(line.split(" -> ")[0])
    return labels_by_section


def header(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))


def phrases(label: str, kind: str) -> list[str]:
    """A noun with its article, or an action as gerund and in the third person, as worded in the prompts."""
    (texts,) = class_prompts((label,), kind)
    gerunds = _after(texts, "a photo of someone ")
    if gerunds:
        thirds = [text.split(", seen from")[0] for text in _after(texts, "the hands of a person who ")]
        return [f"{gerund} ({third})" for gerund, third in zip(gerunds, thirds, strict=True)]
    return _after(texts, "a photo of ") or list(texts)


def _after(texts: tuple[str, ...], beginning: str) -> list[str]:
    return [text.removeprefix(beginning) for text in texts if text.startswith(beginning)]


def table(text: str) -> str:
    """The expected file for the labels of a text."""
    lines = [header(text)]
    for name, labels in sections(text).items():
        kind = SECTIONS[name]
        lines.append(f"\n[{name}]\n")
        for label in labels:
            lines.append(f"{label} -> {'; '.join(phrases(label, kind))}\n")
            if label in IN_FULL:
                lines += [f"    {prompt}\n" for prompt in class_prompts((label,), kind)[0]]
    return "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table(FILE.read_text()))
