"""The next commands that a run suggests: quoted for a shell, with the options that they need for this cache."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from embedonce.cache.command_lines import as_argument, program, quoted
from embedonce.cache.labels import LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.reader import CacheReader
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.models.losses.registry import loss_terms
from embedonce.models.losses.term import Need

EXTRACT_SETTINGS = "extract_config.yaml"
# Options of files and folders that saved settings may name
FILES = (
    *("data_dir", "manifest", "classes", "class_names", "prompts"),
    *("teacher_module", "teacher_onnx", "teacher_torchscript"),
)
DEFAULT_OUTPUT = Path("results")
EVALUATION_SPLITS = ("val", "test")  # in the order of preference

Options = Mapping[str, object]


def command(name: str, options: Options) -> str:
    """A command line for a POSIX shell.

    options: name such as `cache_dir` -> value; None and False leave the option out, True makes it a flag.
    """
    return " ".join([program(), *map(quoted, [name, *option_words(options)])])


def option_words(options: Options) -> list[str]:
    """The words of options as a program gets them, not quoted. options: as in command()."""
    words = []
    for option, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + option.replace("_", "-"))
        if value is not True:
            words.append(_plain(value))
    return words


def next_line(name: str, options: Options) -> str:
    return f"next: {command(name, options)}"


def train_line(reader: CacheReader, labels: LabelSet, teachers: str | None = None) -> str:
    """How to train from a label set, without the loss terms that it has no data for; or why that is impossible.

    teachers: the value of --teachers.
    """
    training = [clip for clip in labels.clips if clip.split == "train" and reader.shows(clip)]
    if not training:
        return (
            f"label set {labels.name!r} has no training clip with a frame ({_clip_counts(labels, reader)}): add "
            f"training videos, or evaluate students on it with --label-set {labels.name}"
        )
    options: dict[str, object] = {"cache_dir": reader.cache_dir, "label_set": name_if_needed(reader, labels)}
    return next_line("train-student", {**options, **weights_to_train(reader, labels), "teachers": teachers})


def weights_to_train(reader: CacheReader, labels: LabelSet) -> dict[str, int | None]:
    """Name of the weight of each loss term that is on by default -> 0 if the label set lacks data for it, else None."""
    training = (clip for clip in labels.clips if clip.split == "train" and reader.shows(clip))
    available = {
        Need.TEACHER_LOGITS: labels.has_logits,
        Need.LABELS: any(clip.all_labels for clip in training),
    }
    used = [term for term in loss_terms() if term.weight.default]
    return {term.weight.name: None if all(map(available.get, term.needs)) else 0 for term in used}


def extract_line(cache_dir: Path | str) -> str:
    """How to run the extraction of a cache again, with the settings that it has recorded."""
    settings = Layout.at(cache_dir).root / EXTRACT_SETTINGS
    again = "run extract-teacher again with its original options"
    if not settings.exists():
        return f"{again}, which this cache has not recorded"
    return _with_settings("extract-teacher", cache_dir, settings, f"{again}, which are in {settings}")


def add_teacher_line(cache_dir: Path | str, name: str) -> str:
    """How to embed what an added teacher has not embedded yet, with its own settings."""
    settings = Layout.at(cache_dir).teacher_settings(name)
    again = f"run add-teacher --name {name} again with its original options"
    return _with_settings("add-teacher", cache_dir, settings, again) if settings.exists() else again


def _with_settings(name: str, cache_dir: Path | str, settings: StoredPath, again: str) -> str:
    """The command with a file of settings; `again`, a sentence, if that would not work here: the file is in a bucket,
    or it names files or folders that do not exist, seen from the current folder."""
    if not isinstance(cache_dir, Path):
        return again
    values = yaml.safe_load(settings.get())
    given = [values.get(option) for option in FILES] if isinstance(values, Mapping) else []
    missing = [str(value) for value in given if value and "://" not in str(value) and not Path(str(value)).exists()]
    if missing:
        return f"{again}, in the folder that it was run in: there is no {missing[0]} here"
    return next_line(name, {"config": Path(str(settings)), "cache_dir": cache_dir})


def lacking_lines(reader: CacheReader) -> list[str]:
    """A line for each added teacher that has not embedded all frames, with the command that does."""
    lines = []
    for name in reader.teachers.names():
        if lacking := len(reader.teachers.lacking(name)):
            following = add_teacher_line(reader.cache_dir, name)
            lines.append(f"teacher {name}: {lacking} of {len(reader.records)} shards are not embedded yet; {following}")
    return lines


def evaluate_line(reader: CacheReader, labels: LabelSet, checkpoint: Path) -> str:
    """How to evaluate a student on clips that it was not trained on; or that there are no such clips."""
    split = split_to_evaluate(reader, labels)
    if split is None:
        counts = _clip_counts(labels, reader)
        return f"label set {labels.name!r} has no clip to evaluate the student on ({counts}): add held-out videos"
    folder = checkpoint.parent
    options = {
        "cache_dir": reader.cache_dir,
        "student_checkpoint": checkpoint,
        "label_set": name_if_needed(reader, labels),
        "output_dir": None if folder == DEFAULT_OUTPUT else folder,
        "split": None if split == "val" else split,
    }
    return next_line("evaluate", options)


def split_to_evaluate(reader: CacheReader, labels: LabelSet) -> str | None:
    """The split of clips with frames that students are not trained on; None if there is no such clip."""
    splits = (s for s in EVALUATION_SPLITS if any(clip.split == s and reader.shows(clip) for clip in labels.clips))
    return next(splits, None)


def name_if_needed(reader: CacheReader, labels: LabelSet) -> str | None:
    """The name of the label set if the cache has several."""
    return labels.name if len(reader.label_sets()) > 1 else None


def _clip_counts(labels: LabelSet, reader: CacheReader) -> str:
    splits = ("train", *EVALUATION_SPLITS)
    return ", ".join(f"{sum(c.split == s and reader.shows(c) for c in labels.clips)} {s}" for s in splits)


def _plain(value: object) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(str, value))
    return as_argument(str(value)) if isinstance(value, Path) else str(value)
