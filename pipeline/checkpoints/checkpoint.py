"""Checkpoints of students: written whole, read as plain tensors only.

Knows a checkpoint's fields; neither trains nor evaluates.
"""

import dataclasses
import io
import warnings
from pathlib import Path

import torch

from embedonce.cache import commit
from embedonce.cache.labels import LabelSet
from embedonce.cache.limits import MAX_FRAMES_PER_CLIP, MAX_NAME, brief
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.archives import check_archive
from embedonce.models.errors import ModelOptionError
from embedonce.models.plain_files import NotPlainError
from embedonce.models.student import VideoStudent, build_student, config_from
from embedonce.pipeline.checkpoints.training_state import check_shape
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.metrics.json_forms import OrNull, Text, find_mismatch

FORMAT = 2
STATE = "training_state.pt"
MAX_BYTES = 16 << 30  # of a checkpoint, or of a run's state: larger students than any that trains here
_NEEDED = {  # forms of metrics.json_forms
    "student": {...: object},
    "classes": [Text(MAX_NAME)],
    "teacher": {"name": Text(MAX_NAME), "weights_sha256": Text(64), "embed_dim": int},
    "frames_per_clip": int,
    "model": {...: torch.Tensor},
}
_FURTHER = {
    "label_set": Text(MAX_NAME),
    "trained_on": [Text(64)],
    "epoch": int,
    "selection": {...: OrNull(float)},
}
_STATE_FIELDS = ("run", "epoch", "position", "stopped_early", "device", "sums", "students")  # what a run continues from
_TEACHER_FIELDS = ("name", "weights_sha256", "embed_dim")


def describe(
    student: VideoStudent,
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
    further = {name: form for name, form in _FURTHER.items() if name in content}
    for name, form in (_NEEDED | further).items():
        problem = find_mismatch(content[name], form, name) if name in content else "it is not there"
        if problem:
            raise CheckpointError(f"{path} is not a checkpoint of a student: it has no usable {name} ({problem})")
    if not 1 <= content["frames_per_clip"] <= MAX_FRAMES_PER_CLIP:
        raise CheckpointError(
            f"{path} says that a clip has {content['frames_per_clip']} frames, and students see 1 to "
            f"{MAX_FRAMES_PER_CLIP}"
        )
    _check_format(path, content)
    return content


def _check_format(path: Path, content: dict) -> None:
    found = content.get("format")
    if type(found) is not int or found != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {brief(found)}; this program reads {FORMAT}")


def load_student(path: Path) -> tuple[VideoStudent, dict]:
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
        _check_format(path, content)
        check_shape(path, content)
        for student_folder in student_folders if content["epoch"] else ():
            load(student_folder / "best_student.pt")
    except CheckpointError as error:
        raise CheckpointError(f"this run cannot be continued, give --overwrite to start anew: {error}") from error
    theirs = content["run"]
    differing = [f"{k}: {_told(theirs.get(k))} -> {_told(v)}" for k, v in fields.items() if theirs.get(k) != v]
    if differing and is_mere_claim(content):
        return None
    if differing:
        raise InputError(
            f"{folder} holds another training run ({_several(differing)}); choose another --output-dir, or "
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
            f"{path} knows {len(content['classes'])} classes of label set {brief(content.get('label_set'))}, but "
            f"label set {labels.name!r} has {len(labels.classes)} other ones; name the right one with --label-set or "
            "--cache-dir"
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
            f"{path} knows {len(known)} classes of label set {brief(content.get('label_set'))}, but label set "
            f"{labels.name!r} has {problem}; name the right one with --label-set or --cache-dir"
        )


def _several(differing: list[str], shown: int = 20) -> str:
    more = [f"{len(differing) - shown} more"] if len(differing) > shown else []
    return "; ".join([*differing[:shown], *more])


def _told(value) -> str:
    """A setting in a message: short ones whole."""
    return str(value)[:100] if value is None or isinstance(value, (str, bool, int, float)) else brief(value)


def _opened(path: Path) -> dict:
    """What a file of tensors and plain values holds; nothing in it runs, and it takes no more memory than its size."""
    try:
        check_archive(path, MAX_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wonders aloud about foreign files before it refuses them
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}; run train-student first") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is no checkpoint of a student: it is a folder") from error
    except NotPlainError as error:
        raise CheckpointError(f"{path} is no checkpoint of a student: it {error.strerror}") from error
    except (OSError, MemoryError):
        raise  # the machine's fault, not the file's
    except Exception as error:  # foreign bytes make torch's reader stumble in every way there is; none of them runs
        problem = f" ({error})" if isinstance(error, ValueError) else ""
        raise CheckpointError(
            f"{path} is damaged, or is not a student checkpoint; it was not opened further{problem}"
        ) from error
