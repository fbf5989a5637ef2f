"""What an exported student carries with it: its settings, its classes and how its input frames are made. Data only."""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from embedonce.cache.labels import LabelSet
from embedonce.cache.schema import CacheIdentity
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint

FORMAT = 1
INPUT = "uint8 RGB, (N, 3, resolution, resolution); scaling and normalization are in the graph"
TIMES = "seconds since the clip's start of the time that a frame was taken for"


@dataclass(frozen=True)
class Preprocessing:
    """How frames become inputs. crop: "center square" or "none". frames_per_second: None if only key frames were used.

    resolution, canonical_short_side: pixels. clip_seconds: duration of a typical clip. crop_fraction: of the sides of
    the crop, what is kept around its center.
    """

    input: str
    resolution: int
    crop: str
    interpolation: str
    canonical_short_side: int
    frames_per_second: float | None
    jpeg_quality: int
    clip_seconds: float
    t_rel_sec: str
    crop_fraction: float = 1.0


@dataclass(frozen=True)
class ExportFacts:
    """The JSON in every exported file. student, teacher: as in the checkpoint. classes: empty if trained without.

    multi_label: whether clips have any number of labels; the probability of a class is then the sigmoid of its logit.
    """

    format: int
    student: dict[str, Any]
    classes: list[str]
    label_set: str | None
    frames_per_clip: int
    teacher: dict[str, Any]
    preprocessing: Preprocessing
    multi_label: bool = False

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


def clip_seconds(labels: LabelSet) -> float:
    """The median duration of the training clips, or of all clips if there are none for training."""
    training = [clip for clip in labels.clips if clip.split == "train"]
    return round(median(clip.end_sec - clip.start_sec for clip in training or labels.clips), 3)


def facts_of(meta: Checkpoint, identity: CacheIdentity, seconds: float, multi_label: bool = False) -> ExportFacts:
    """The facts of a checkpoint's student. meta: the checkpoint. seconds: duration of a typical clip."""
    teacher = identity.teacher
    preprocessing = Preprocessing(
        input=INPUT,
        resolution=meta.student.resolution,
        crop={"shortest": "center square", "squash": "none"}[teacher.resize_mode],
        interpolation=teacher.interpolation,
        canonical_short_side=identity.canonical_short_side,
        frames_per_second=identity.fps,
        jpeg_quality=identity.jpeg_quality,
        clip_seconds=seconds,
        t_rel_sec=TIMES,
        crop_fraction=teacher.crop_fraction,
    )
    return ExportFacts(
        format=FORMAT,
        student=asdict(meta.student),
        classes=list(meta.classes),
        label_set=meta.label_set,
        frames_per_clip=meta.frames_per_clip,
        teacher=asdict(meta.teacher),
        preprocessing=preprocessing,
        multi_label=multi_label,
    )
