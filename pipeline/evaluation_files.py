"""What evaluate and compare write, and what of a folder each of them may write over. Knows names, bytes and settings.

An evaluation takes the place of an earlier one of the same student on the same clips; others are kept unless told.
"""

import os
from functools import partial

import yaml

from pipeline.errors import InputError
from pipeline.evaluation_config import CompareConfig, EvaluateConfig
from pipeline.file_recognition import is_arrays, is_object, is_plot, is_sealed_page, is_settings, is_table
from pipeline.output_folder import Recognizer, check_replaceable
from pipeline.results_schema import PREDICTIONS_NAME, RESULTS_NAME

EVALUATE_SETTINGS = "evaluate_config.yaml"
PLOT_NAME = "comparison_plot.png"
REPORT_NAME = "report.html"
ARRAYS = {"video_uid", "start_sec", "end_sec", "labels", "logits", "teacher_logits", "embeddings"}
ARRAYS |= {"teacher_embeddings", "classes"}
_SUBJECT = ("student_checkpoint", "cache_dir", "label_set", "split")  # of an evaluation: who is judged on what
_PATHS = ("student_checkpoint", "cache_dir")
_ROW = ("role", "name", "source", "size")  # how rows of a comparison begin

EVALUATION: dict[str, Recognizer] = {
    EVALUATE_SETTINGS: partial(is_settings, kind=EvaluateConfig),
    PREDICTIONS_NAME: partial(is_arrays, names=ARRAYS),
    PLOT_NAME: is_plot,
    REPORT_NAME: partial(is_sealed_page, kind="evaluate"),
    RESULTS_NAME: partial(is_object, keys=("schema_version", "student", "teacher")),
}
COMPARISON: dict[str, Recognizer] = {
    "compare_config.yaml": partial(is_settings, kind=CompareConfig),
    "comparison.csv": partial(is_table, columns=_ROW),
    "comparison.png": is_plot,
    "comparison.json": partial(is_object, keys=("schema_version", "baseline", "rows")),
}


def check_evaluation(config: EvaluateConfig) -> None:
    """InputError where evaluate would write over what it did not make, or over the evaluation of something else."""
    folder = config.output_dir
    files = {folder / name: is_ours for name, is_ours in EVALUATION.items()}
    check_replaceable(files, config.overwrite, "evaluate", "--output-dir")
    settings = folder / EVALUATE_SETTINGS
    if config.overwrite or not settings.exists() or not (folder / RESULTS_NAME).exists():
        return
    asked, there = config.as_dict(), yaml.safe_load(settings.read_text())
    differing = [f"{name}: {there.get(name)} -> {asked[name]}" for name in _SUBJECT if not _is_same(name, there, asked)]
    if differing:
        raise InputError(
            f"{folder} holds another evaluation ({'; '.join(differing)}); choose another --output-dir, or give "
            "--overwrite to replace it"
        )


def check_comparison(config: CompareConfig) -> None:
    """InputError where compare would write over what it did not make."""
    files = {config.output_dir / name: is_ours for name, is_ours in COMPARISON.items()}
    check_replaceable(files, config.overwrite, "compare", "--output-dir")


def _is_same(name: str, there: dict, asked: dict) -> bool:
    """Whether a setting is the same in both; a path, if it leads to one place, or to one place beside the output."""
    ours, theirs = asked[name], there.get(name)
    if name not in _PATHS or not isinstance(theirs, str) or not isinstance(there.get("output_dir"), str):
        return ours == theirs
    folders = asked["output_dir"], there["output_dir"]
    absolute = {os.path.realpath(path) for path in (ours, theirs)}
    beside = {os.path.relpath(*map(os.path.realpath, pair)) for pair in zip((ours, theirs), folders, strict=True)}
    return len(absolute) == 1 or len(beside) == 1
