"""Student checkpoints (best_student.pt): their fields, writing and reading them."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from embedonce.cache.labels import LabelSet
from embedonce.cache.limits import MAX_FPS, MAX_FRAMES_PER_CLIP, MAX_NAME, MAX_STORED_PIXELS, MIN_FPS
from embedonce.cache.schema import INTERPOLATIONS, MAX_UID_LENGTH, UID_PATTERN, TeacherIdentity
from embedonce.models.errors import ModelOptionError
from embedonce.models.names import MAX_WIDTH
from embedonce.models.student import VideoStudent, build_student
from embedonce.models.student_config import StudentConfig, config_from
from embedonce.pipeline.checkpoints.selection_calibration import FORM as CALIBRATION_FORM
from embedonce.pipeline.checkpoints.selection_calibration import SelectionCalibration
from embedonce.pipeline.checkpoints.tensor_files import FORMAT, check_format, read_tensors, write_tensors
from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.frames.preprocessing import CROPS, Preprocessing
from embedonce.pipeline.metrics.json_forms import Number, OrNull, Text, find_mismatch

MAX_CLIP_SEC = 1e6
MAX_TEACHERS = 64  # of a student, besides the first
_REQUIRED = {  # forms of metrics.json_forms
    "student": {...: object},
    "classes": [Text(MAX_NAME)],
    "teacher": {"name": Text(MAX_NAME), "weights_sha256": Text(64), "embed_dim": int},
    "frames_per_clip": int,
    "model": {...: torch.Tensor},
}
_OPTIONAL = {
    "label_set": Text(MAX_NAME),
    "trained_on": [Text(64)],
    "epoch": int,
    "selection": {...: OrNull(float)},
    "selected_by": Text(MAX_NAME),
    "class_weights": [float],
    "main_teacher": Text(MAX_UID_LENGTH),
    "multi_label": bool,
    "preprocessing": {
        **{name: Text(MAX_NAME) for name in ("input", "crop", "interpolation", "t_rel_sec")},
        **{name: Number(1, MAX_STORED_PIXELS, int) for name in ("resolution", "canonical_short_side")},
        "frames_per_second": OrNull(Number(MIN_FPS, MAX_FPS)),
        "jpeg_quality": Number(1, 100, int),
        "clip_seconds": Number(0, MAX_CLIP_SEC),
        "crop_fraction": Number(0, 1),
    },
    "added_teachers": [
        {
            "label": Text(MAX_UID_LENGTH),
            "name": Text(MAX_NAME),
            "weights_sha256": Text(64),
            "embed_dim": Number(1, MAX_WIDTH, int),
            "share": Number(0, 1),
        }
    ],
    "calibration": CALIBRATION_FORM,
}


@dataclass(frozen=True)
class CheckpointTeacher:
    """The teacher that a student was trained from."""

    name: str
    weights_sha256: str
    embed_dim: int


@dataclass(frozen=True)
class AddedCheckpointTeacher(CheckpointTeacher):
    """A further teacher. label: its name in the cache. share: of the feature term."""

    label: str
    share: float

    @classmethod
    def of(cls, label: str, teacher: TeacherIdentity, share: float) -> "AddedCheckpointTeacher":
        return cls(teacher.name, teacher.weights_sha256, teacher.embed_dim, label, share)


@dataclass(frozen=True)
class Checkpoint:
    """What a student checkpoint holds.

    student: its architecture. classes: names, in the order of its logits. trained_on: SHA-256 of the video files whose
    clips it was trained on or selected by. epoch, from 1, and selection, the values logged for it: of the best epoch.
    selected_by: the score that it is the best by. class_weights: of the task term; None: all 1. main_teacher: the name
    that `teacher` had in the cache if it was an added one, else None. added_teachers: further ones, whose embeddings it
    has projections for; None if there are none. multi_label: whether clips have any number of classes. preprocessing:
    how frames were prepared. calibration: the temperature of its logits. The last three are None in files of earlier
    versions. model: its weights, whose logits are not divided.
    """

    student: StudentConfig
    classes: list[str]
    teacher: CheckpointTeacher
    frames_per_clip: int
    model: dict[str, Tensor]
    label_set: str | None = None
    trained_on: list[str] = field(default_factory=list)
    epoch: int | None = None
    selection: dict[str, float | None] = field(default_factory=dict)
    selected_by: str | None = None
    class_weights: list[float] | None = None
    main_teacher: str | None = None
    added_teachers: list[AddedCheckpointTeacher] | None = None
    multi_label: bool | None = None
    preprocessing: Preprocessing | None = None
    calibration: SelectionCalibration | None = None

    @property
    def temperature(self) -> float:
        """What logits are to be divided by; 1 without a temperature."""
        return (self.calibration and self.calibration.temperature) or 1.0

    def as_dict(self) -> dict:
        """The content of the file: plain values and tensors, without fields that are None."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        values |= {name: dataclasses.asdict(values[name]) for name in ("student", "teacher")}
        if self.added_teachers is not None:
            values["added_teachers"] = list(map(dataclasses.asdict, self.added_teachers))
        for name in ("preprocessing", "calibration"):
            if values[name] is not None:
                values[name] = dataclasses.asdict(values[name])
        return {"format": FORMAT, **{name: value for name, value in values.items() if value is not None}}


