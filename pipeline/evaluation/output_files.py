"""What evaluate and compare write, and what of a folder each of them may write over. Knows names, bytes and settings.

An evaluation takes the place of an earlier one of the same student; that of another one is kept unless told.
"""

import os
from functools import partial

import yaml

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.files.output_folder import Recognizer, check_replaceable
from embedonce.pipeline.files.recognition import is_arrays, is_object, is_sealed, is_settings, is_table
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME

EVALUATE_SETTINGS = "evaluate_config.yaml"
PLOT_NAME = "comparison_plot.png"
REPORT_NAME = "report.html"
ARRAYS = {"video_uid", "start_sec", "end_sec", "labels", "logits", "teacher_logits", "embeddings"}
ARRAYS |= {"teacher_embeddings", "classes"}
_ROW = ("role", "name", "source", "size")  # how rows of a comparison begin

EVALUATION: dict[str, Recognizer] = {
    EVALUATE_SETTINGS: partial(is_settings, kind=EvaluateConfig),
    PREDICTIONS_NAME: partial(is_arrays, names=ARRAYS),
    PLOT_NAME: partial(is_sealed, kind="evaluate"),
    REPORT_NAME: partial(is_sealed, kind="evaluate"),
    RESULTS_NAME: partial(is_object, keys=("schema_version", "student", "teacher")),
}
COMPARISON: dict[str, Recognizer] = {
    "compare_config.yaml": partial(is_settings, kind=CompareConfig),
    "comparison.csv": partial(is_table, columns=_ROW),
    "comparison.png": partial(is_sealed, kind="compare"),
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
    there, asked = yaml.safe_load(settings.read_text()), config.as_dict()
    if not _is_same_student(there, asked):
        raise InputError(
            f"{folder} holds another evaluation (student_checkpoint: {there.get('student_checkpoint')} -> "
            f"{asked['student_checkpoint']}); choose another --output-dir, or give --overwrite to replace it"
        )


def check_comparison(config: CompareConfig) -> None:
    """InputError where compare would write over what it did not make."""
    files = {config.output_dir / name: is_ours for name, is_ours in COMPARISON.items()}
    check_replaceable(files, config.overwrite, "compare", "--output-dir")


def _is_same_student(there: dict, asked: dict) -> bool:
    """Whether the checkpoints of two settings lie in one place, or in one place beside their outputs."""
    names = "student_checkpoint", "output_dir"
    if not all(isinstance(there.get(name), str) for name in names):
        return False
    (ours, our_folder), (theirs, their_folder) = (
        [os.path.realpath(settings[name]) for name in names] for settings in (asked, there)
    )
    return ours == theirs or os.path.relpath(ours, our_folder) == os.path.relpath(theirs, their_folder)
