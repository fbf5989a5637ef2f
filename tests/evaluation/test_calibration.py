"""calibration.json: fitted by evaluate, kept where predict and export-student find it, and never of another student."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import commit
from embedonce.cache.labels import LabelSet
from embedonce.models.student_config import StudentConfig
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, CheckpointTeacher
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import InputError, ResultsError
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.calibration import calibrated
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.export import copied_calibration
from embedonce.pipeline.metrics import accuracy, fitted_calibration
from embedonce.pipeline.metrics.calibration import expected_calibration_error, reliability
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME, Calibration, read_calibration
from embedonce.pipeline.metrics.results_file import read_results
from embedonce.pipeline.metrics.results_schema import RESULTS_NAME, Calibrated
from embedonce.pipeline.training import trainer as training
from tests.support import small_students
from tests.support.small_students import settings
from tests.support.tiny_cache import CLASSES, make_tiny_cache


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture
def out(tmp_path) -> Path:
    """A folder with a student of a cache with 24 labeled val clips."""
    make_tiny_cache(tmp_path / "cache", 24)
    training.train(settings(tmp_path / "cache", tmp_path / "out", epochs=1))
    return tmp_path / "out"


def config(out: Path, **changes) -> EvaluateConfig:
    made = EvaluateConfig(out.parent / "cache", out / "best_student.pt", out, num_workers=0, device="cpu")
    return replace(made, **changes)


def test_evaluate_fits_a_calibration_to_its_clips_and_leaves_its_figures_alone(out, caplog):
    caplog.set_level("INFO", "embedonce")
    results = evaluating.evaluate(config(out))
    found = read_calibration(out / CALIBRATION_NAME)
    assert found.checkpoint_sha256 == commit.sha256((out / "best_student.pt").read_bytes())
    assert (found.label_set, found.split, found.num_clips, found.multi_label) == ("tiny", "val", 24, False)
    with np.load(out / "predictions.npz") as file:
        logits, labels = file["logits"], file["labels"]
    fitted = fitted_calibration.fit(logits, labels[:, None] == np.arange(3), False)
    assert found.temperature == pytest.approx(fitted.temperature)
    expected = {name: value for name, value in zip(CLASSES, fitted.thresholds, strict=True) if not np.isnan(value)}
    assert found.thresholds == pytest.approx(expected) and found.default_threshold == fitted.default_threshold
    assert found.cross_fitted["calibration_error_before"] == pytest.approx(results.student.calibration_error)
    assert "calibration for predict: temperature" in caplog.text and "on clips it was not fitted to" in caplog.text


def test_nothing_is_fitted_to_training_clips_nor_to_few_and_what_there_is_stays(out, caplog):
    caplog.set_level("INFO", "embedonce")
    evaluating.evaluate(config(out, num_samples=19))
    assert "19 clips have labels, fewer than 20" in caplog.text and not (out / CALIBRATION_NAME).exists()
    evaluating.evaluate(config(out))
    before = (out / CALIBRATION_NAME).read_bytes()
    evaluating.evaluate(config(out, split="train"))
    assert "the student was trained on these clips" in caplog.text
    assert (out / CALIBRATION_NAME).read_bytes() == before


def stored(out: Path, calibration: SelectionCalibration | None, **changes) -> None:
    """Write the checkpoint of the folder with this calibration."""
    path = out / "best_student.pt"
    checkpoint.save(path, replace(checkpoint.load(path), calibration=calibration, **changes))


def test_the_temperature_of_the_checkpoint_is_measured_on_the_evaluated_clips(out):
    plain = evaluating.evaluate(config(out))
    stored(out, SelectionCalibration(0.5, 33))
    results = evaluating.evaluate(config(out))
    with np.load(out / "predictions.npz") as file:
        logits, labels = file["logits"], file["labels"]
    before, after = (accuracy.log_softmax(logits / divisor)[np.arange(24), labels] for divisor in (1.0, 0.5))
    found = results.calibrated
    assert (found.temperature, found.num_selection_clips, found.reason) == (0.5, 33, None)
    assert found.negative_log_likelihood_before == pytest.approx(-before.mean(), rel=1e-6)
    assert found.negative_log_likelihood == pytest.approx(-after.mean(), rel=1e-6)
    assert found.calibration_error_before == results.student.calibration_error
    divided = expected_calibration_error(reliability(logits / 0.5, labels))
    assert found.calibration_error == pytest.approx(divided) != found.calibration_error_before
    assert results.student.reliability == plain.student.reliability  # of undivided logits, as ever
    assert read_calibration(out / CALIBRATION_NAME).temperature == pytest.approx(
        fitted_calibration.fit_temperature(logits, labels[:, None] == np.arange(3), False)
    )
    assert read_results(out) == results


@pytest.mark.parametrize(
    ("calibration", "changes", "reason"),
    [
        (None, {}, "the checkpoint was trained by an earlier version, which fitted none"),
        (SelectionCalibration(None, 3, "few"), {}, "few"),
        (SelectionCalibration(2.0, 30), {"split": "train"}, "training clips, and clips that it was fitted to, are in"),
        (SelectionCalibration(2.0, 30), {"multi_label": True}, "only one of the student and the label set has several"),
    ],
)
def test_results_say_why_a_temperature_was_not_measured(out, calibration, changes, reason):
    split = changes.pop("split", "val")
    stored(out, calibration, **changes)
    found = evaluating.evaluate(config(out, split=split)).calibrated
    assert found.reason.startswith(reason) and found.temperature == (calibration and calibration.temperature)
    assert found.calibration_error is found.negative_log_likelihood is found.negative_log_likelihood_before is None


def test_labels_and_classes_of_the_student_are_needed_to_measure():
    generator = np.random.default_rng(0)
    logits, vectors = generator.standard_normal((9, 2)), np.ones((9, 2), np.float32)
    student = StudentConfig("tiny", 2, 2, 128, 1, 4, 1)
    teacher = CheckpointTeacher("t", "0" * 64, 2)
    meta = Checkpoint(student, ["a", "b"], teacher, 1, {}, calibration=SelectionCalibration(2.0, 30))
    for classes, labels, reason in (
        (("b", "a"), np.zeros(9, int), "the label set has other classes than the student"),
        (("a", "b"), np.full(9, -1), "no clip has a label"),
    ):
        label_set = LabelSet("l", "none", classes, (), None, {})
        found = calibrated(Predictions(logits, vectors, logits, vectors, labels), label_set, meta, "val")
        assert found == Calibrated(2.0, 30, None, None, None, None, reason)


def test_clips_with_several_labels_have_a_likelihood_of_sigmoids():
    logits, vectors = np.log([[1.0, 9.0], [4.0, 4.0]]), np.ones((2, 2), np.float32)
    several = np.array([[False, True], [True, False]])
    student, teacher = StudentConfig("tiny", 2, 2, 128, 1, 4, 1), CheckpointTeacher("t", "0" * 64, 2)
    meta = Checkpoint(student, ["a", "b"], teacher, 1, {}, multi_label=True, calibration=SelectionCalibration(2.0, 30))
    label_set = LabelSet("l", "none", ("a", "b"), (), None, {}, multi_label=True)
    predictions = Predictions(logits, vectors, logits, vectors, np.full(2, -1), several)
    found = calibrated(predictions, label_set, meta, "val")
    assert found.calibration_error is found.calibration_error_before is found.reason is None
    assert found.negative_log_likelihood == pytest.approx(-np.log([1 / 2, 3 / 4, 2 / 3, 1 / 3]).mean())
    assert found.negative_log_likelihood_before == pytest.approx(-np.log([1 / 2, 9 / 10, 4 / 5, 1 / 5]).mean())


def test_results_of_an_earlier_version_are_read(out):
    results = evaluating.evaluate(config(out))
    values = json.loads((out / RESULTS_NAME).read_text())
    assert values.pop("calibrated")["reason"].endswith("fewer than 20")
    (out / RESULTS_NAME).write_text(json.dumps(values))
    assert read_results(out) == replace(results, calibrated=None)


def test_another_file_of_this_name_is_not_replaced(out):
    (out / CALIBRATION_NAME).write_text('{"mine": true}')
    with pytest.raises(InputError, match=r"calibration.json was not written by evaluate"):
        evaluating.evaluate(config(out))
    evaluating.evaluate(config(out, overwrite=True))
    assert read_calibration(out / CALIBRATION_NAME).num_clips == 24


DIGEST = "1" * 64
MADE = Calibration(DIGEST, "tiny", "val", 24, False, 1.5, {"red": 0.5}, 0.25, None)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    (tmp_path / CALIBRATION_NAME).write_bytes(MADE.as_json())
    assert read_calibration(tmp_path / CALIBRATION_NAME) == MADE


@pytest.mark.parametrize(
    "change",
    [
        *({"temperature": 0}, {"thresholds": {"red": 2}}, {"default_threshold": None}),
        *({"more": 1}, {"checkpoint_sha256": 5}),
    ],
)
def test_a_damaged_calibration_is_one_sentence(tmp_path, change):
    path = tmp_path / CALIBRATION_NAME
    path.write_text(json.dumps(json.loads(MADE.as_json()) | change))
    with pytest.raises(ResultsError, match=r"calibration.json is not a calibration: .*; evaluate again"):
        read_calibration(path)


def test_an_export_gets_the_calibration_of_its_checkpoint_alone(tmp_path, caplog):
    path = tmp_path / CALIBRATION_NAME
    assert copied_calibration(path, DIGEST) == {}
    path.write_bytes(MADE.as_json())
    assert copied_calibration(path, DIGEST) == {CALIBRATION_NAME: MADE.as_json()}
    assert copied_calibration(path, "2" * 64) == {}
    assert "calibration.json is the calibration of another checkpoint and is not copied" in caplog.text
