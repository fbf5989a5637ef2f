"""What evaluation_results.json holds, as data, and the reader that refuses anything else.

Knows keys and types; how a figure comes about and what it means is in docs/evaluation.md.
"""

from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import strict_json
from embedonce.cache.limits import MAX_CLASSES, MAX_NAME, brief
from embedonce.cache.strict_json import is_text
from embedonce.models.plain_files import NotPlainError, read_plain
from embedonce.pipeline.errors import InputError, ResultsError

SCHEMA_VERSION = 3
RESULTS_NAME = "evaluation_results.json"
PREDICTIONS_NAME = "predictions.npz"
MAX_BYTES = 64 << 20  # of results: of a hundred thousand classes they take some ten


@dataclass(frozen=True)
class OrNull:
    """A form, or null where the figure has no value."""

    form: object


@dataclass(frozen=True)
class Text:
    """Text of at most so many characters, with nothing in it that cannot be encoded."""

    limit: int


@dataclass(frozen=True)
class Number:
    """A number from low to high; whole where it must be."""

    low: float
    high: float
    kind: type = float


# Forms: a type; a Text or Number; a dict of exactly these keys (... for any further ones); [form] a list; (form, …) a
# list of these
COUNT = Number(0, 2**62, int)
SHARE = Number(0, 1.001)  # sums of rounded numbers may come out above 1
AMOUNT = Number(0, 1e300)
POINTS = Number(-100.1, 100.1)
RATE = OrNull(SHARE)
INTERVAL = OrNull((SHARE, SHARE))
NAME = Text(MAX_NAME)
REMARK = Text(10_000)
_SIZES = {"image": COUNT, "total": COUNT}
_COSTS = {
    "latency_ms": OrNull({"p50_ms": AMOUNT, "p95_ms": AMOUNT}),
    "throughput_per_s": OrNull(AMOUNT),
    "macs": OrNull(COUNT),
    "peak_memory_bytes": OrNull(COUNT),
}
_SIDE = {
    "top1": RATE,
    "top5": RATE,
    "mean_class_accuracy": RATE,
    "top1_interval": INTERVAL,
    "calibration_error": RATE,
    "reliability": [{"confidence": SHARE, "accuracy": SHARE, "clips": COUNT}],
    "bytes_on_disk": _SIZES,
    "input_size": COUNT,
    **_COSTS,
}
_VERB_NOUN = {"verb": RATE, "noun": RATE, "both": RATE}
SCHEMA = {
    "schema_version": int,
    "note": OrNull(REMARK),
    "split": NAME,
    "num_clips": COUNT,
    "num_videos": COUNT,
    "num_labelled_clips": COUNT,
    "num_classes": Number(0, MAX_CLASSES, int),
    "chance": RATE,
    "majority": OrNull({"class": NAME, "top1": SHARE, "mean_class_accuracy": SHARE, "from": NAME}),
    "long_tail": bool,
    "verb_noun": OrNull({"label_sets": (NAME, NAME), "num_clips": COUNT, "teacher": _VERB_NOUN, "student": _VERB_NOUN}),
    "frames_in_several_clips": RATE,
    "comparable_with": OrNull(REMARK),
    "classes": [NAME],
    "teacher": {"name": NAME, "weights": NAME, **_SIDE, "head": NAME, "parameters": _SIZES},
    "student": {
        "size": NAME,
        **_SIDE,
        "zero_shot_top1": RATE,
        "parameters": {"deployed": COUNT, "training": COUNT, ...: COUNT},
    },
    "reference": OrNull(
        {
            "name": NAME,
            "parameters": COUNT,
            "bytes_on_disk": COUNT,
            "input_size": COUNT,
            "latency_ratio": AMOUNT,
            **_COSTS,
        }
    ),
    "comparison": {
        "accuracy_drop_points": OrNull(POINTS),
        "accuracy_drop_interval": OrNull((POINTS, POINTS)),
        "compression": AMOUNT,
        "agreement": RATE,
        "agreement_top5": RATE,
        "agreement_interval": INTERVAL,
        "kl_divergence": OrNull(Number(-1e-3, 1e300)),
        "embedding_cosine": Number(-1.001, 1.001),
        "latency_ratio": OrNull(AMOUNT),
    },
    "per_class": [{"class": NAME, "clips": COUNT, "top1": SHARE, "teacher_top1": RATE}],
    "confusion": {"teacher": [(COUNT, COUNT, COUNT)], "student": [(COUNT, COUNT, COUNT)]},
    "environment": {...: object},
}
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "an object",
    list: "a list",
}


