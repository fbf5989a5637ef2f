"""An exported folder predicts as its checkpoint does, without torch, and says what is missing in it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import commit
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.export.export import export
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME, Calibration, read_calibration
from embedonce.pipeline.predict.exported_model import read_facts
from embedonce.pipeline.predict.student import Student

onnx = pytest.importorskip("onnx", reason="onnx is an extra: pip install 'embedonce[export]'")
pytestmark = pytest.mark.integration

TEMPERATURE = 1.25  # of the checkpoint
WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = sys.modules["open_clip"] = None
from embedonce.pipeline.predict.student import Student
student = Student.load(sys.argv[1])
print(json.dumps([one.as_dict() for one in student.predict(sys.argv[2])]))
"""


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory) -> Path:
    """An export of the student and its calibration, both in folders with nothing else; training had fitted 1.25."""
    root = tmp_path_factory.mktemp("exported")
    student = Path(shutil.copy(world.checkpoint, root))
    checkpoint.save(student, replace(checkpoint.load(student), calibration=SelectionCalibration(TEMPERATURE, 30)))
    digest = commit.sha256(student.read_bytes())
    made = Calibration(digest, "l", "val", 9, False, 2.0, {"stir": 0.7}, 0.0, None)
    (root / CALIBRATION_NAME).write_bytes(made.as_json())
    few = {"formats": "fp32", "split": "train", "num_samples": 2, "calibration_frames": 4}
    return export(ExportConfig(world.folder / "cache", student, root / "export", **few)).folder


def test_an_export_predicts_as_its_checkpoint_without_torch(world, folder):
    words = [sys.executable, "-c", WITHOUT_TORCH, folder, world.video("wide")]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    trained = Student.load(folder.parent / "best_student.pt")
    expected = [one.as_dict() for one in trained.predict(world.video("wide"))]
    assert [one["label"] for one in found] == [one["label"] for one in expected] and found[0]["label"] == "stir"
    assert found[1]["reason"] == "below the threshold 0.700 of stir"
    np.testing.assert_allclose(*([one["probability"] for one in some] for some in (found, expected)), atol=1e-4)


def test_an_export_divides_its_logits_and_predict_only_by_what_is_missing(world, folder, tmp_path):
    """evaluate fitted 2 to the undivided logits: those of a checkpoint that has no temperature."""
    undivided = Student.load(world.checkpoint)
    undivided.calibration = read_calibration(folder / CALIBRATION_NAME)
    found, expected = (
        [one.probability for one in student.predict(world.video("wide"))]
        for student in (Student.load(folder), undivided)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    alone = Path(shutil.copytree(folder, tmp_path / "alone", ignore=shutil.ignore_patterns(CALIBRATION_NAME)))
    undivided.calibration = replace(undivided.calibration, temperature=TEMPERATURE)
    found, expected = (
        [one.probability for one in student.predict(world.video("wide"))]
        for student in (Student.load(alone), undivided)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_export_of_an_earlier_version_is_not_divided(folder):
    """Its facts have no temperature, or one that was no part of the format."""
    (facts,) = [p.value for p in onnx.load(folder / "clip.onnx").metadata_props if p.key == "embedonce"]
    values = json.loads(facts)
    for earlier in (values | {"format": 1}, {k: v for k, v in values.items() if k != "temperature"} | {"format": 1}):
        assert read_facts(folder / "clip.onnx", {"embedonce": json.dumps(earlier)}).temperature == 1.0
    assert read_facts(folder / "clip.onnx", {"embedonce": facts}).temperature == TEMPERATURE
    for bad in (0, 1e9, None, "2"):
        with pytest.raises(CheckpointError, match="its metadata temperature is"):
            read_facts(folder / "clip.onnx", {"embedonce": json.dumps(values | {"temperature": bad})})
    with pytest.raises(CheckpointError, match="its metadata it has no temperature"):
        read_facts(folder / "clip.onnx", {"embedonce": json.dumps(earlier | {"format": 2})})


def test_an_export_embeds_as_its_checkpoint(world, folder):
    images = list(np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3), dtype=np.uint8))
    found, expected = (Student.load(path).embed(images) for path in (folder, world.checkpoint))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_incomplete_and_foreign_folders_are_one_sentence(folder, tmp_path):
    with pytest.raises(InputError, match=r"is not a complete export of ONNX files: it has none of frames.fp32.onnx"):
        Student.load(tmp_path)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "clip.onnx").unlink()
    with pytest.raises(InputError, match=r"it has no clip.onnx; run export-student again$"):
        Student.load(copy)
    with pytest.raises(InputError, match="--device mps is not available to ONNX Runtime"):
        Student.load(folder, device="mps")


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "was not exported by export-student"),
        ({"embedonce": "{"}, "its metadata are not JSON"),
        ({"embedonce": '{"format": 3}'}, "has export format 3; this program reads formats 1 and 2"),
        ({"embedonce": '{"format": 1}'}, "was not exported by export-student: its metadata it has no classes"),
    ],
)
def test_models_of_others_are_refused(metadata, problem):
    with pytest.raises(CheckpointError, match=problem):
        read_facts(Path("frames.fp32.onnx"), metadata)
