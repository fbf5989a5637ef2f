"""calibration.json: fitted by evaluate, kept where predict and export-student find it, and never of another student."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import commit
from embedonce.pipeline.errors import InputError, ResultsError
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.export import copied_calibration
from embedonce.pipeline.metrics import fitted_calibration
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME, Calibration, read_calibration
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
