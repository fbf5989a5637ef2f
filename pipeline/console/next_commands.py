"""The next commands that a run suggests: quoted for a shell, with the options that they need for this cache."""

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.term import Need
from embedonce.pipeline.console.printable import printable

PROGRAM = ("python", "cli.py")
DEFAULT_OUTPUT = Path("results")
EVALUATION_SPLITS = ("val", "test")  # in the order of preference

Options = Mapping[str, object]


def command(name: str, options: Options) -> str:
    """A command line for a POSIX shell.

    options: name such as `cache_dir` -> value; None and False leave the option out, True makes it a flag.
    """
    words = [*PROGRAM, name]
    for option, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + option.replace("_", "-"))
        if value is not True:
            words.append(_plain(value))
    return " ".join(map(_quoted, words))


def next_line(name: str, options: Options) -> str:
    return f"next: {command(name, options)}"


def train_line(reader: CacheReader, labels: LabelSet) -> str:
    """How to train from a label set, without the loss terms that it has no data for; or why that is impossible."""
    training = [clip for clip in labels.clips if clip.split == "train" and reader.shows(clip)]
    if not training:
        return (
            f"label set {labels.name!r} has no training clip with a frame ({_clip_counts(labels, reader)}): add "
            f"training videos, or evaluate students on it with --label-set {labels.name}"
        )
    available = {
        Need.TEACHER_LOGITS: labels.has_logits,
        Need.LABELS: any(clip.all_labels for clip in training),
    }
    options: dict[str, object] = {"cache_dir": reader.cache_dir, "label_set": _name_if_needed(reader, labels)}
    for term in (term for term in loss_terms() if term.weight.default):  # the others are off already
        options[term.weight.name] = None if all(available.get(need) for need in term.needs) else 0
    return next_line("train-student", options)


def evaluate_line(reader: CacheReader, labels: LabelSet, checkpoint: Path) -> str:
    """How to evaluate a student on clips that it was not trained on; or that there are no such clips."""
    splits = [s for s in EVALUATION_SPLITS if any(clip.split == s and reader.shows(clip) for clip in labels.clips)]
    if not splits:
        counts = _clip_counts(labels, reader)
        return f"label set {labels.name!r} has no clip to evaluate the student on ({counts}): add held-out videos"
    folder = checkpoint.parent
    options = {
        "cache_dir": reader.cache_dir,
        "student_checkpoint": checkpoint,
        "label_set": _name_if_needed(reader, labels),
        "output_dir": None if folder == DEFAULT_OUTPUT else folder,
        "split": None if splits[0] == "val" else splits[0],
    }
    return next_line("evaluate", options)


def _name_if_needed(reader: CacheReader, labels: LabelSet) -> str | None:
    return labels.name if len(reader.label_sets()) > 1 else None


def _clip_counts(labels: LabelSet, reader: CacheReader) -> str:
    splits = ("train", *EVALUATION_SPLITS)
    return ", ".join(f"{sum(c.split == s and reader.shows(c) for c in labels.clips)} {s}" for s in splits)


def _plain(value: object) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(str, value))
    if isinstance(value, Path) and str(value).startswith("~"):
        return f"./{value}"  # a folder of that name, not somebody's home
    return str(value)


def _quoted(word: str) -> str:
    """A word for a shell; one with control characters as `$'...'`, which bash and zsh understand."""
    if printable(word, keep="") == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_shell_escape, word))}'"


def _shell_escape(char: str) -> str:
    if char.isprintable() and char not in "\\'":
        return char
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