def read_results(path: Path) -> dict:
    """The evaluation of a file, or of a folder that has one.

    InputError where there is none; ResultsError, in one sentence, where the file is something else.
    """
    path = path / RESULTS_NAME if path.is_dir() else path
    try:
        data = read_plain(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}; make it with: python cli.py evaluate, or name a checkpoint (.pt)"
        ) from error
    except NotPlainError as error:
        raise ResultsError(f"{path} is not an evaluation: it {error.strerror}") from error
    try:
        results = strict_json.loads(data)
    except ValueError as error:
        problem = " ".join(str(error).split())[:200]
        raise ResultsError(f"{path} is not an evaluation: it cannot be read as JSON ({problem})") from error
    if not isinstance(results, dict) or "schema_version" not in results:
        raise ResultsError(f"{path} is not an evaluation: it has no schema_version; name what evaluate wrote")
    version = results["schema_version"]
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has results of schema version {brief(version)}, and this program reads {SCHEMA_VERSION}; "
            "evaluate again"
        )
    problem = misfit(results, SCHEMA)
    if problem:
        raise ResultsError(f"{path} is not a whole evaluation: {problem}; evaluate again")
    return results


def misfit(value, form, place: str = "") -> str | None:
    """The first thing in which a value differs from a form, in words; None where it fits."""
    if isinstance(form, OrNull):
        return None if value is None else misfit(value, form.form, place)
    if isinstance(form, dict):
        return _misfit_of_object(value, form, place)
    if isinstance(form, (list, tuple)):
        if not isinstance(value, list):
            return _wrong(place, value, list)
        if isinstance(form, tuple) and len(value) != len(form):
            return f"{place} has {len(value)} entries, not {len(form)}"
        forms = form * len(value) if isinstance(form, list) else form
        entries = enumerate(zip(value, forms, strict=True))
        return next(filter(None, (misfit(entry, kind, f"{place}[{i}]") for i, (entry, kind) in entries)), None)
    if isinstance(form, Text):
        is_right = type(value) is str and len(value) <= form.limit and is_text(value)
        return None if is_right else f"{place} is {brief(value)}, no text of up to {form.limit} characters"
    if isinstance(form, Number):
        is_beyond = f"{place} is {brief(value)}, not from {form.low} to {form.high}"
        return misfit(value, form.kind, place) or (None if form.low <= value <= form.high else is_beyond)
    if form is float:
        is_right = type(value) in (int, float) and -1e300 < value < 1e300  # neither infinite nor no number at all
    elif form is int:
        is_right = type(value) is int and -(2**63) <= value < 2**63
    else:
        is_right = form is object or (type(value) is form if form in (str, bool) else isinstance(value, form))
    return None if is_right else _wrong(place, value, form)


def _misfit_of_object(value, form: dict, place: str) -> str | None:
    if not isinstance(value, dict):
        return _wrong(place, value, dict)
    dot = f"{place}." if place else ""
    for name in form:
        if name is not ... and name not in value:
            return f"it has no {dot}{name}"
    for name, entry in value.items():
        if name not in form and ... not in form:
            return f"{dot}{str(name)[:60]} is no key of it"
        problem = misfit(entry, form.get(name, form.get(...)), f"{dot}{name}")
        if problem:
            return problem
    return None


def _wrong(place: str, value, form) -> str:
    return f"{place} is {_shown(value)}, not {_WORDS.get(form, 'what it should be')}"


def _shown(value) -> str:
    """A value in quotes, or how long it is."""
    return brief(value) if isinstance(value, (str, list, tuple, dict)) and value else repr(str(value)[:40])
