"""What an exported student carries with it: its settings, its classes and how its input frames are made. Data only."""

from dataclasses import asdict, dataclass
from typing import Any

from embedonce.cache.schema import CacheIdentity
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.frames.preprocessing import Preprocessing, preprocessing_of

FORMAT = 2  # in 1, logits are not divided by a temperature


@dataclass(frozen=True)
class ExportFacts:
    """The JSON in every exported file. student, teacher: as in the checkpoint. classes: empty if trained without.

    multi_label: whether clips have any number of labels; the probability of a class is then the sigmoid of its logit.
    checkpoint_sha256: of the checkpoint file. temperature: logits are divided by it already.
    """

    format: int
    student: dict[str, Any]
    classes: list[str]
    label_set: str | None
    frames_per_clip: int
    teacher: dict[str, Any]
    preprocessing: Preprocessing
    multi_label: bool = False
    checkpoint_sha256: str | None = None
    temperature: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class HeldOutFacts:
    """The clips that an export was compared on. top1, teacher_top1: PyTorch's and the teacher's, None without labels.

    calibration_split: the split whose frames calibrate the ranges of 8-bit integers.
    """

    label_set: str
    split: str
    calibration_split: str
    top1: float | None
    teacher_top1: float | None


def facts_of(
    meta: Checkpoint, identity: CacheIdentity, seconds: float, multi_label: bool = False, sha256: str | None = None
) -> ExportFacts:
    """The facts of a checkpoint's student.

    meta: the checkpoint. seconds: duration of a typical clip. sha256: of the checkpoint file.
    """
    return ExportFacts(
        format=FORMAT,
        student=asdict(meta.student),
        classes=list(meta.classes),
        label_set=meta.label_set,
        frames_per_clip=meta.frames_per_clip,
        teacher=asdict(meta.teacher),
        preprocessing=preprocessing_of(identity, meta.student.resolution, seconds),
        multi_label=multi_label,
        checkpoint_sha256=sha256,
        temperature=meta.temperature,
    )