def new_checkpoint(
    student: VideoStudent,
    labels: LabelSet,
    teacher: TeacherIdentity,
    frames_per_clip: int,
    trained_on: Iterable[str] = (),
    epoch: int | None = None,
    selection: dict[str, float | None] | None = None,
    selected_by: str | None = None,
    class_weights: Iterable[float] | None = None,
    main_teacher: str | None = None,
    added_teachers: Iterable[AddedCheckpointTeacher] = (),
    preprocessing: Preprocessing | None = None,
    calibration: SelectionCalibration | None = None,
) -> Checkpoint:
    """A checkpoint of this student, whose classes are those of the label set. See Checkpoint for the fields."""
    return Checkpoint(
        student=student.config,
        classes=list(labels.classes),
        label_set=labels.name,
        teacher=CheckpointTeacher(teacher.name, teacher.weights_sha256, teacher.embed_dim),
        frames_per_clip=frames_per_clip,
        trained_on=list(trained_on),
        epoch=epoch,
        selection=selection or {},
        selected_by=selected_by,
        class_weights=None if class_weights is None else list(class_weights),
        main_teacher=main_teacher,
        added_teachers=list(added_teachers) or None,
        multi_label=labels.multi_label,
        preprocessing=preprocessing,
        calibration=calibration,
        model=student.state_dict(),
    )


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write or replace a checkpoint atomically."""
    write_tensors(path, checkpoint.as_dict())


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is executed. CheckpointError if it is missing, damaged or something else."""
    content = read_tensors(path)
    _check_fields(path, content)
    check_format(path, content)
    fields = {name: content[name] for name in (*_REQUIRED, *_OPTIONAL) if name in content}
    fields |= {"student": _config(path, content), "teacher": CheckpointTeacher(**content["teacher"])}
    if "added_teachers" in fields:
        fields["added_teachers"] = _added_teachers(path, fields["added_teachers"])
    if "preprocessing" in fields:
        fields["preprocessing"] = _preprocessing(path, fields["preprocessing"])
    if "calibration" in fields:
        fields["calibration"] = SelectionCalibration(**fields["calibration"])
    return Checkpoint(**fields)


def _preprocessing(path: Path, values: dict) -> Preprocessing:
    """CheckpointError for a crop or an interpolation that no cache has."""
    if values["crop"] not in CROPS.values() or values["interpolation"] not in INTERPOLATIONS:
        raise CheckpointError(f"{path} is not a student checkpoint: its frames have an unknown crop or interpolation")
    return Preprocessing(**values)


def _added_teachers(path: Path, values: list[dict]) -> list[AddedCheckpointTeacher]:
    """CheckpointError for names that no added teachers of a cache have."""
    teachers = [AddedCheckpointTeacher(**value) for value in values]
    labels = [teacher.label for teacher in teachers]
    if len(set(labels)) < len(labels) or len(labels) > MAX_TEACHERS or not all(map(UID_PATTERN.fullmatch, labels)):
        raise CheckpointError(f"{path} is not a student checkpoint: it has invalid names of added teachers")
    return teachers


def _check_fields(path: Path, content: dict) -> None:
    """CheckpointError if a field is missing or has a value that no checkpoint has."""
    optional = {name: form for name, form in _OPTIONAL.items() if name in content}
    for name, form in (_REQUIRED | optional).items():
        problem = find_mismatch(content[name], form, name) if name in content else "it is missing"
        if problem:
            raise CheckpointError(f"{path} is not a student checkpoint: it has no usable {name} ({problem})")
    if not 1 <= content["frames_per_clip"] <= MAX_FRAMES_PER_CLIP:
        raise CheckpointError(
            f"{path} has {content['frames_per_clip']} frames per clip; students take 1 to {MAX_FRAMES_PER_CLIP}"
        )


def _config(path: Path, content: dict) -> StudentConfig:
    try:
        return config_from(content["student"])
    except (ModelOptionError, TypeError) as error:
        raise _mismatch(path, error) from error


def load_student(path: Path) -> tuple[VideoStudent, Checkpoint]:
    """The student of a checkpoint, in eval mode, and the checkpoint."""
    checkpoint = load(path)
    try:
        with torch.device("meta"):  # shapes alone: memory is allocated only for weights that the file holds
            expected = _built(checkpoint).state_dict()
        shapes = {name: tensor.shape for name, tensor in checkpoint.model.items()}
        if shapes != {name: tensor.shape for name, tensor in expected.items()}:
            raise CheckpointError(f"{path} does not fit the student it describes: its weights have other shapes")
        student = _built(checkpoint)
        student.load_state_dict(checkpoint.model)
    except (ModelOptionError, RuntimeError, TypeError, KeyError) as error:
        raise _mismatch(path, error) from error
    if student.config.num_classes != len(checkpoint.classes):
        raise CheckpointError(
            f"{path} names {len(checkpoint.classes)} classes, but its student has {student.config.num_classes}"
        )
    return student.eval(), checkpoint


def _built(checkpoint: Checkpoint) -> VideoStudent:
    """The student of a checkpoint, with other weights."""
    student = build_student(checkpoint.student, pretrained=False)
    student.add_teachers({teacher.label: teacher.embed_dim for teacher in checkpoint.added_teachers or ()})
    return student


def _mismatch(path: Path, error: Exception) -> CheckpointError:
    problem = " ".join(str(error).split())[:300]
    return CheckpointError(f"{path} does not fit the student it describes: {problem}")
