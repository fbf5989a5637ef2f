"""What evaluation_results.json holds, as data, and the reader that refuses anything else.

Knows keys and types; how a figure comes about and what it means is in docs/evaluation.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError, ResultsError

SCHEMA_VERSION = 3
RESULTS_NAME = "evaluation_results.json"
PREDICTIONS_NAME = "predictions.npz"


@dataclass(frozen=True)
class OrNull:
    """A form, or null where the figure has no value."""

    form: object


# Forms: a type; a dict of exactly these keys (... for any further ones); [form] a list; (form, …) a list of these
RATE = OrNull(float)
INTERVAL = OrNull((float, float))
_SIZES = {"image": int, "total": int}
_COSTS = {
    "latency_ms": OrNull({"p50_ms": float, "p95_ms": float}),
    "throughput_per_s": OrNull(float),
    "macs": OrNull(int),
    "peak_memory_bytes": OrNull(int),
}
_SIDE = {
    "top1": RATE,
    "top5": RATE,
    "mean_class_accuracy": RATE,
    "top1_interval": INTERVAL,
    "calibration_error": RATE,
    "reliability": [{"confidence": float, "accuracy": float, "clips": int}],
    "bytes_on_disk": _SIZES,
    "input_size": int,
    **_COSTS,
}
_VERB_NOUN = {"verb": RATE, "noun": RATE, "both": RATE}
SCHEMA = {
    "schema_version": int,
    "note": OrNull(str),
    "split": str,
    "num_clips": int,
    "num_videos": int,
    "num_labelled_clips": int,
    "num_classes": int,
    "chance": RATE,
    "majority": OrNull({"class": str, "top1": float, "mean_class_accuracy": float, "from": str}),
    "long_tail": bool,
    "verb_noun": OrNull({"label_sets": (str, str), "num_clips": int, "teacher": _VERB_NOUN, "student": _VERB_NOUN}),
    "frames_in_several_clips": RATE,
    "comparable_with": OrNull(str),
    "classes": [str],
    "teacher": {"name": str, "weights": str, **_SIDE, "head": str, "parameters": _SIZES},
    "student": {
        "size": str,
        **_SIDE,
        "zero_shot_top1": RATE,
        "parameters": {"deployed": int, "training": int, ...: int},
    },
    "reference": OrNull(
        {"name": str, "parameters": int, "bytes_on_disk": int, "input_size": int, "latency_ratio": float, **_COSTS}
    ),
    "comparison": {
        "accuracy_drop_points": OrNull(float),
        "accuracy_drop_interval": INTERVAL,
        "compression": float,
        "agreement": RATE,
        "agreement_top5": RATE,
        "agreement_interval": INTERVAL,
        "kl_divergence": OrNull(float),
        "embedding_cosine": float,
        "latency_ratio": OrNull(float),
    },
    "per_class": [{"class": str, "clips": int, "top1": float, "teacher_top1": RATE}],
    "confusion": {"teacher": [(int, int, int)], "student": [(int, int, int)]},
    "environment": {...: object},
}
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "an object",
    list: "a list",
    bool: "true or false",
}


def read_results(path: Path) -> dict:
    """The evaluation of a file, or of a folder that has one.

    InputError where there is none; ResultsError, in one sentence, where the file is something else.
    """
    path = path / RESULTS_NAME if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"there is no {path}; make it with: python cli.py evaluate, or name a checkpoint (.pt)")
    try:
        results = json.loads(path.read_bytes(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ResultsError(f"{path} is not an evaluation: it cannot be read as JSON ({problem})") from error
    if not isinstance(results, dict) or "schema_version" not in results:
        raise ResultsError(f"{path} is not an evaluation: it has no schema_version; name what evaluate wrote")
    version = results["schema_version"]
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has results of schema version {version!r}, and this program reads {SCHEMA_VERSION}; evaluate again"
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
    if form is float:
        is_right = type(value) in (int, float) and -1e300 < value < 1e300  # neither infinite nor no number at all
    else:
        is_right = form is object or type(value) is form
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
            return f"{dot}{name} is no key of it"
        problem = misfit(entry, form.get(name, form.get(...)), f"{dot}{name}")
        if problem:
            return problem
    return None


def _wrong(place: str, value, form) -> str:
    return f"{place} is {str(value)[:40]!r}, not {_WORDS[form]}"


def _refuse(constant: str):
    raise ValueError(f"{constant} is no number")
