"""Checkpoints and training states hold after reading what was written, and plain torch reads the same fields."""

import dataclasses

import pytest
import torch

from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint, training_state
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, CheckpointTeacher
from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT, TRAINING_STATE
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.checkpoints.training_state import TrainingState
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.frames.preprocessing import preprocessing_of
from tests.conftest import make_cache_identity
from tests.support import small_students
from tests.support.small_students import build_small


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture
def saved() -> Checkpoint:
    student = build_small(student_config("tiny", 16, 3, 128), False)
    return Checkpoint(
        student=student.config,
        classes=["a", "b", "c"],
        teacher=CheckpointTeacher("demo", "0" * 64, 16),
        frames_per_clip=2,
        model=student.state_dict(),
        label_set="tiny",
        trained_on=["1" * 64],
        epoch=3,
        selection={"epoch": 3, "selection_top1": None, "total": 0.5},
        multi_label=False,
        preprocessing=preprocessing_of(make_cache_identity(), 128, 2.5),
        calibration=SelectionCalibration(1.5, 24),
    )


def without_weights(value: Checkpoint) -> Checkpoint:
    return dataclasses.replace(value, model={})


def test_a_checkpoint_is_read_as_it_was_written(saved, tmp_path):
    checkpoint.save(tmp_path / BEST_STUDENT, saved)
    student, read = checkpoint.load_student(tmp_path / BEST_STUDENT)
    assert without_weights(read) == without_weights(saved) and not student.training
    assert all(torch.equal(read.model[name], value) for name, value in saved.model.items())
    assert all(torch.equal(student.state_dict()[name], value) for name, value in saved.model.items())


def test_the_file_is_a_dictionary_of_plain_values_and_tensors(saved, tmp_path):
    checkpoint.save(tmp_path / "best_student.pt", saved)
    content = torch.load(tmp_path / "best_student.pt", weights_only=True)
    assert set(content) == {
        *("format", "student", "classes", "teacher", "frames_per_clip", "model"),
        *("label_set", "trained_on", "epoch", "selection", "multi_label", "preprocessing", "calibration"),
    }
    assert content["format"] == 2 and content["student"] == dataclasses.asdict(saved.student)
    assert content["teacher"] == {"name": "demo", "weights_sha256": "0" * 64, "embed_dim": 16}


OPTIONAL = ["label_set", "trained_on", "epoch", "selection", "multi_label", "preprocessing", "calibration"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_checkpoints_without_an_optional_field_are_read(saved, tmp_path, name):
    content = saved.as_dict()
    del content[name]
    torch.save(content, tmp_path / "x.pt")
    read = checkpoint.load(tmp_path / "x.pt")
    assert not getattr(read, name) and read.classes == saved.classes


def test_a_student_of_the_real_architecture_is_rebuilt(tmp_path, monkeypatch):
    monkeypatch.undo()
    student = build_student(student_config("tiny", 16, 3, 128), pretrained=False).eval()
    teacher = CheckpointTeacher("demo", "0" * 64, 16)
    checkpoint.save(tmp_path / "x.pt", Checkpoint(student.config, ["a", "b", "c"], teacher, 2, student.state_dict()))
    rebuilt, _ = checkpoint.load_student(tmp_path / "x.pt")
    inputs = torch.zeros(1, 2, 3, 128, 128), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    with torch.inference_mode():
        assert torch.equal(rebuilt(*inputs).clip_logits, student(*inputs).clip_logits)


def test_a_training_state_is_read_as_it_was_written(saved, tmp_path):
    sums = [{"tiny": {"feature": 1.5}}]
    state = TrainingState({"lr": 0.1}, "cpu", epoch=2, position=7, stopped_early=True, sums=sums, students={"tiny": {}})
    training_state.save_state(tmp_path, state)
    checkpoint.save(tmp_path / BEST_STUDENT, saved)
    assert training_state.has_state(tmp_path)
    assert training_state.load_state(tmp_path, {"lr": 0.1}, [tmp_path]) == state and not state.is_new
    content = torch.load(tmp_path / "training_state.pt", weights_only=True)
    assert set(content) == {"format", "run", "device", "epoch", "position", "stopped_early", "sums", "students"}


def test_only_a_run_that_has_learned_something_keeps_another_from_its_folder(saved, tmp_path):
    new = TrainingState({"lr": 0.1}, "cpu")
    training_state.claim_folder(tmp_path, new)
    assert new.is_new and training_state.load_state(tmp_path, {"lr": 0.1}, []) == new
    assert training_state.load_state(tmp_path, {"lr": 0.2}, []) is None
    training_state.save_state(tmp_path, dataclasses.replace(new, position=1))
    with pytest.raises(InputError, match=r"another training run \(lr: 0.1 -> 0.2\); choose another --output-dir"):
        training_state.load_state(tmp_path, {"lr": 0.2}, [])
    assert (tmp_path / TRAINING_STATE).exists()


@pytest.mark.parametrize("change", [{"crop": "left"}, {"interpolation": "lanczos"}, {"resolution": 0}, {"more": 1}])
def test_a_preparation_of_frames_that_no_cache_has_is_refused(saved, tmp_path, change):
    content = saved.as_dict()
    content["preprocessing"] |= change
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="not a student checkpoint"):
        checkpoint.load(tmp_path / "x.pt")


def test_logits_are_divided_by_the_temperature_that_was_fitted_if_one_was(saved):
    assert saved.temperature == 1.5
    for calibration in (None, SelectionCalibration(None, 3, "too few")):
        assert dataclasses.replace(saved, calibration=calibration).temperature == 1.0


@pytest.mark.parametrize(
    "change",
    [
        *({"temperature": bad} for bad in (0.0, -1.0, 1e9, float("nan"), "2")),
        *({"num_clips": -1}, {"reason": 5}, {"more": 1}),
    ],
)
def test_a_calibration_that_no_training_has_stored_is_refused(saved, tmp_path, change):
    content = saved.as_dict()
    content["calibration"] |= change
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="is not a student checkpoint: it has no usable calibration"):
        checkpoint.load(tmp_path / "x.pt")
