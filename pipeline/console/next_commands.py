"""The commands that a run names as the next ones: quoted for a shell, with every option that they need here.

Knows the options of commands and what a cache holds; runs nothing.
"""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.term import Need
from embedonce.pipeline.console.printable import printable

PROGRAM = ("python", "cli.py")
USUAL_OUTPUT = Path("results")
JUDGED_ON = ("val", "test")  # splits, in the order in which they are offered


def command(name: str, options: dict) -> str:
    """One line for a POSIX shell. options: `cache_dir` -> value; None leaves one out, True is a flag."""
    words = [*PROGRAM, name]
    for option, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + option.replace("_", "-"))
        if value is not True:
            words.append(_plain(value))
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """A word for a shell; one with characters that take effect on a terminal as `$'...'`, which bash and zsh know."""
    if printable(word, keep="") == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_shell_escape, word))}'"


def _shell_escape(char: str) -> str:
    if char.isprintable() and char not in "\\'":
        return char
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))


def next_line(name: str, options: dict) -> str:
    return f"next: {command(name, options)}"


def train_line(reader: CacheReader, labels: LabelSet) -> str:
    """How to train from a label set, with the terms that it has no data for left out; or why that cannot be."""
    training = [clip for clip in labels.clips if clip.split == "train" and reader.shows(clip)]
    if not training:
        there = _counts(labels, reader)
        return (
            f"label set {labels.name!r} has no training clip with a frame ({there}): add training videos, or judge "
            f"students by it with --label-set {labels.name}"
        )
    options = {"cache_dir": reader.directory, "label_set": _named(reader, labels)}
    available = {
        Need.TEACHER_LOGITS: labels.has_logits,
        Need.LABELS: any(clip.label >= 0 for clip in training),
    }
    for term in loss_terms():
        options[term.weight.name] = None if all(available[need] for need in term.needs) else 0
    return next_line("train-student", options)


def evaluate_line(reader: CacheReader, labels: LabelSet, checkpoint: Path) -> str:
    """How to judge a student on what it was not trained on; or that there is no such clip."""
    options = {"cache_dir": reader.directory, "student_checkpoint": checkpoint, "label_set": _named(reader, labels)}
    there = [s for s in JUDGED_ON if any(clip.split == s and reader.shows(clip) for clip in labels.clips)]
    if not there:
        told = _counts(labels, reader)
        return f"label set {labels.name!r} has no clip to judge the student by ({told}): add videos held out from it"
    folder = checkpoint.parent
    options["output_dir"] = None if folder == USUAL_OUTPUT else folder
    options["split"] = None if there[0] == "val" else there[0]
    return next_line("evaluate", options)


def _named(reader: CacheReader, labels: LabelSet) -> str | None:
    return labels.name if len(reader.label_sets()) > 1 else None


def _counts(labels: LabelSet, reader: CacheReader) -> str:
    splits = ("train", *JUDGED_ON)
    return ", ".join(f"{sum(c.split == s and reader.shows(c) for c in labels.clips)} {s}" for s in splits)


def _plain(value) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(str, value))
    if isinstance(value, Path) and str(value).startswith("~"):
        return f"./{value}"  # a folder of that name, and nobody's home
    return str(value)
