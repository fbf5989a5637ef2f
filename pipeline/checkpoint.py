"""Checkpoints of students: written whole, read as plain tensors only.

Knows a checkpoint's fields; neither trains nor evaluates.
"""

import dataclasses
import io
import warnings
from pathlib import Path

import torch

from cache import commit
from cache.labels import LabelSet
from cache.schema import TeacherIdentity
from models.errors import ModelOptionError
from models.mobilevit_student import MobileVitStudent, build_student, config_from
from pipeline.errors import CheckpointError

FORMAT = 1
_FIELDS = ("student", "classes", "teacher", "frames_per_clip", "model")


def describe(student: MobileVitStudent, labels: LabelSet, teacher: TeacherIdentity, frames_per_clip: int) -> dict:
    """The fields that a student needs to be used again, without its weights."""
    return {
        "format": FORMAT,
        "student": dataclasses.asdict(student.config),
        "classes": list(labels.classes),
        "label_set": labels.name,
        "teacher": {name: getattr(teacher, name) for name in ("name", "weights_sha256", "embed_dim")},
        "frames_per_clip": frames_per_clip,
    }


def save(path: Path, content: dict) -> None:
    """Write a checkpoint in the place of the one that was there, or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    commit.replace(path, buffer.getvalue())


def load(path: Path) -> dict:
    """Read a checkpoint; nothing in it runs. CheckpointError where it is missing, damaged or something else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders aloud about foreign files before it refuses them
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}; run train-student first") from error
    except Exception as error:  # foreign bytes make torch's reader stumble in every way there is; none of them runs
        raise CheckpointError(f"{path} is damaged or no checkpoint of a student, and was not opened further") from error
    lacking = [name for name in _FIELDS if not isinstance(content, dict) or name not in content]
    if lacking:
        raise CheckpointError(f"{path} is not a checkpoint of a student: it has no {', '.join(lacking)}")
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {content.get('format')!r}; this program reads {FORMAT}")
    return content


def load_student(path: Path) -> tuple[MobileVitStudent, dict]:
    """The student of a checkpoint, in eval mode, and the checkpoint's other fields."""
    content = load(path)
    try:
        student = build_student(config_from(content["student"]), pretrained=False)
        student.load_state_dict(content["model"])
    except (ModelOptionError, RuntimeError, TypeError, KeyError) as error:
        problem = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit the student it describes: {problem}") from error
    return student.eval(), content
