"""The files that evaluate and compare write, and which existing files each of them may overwrite.

An evaluation replaces an earlier one of the same student; that of another student is kept without --overwrite.
"""

import os
from functools import partial

import yaml

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.predictions import ARRAYS
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.files.output_folder import Recognizer, check_replaceable
from embedonce.pipeline.files.recognition import is_arrays, is_object, is_sealed, is_settings, is_table
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME, is_calibration
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME

EVALUATE_SETTINGS = "evaluate_config.yaml"
PLOT_NAME = "comparison_plot.png"
REPORT_NAME = "report.html"
COMPARE_SETTINGS = "compare_config.yaml"
COMPARISON_CSV = "comparison.csv"
COMPARISON_PLOT = "comparison.png"
COMPARISON_JSON = "comparison.json"
_FIRST_COLUMNS = ("role", "name", "source", "size")  # of comparison.csv

EVALUATION: dict[str, Recognizer] = {
    EVALUATE_SETTINGS: partial(is_settings, kind=EvaluateConfig),
    PREDICTIONS_NAME: partial(is_arrays, names=ARRAYS),
    PLOT_NAME: partial(is_sealed, kind="evaluate"),
    REPORT_NAME: partial(is_sealed, kind="evaluate"),
    CALIBRATION_NAME: is_calibration,
    RESULTS_NAME: partial(is_object, keys=("schema_version", "student", "teacher")),
}
ALWAYS_WRITTEN = EVALUATION.keys() - {CALIBRATION_NAME}  # a calibration needs enough labeled clips
COMPARISON: dict[str, Recognizer] = {
    COMPARE_SETTINGS: partial(is_settings, kind=CompareConfig),
    COMPARISON_CSV: partial(is_table, columns=_FIRST_COLUMNS),
    COMPARISON_PLOT: partial(is_sealed, kind="compare"),
    COMPARISON_JSON: partial(is_object, keys=("schema_version", "baseline", "rows")),
}


def check_evaluation(config: EvaluateConfig) -> None:
    """InputError if evaluate would overwrite files that it did not write, or the evaluation of another student."""
    folder = config.output_dir
    files = {folder / name: is_own for name, is_own in EVALUATION.items()}
    check_replaceable(files, config.overwrite, "evaluate", "--output-dir", may_be_in_cache=True)
    settings = folder / EVALUATE_SETTINGS
    if config.overwrite or not settings.exists() or not (folder / RESULTS_NAME).exists():
        return
    existing, requested = yaml.safe_load(settings.read_text()), config.as_dict()
    if not is_same_student(existing, requested):
        raise InputError(
            f"{folder} holds another evaluation (student_checkpoint: {existing.get('student_checkpoint')} -> "
            f"{requested['student_checkpoint']}); choose another --output-dir, or give --overwrite to replace it"
        )


def check_comparison(config: CompareConfig) -> None:
    """InputError if compare would overwrite files that it did not write."""
    files = {config.output_dir / name: is_own for name, is_own in COMPARISON.items()}
    check_replaceable(files, config.overwrite, "compare", "--output-dir", may_be_in_cache=True)


def is_same_student(existing: dict, requested: dict) -> bool:
    """Whether two settings name the same checkpoint, by its path or by its path relative to the output folder."""
    names = "student_checkpoint", "output_dir"
    if not all(isinstance(existing.get(name), str) for name in names):
        return False
    (ours, our_folder), (theirs, their_folder) = (
        [os.path.realpath(settings[name]) for name in names] for settings in (requested, existing)
    )
    return ours == theirs or os.path.relpath(ours, our_folder) == os.path.relpath(theirs, their_folder)
