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
from pipeline.errors import CheckpointError, InputError

FORMAT = 2
STATE = "training_state.pt"
_FIELDS = {"student": dict, "classes": list, "teacher": dict, "frames_per_clip": int, "model": dict}
_STATE_FIELDS = ("run", "epoch", "position", "stopped_early", "device", "sums", "students")  # what a run continues from
_TEACHER_FIELDS = ("name", "weights_sha256", "embed_dim")


def describe(
    student: MobileVitStudent,
    labels: LabelSet,
    teacher: TeacherIdentity,
    frames_per_clip: int,
    trained_on: list[str] | None = None,
) -> dict:
    """The fields that a student needs to be used again, without its weights.

    trained_on: fingerprints of the files whose clips it was trained on or chosen by.
    """
    return {
        "format": FORMAT,
        "student": dataclasses.asdict(student.config),
        "classes": list(labels.classes),
        "label_set": labels.name,
        "teacher": {name: getattr(teacher, name) for name in _TEACHER_FIELDS},
        "frames_per_clip": frames_per_clip,
        "trained_on": trained_on or [],
    }


def save(path: Path, content: dict) -> None:
    """Write a checkpoint in the place of the one that was there, or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    commit.replace(path, buffer.getvalue())


def load(path: Path) -> dict:
    """Read a checkpoint; nothing in it runs. CheckpointError where it is missing, damaged or something else."""
    content = _opened(path)
    lacking = [name for name, kind in _FIELDS.items() if not isinstance(content.get(name), kind)]
    if lacking:
        raise CheckpointError(f"{path} is not a checkpoint of a student: it has no usable {', '.join(lacking)}")
    if content["frames_per_clip"] < 1 or any(name not in content["teacher"] for name in _TEACHER_FIELDS):
        raise CheckpointError(f"{path} does not say how many frames a clip has, or who its teacher was")
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {content.get('format')!r}; this program reads {FORMAT}")
    return content


def load_student(path: Path) -> tuple[MobileVitStudent, dict]:
    """The student of a checkpoint, in eval mode, and the checkpoint's other fields."""
    content = load(path)
    try:
        config = config_from(content["student"])
        with torch.device("meta"):  # shapes alone: what the file does not hold is not allocated
            described = build_student(config, pretrained=False).state_dict()
        held = {name: getattr(tensor, "shape", None) for name, tensor in content["model"].items()}
        if held != {name: tensor.shape for name, tensor in described.items()}:
            raise CheckpointError(f"{path} does not fit the student it describes: its weights have other shapes")
        student = build_student(config, pretrained=False)
        student.load_state_dict(content["model"])
    except (ModelOptionError, RuntimeError, TypeError, KeyError) as error:
        problem = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit the student it describes: {problem}") from error
    if student.config.num_classes != len(content["classes"]):
        raise CheckpointError(
            f"{path} names {len(content['classes'])} classes for a student of {student.config.num_classes}"
        )
    return student.eval(), content


def has_state(folder: Path) -> bool:
    """Whether a folder holds a training run."""
    return (folder / STATE).exists()


def save_state(folder: Path, content: dict) -> None:
    """Save all that a training run continues from, in the place of what was saved before."""
    save(folder / STATE, {"format": FORMAT, **content})


def claim_folder(folder: Path, content: dict) -> None:
    """Save a state from which a run begins anew: it only says whose the other files of the folder are."""
    save(folder / STATE, {"format": FORMAT, **content})


def is_mere_claim(content: dict) -> bool:
    """Whether this is what claim_folder() wrote: there is nothing to continue from."""
    return not content["epoch"] and not content["position"]


def load_state(folder: Path, fields: dict, student_folders: list[Path]) -> dict | None:
    """The state of the training run in a folder; None where another run was begun in it and learned nothing.

    InputError where it is not the run that fields describe.
    student_folders: where the best students of its closed epochs must be.
    """
    path = folder / STATE
    try:
        content = _opened(path)
        if lacking := [name for name in _STATE_FIELDS if name not in content]:
            raise CheckpointError(f"{path} has no {', '.join(lacking)} to continue from")
        if content.get("format") != FORMAT:
            raise CheckpointError(f"{path} has format {content.get('format')!r}; this program reads {FORMAT}")
        for student_folder in student_folders if content["epoch"] else ():
            load(student_folder / "best_student.pt")
    except CheckpointError as error:
        raise CheckpointError(f"this run cannot be continued, give --overwrite to start anew: {error}") from error
    theirs = content["run"]
    differing = [f"{k}: {theirs.get(k)} -> {v}" for k, v in fields.items() if theirs.get(k) != v]
    if differing and is_mere_claim(content):
        return None
    if differing:
        raise InputError(
            f"{folder} holds another training run ({'; '.join(differing)}); choose another --output-dir, or "
            "--overwrite it"
        )
    return content


def check_fit(
    path: Path,
    content: dict,
    teacher: TeacherIdentity,
    labels: LabelSet,
    student_size: str | None = None,
    some_classes: bool = False,
) -> None:
    """CheckpointError, in one sentence, where a checkpoint cannot be judged by a cache of this teacher and labels.

    student_size: what the user asserts the checkpoint to be. some_classes: the label set may have some of the student's
    classes alone, in any order.
    """
    size, embed_dim = content["student"]["size"], content["student"]["embed_dim"]
    if student_size is not None and size != student_size:
        raise CheckpointError(f"{path} is a student of size {size}, not {student_size}")
    if embed_dim != teacher.embed_dim:
        raise CheckpointError(
            f"{path} has {embed_dim}-d embeddings and the cache's teacher {teacher.embed_dim}-d ones: it was trained "
            "from another cache; name that one with --cache-dir"
        )
    if some_classes:
        _check_names(path, content, labels)
    elif tuple(content["classes"]) != labels.classes:
        raise CheckpointError(
            f"{path} knows {len(content['classes'])} classes of label set {content.get('label_set')!r}, but label set "
            f"{labels.name!r} has {len(labels.classes)} other ones; name the right one with --label-set or --cache-dir"
        )
    if content["teacher"]["weights_sha256"] != teacher.weights_sha256:
        raise CheckpointError(
            f"{path} was trained from the teacher {content['teacher']['name']} with other weights than the cache's "
            f"{teacher.name}; name the cache it was trained from with --cache-dir"
        )


def _check_names(path: Path, content: dict, labels: LabelSet) -> None:
    """CheckpointError where the label set has a class that the student does not know by its name."""
    known = content["classes"]
    unknown = [name for name in labels.classes if name not in known]
    if unknown or (known and not labels.classes):
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        problem = f"classes that it does not know ({shown})" if unknown else "none"
        raise CheckpointError(
            f"{path} knows {len(known)} classes of label set {content.get('label_set')!r}, but label set "
            f"{labels.name!r} has {problem}; name the right one with --label-set or --cache-dir"
        )


def _opened(path: Path) -> dict:
    """What a file of tensors and plain values holds; nothing in it runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders aloud about foreign files before it refuses them
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}; run train-student first") from error
    except Exception as error:  # foreign bytes make torch's reader stumble in every way there is; none of them runs
        raise CheckpointError(f"{path} is damaged or no checkpoint of a student, and was not opened further") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a checkpoint of a student: it holds a {type(content).__name__}")
    return content
