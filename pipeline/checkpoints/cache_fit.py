"""Whether a student can be run with a teacher and label set of a cache."""

from pathlib import Path

from embedonce.cache.labels import LabelSet
from embedonce.cache.limits import brief
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.errors import CheckpointError


def check_fit(
    path: Path,
    checkpoint: Checkpoint,
    teacher: TeacherIdentity,
    labels: LabelSet,
    student_size: str | None = None,
    some_classes: bool = False,
) -> None:
    """CheckpointError, in one sentence, if the checkpoint cannot be evaluated with this teacher and label set.

    student_size: the size that the user asserts. some_classes: whether the label set may have only some of the
    student's classes, in any order.
    """
    size = checkpoint.student.size
    if student_size is not None and size != student_size:
        raise CheckpointError(f"{path} is a student of size {size}, not {student_size}")
    _check_width(path, checkpoint, teacher)
    _check_classes(path, checkpoint, labels, some_classes)
    _check_weights(path, checkpoint, teacher)


def check_teacher(path: Path, checkpoint: Checkpoint, teacher: TeacherIdentity) -> None:
    """CheckpointError, in one sentence, if the student does not embed in the space of this teacher."""
    _check_width(path, checkpoint, teacher)
    _check_weights(path, checkpoint, teacher)


def _check_width(path: Path, checkpoint: Checkpoint, teacher: TeacherIdentity) -> None:
    embed_dim = checkpoint.student.embed_dim
    if embed_dim != teacher.embed_dim:
        raise CheckpointError(
            f"{path} has {embed_dim}-d embeddings, but the cache's teacher has {teacher.embed_dim}-d ones: it was "
            "trained from another cache; give that one with --cache-dir"
        )


def _check_weights(path: Path, checkpoint: Checkpoint, teacher: TeacherIdentity) -> None:
    if checkpoint.teacher.weights_sha256 != teacher.weights_sha256:
        raise CheckpointError(
            f"{path} was trained from the teacher {checkpoint.teacher.name} with other weights than the cache's "
            f"{teacher.name}; give the cache it was trained from with --cache-dir"
        )


def _check_classes(path: Path, checkpoint: Checkpoint, labels: LabelSet, some_classes: bool) -> None:
    """CheckpointError if the label set's classes are not the student's or, with some_classes, not among them."""
    known = checkpoint.classes
    if not some_classes:
        problem = "" if tuple(known) == labels.classes else f"has {len(labels.classes)} other ones"
    elif unknown := [name for name in labels.classes if name not in known]:
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        problem = f"has classes that it does not know ({shown})"
    else:
        problem = "has none" if known and not labels.classes else ""
    if problem:
        raise CheckpointError(
            f"{path} knows {len(known)} classes of label set {brief(checkpoint.label_set)}, but label set "
            f"{labels.name!r} {problem}; give the right one with --label-set or --cache-dir"
        )
