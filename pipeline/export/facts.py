"""What an exported student says of itself: its settings, its classes, and how its frames are made. Data only."""

import dataclasses
from statistics import median

from embedonce.cache.labels import LabelSet
from embedonce.cache.schema import CacheIdentity
from embedonce.models.student import StudentConfig
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint

FORMAT = 1


def clip_seconds(labels: LabelSet) -> float:
    """The median duration of the clips that train, or of all where none does."""
    training = [clip for clip in labels.clips if clip.split == "train"]
    return round(median(clip.end_sec - clip.start_sec for clip in training or labels.clips), 3)


def facts_of(meta: Checkpoint, identity: CacheIdentity, seconds: float) -> dict:
    """What travels inside every exported file. meta: the student's checkpoint. seconds: of a usual clip."""
    teacher = identity.teacher
    return {
        "format": FORMAT,
        "student": dataclasses.asdict(meta.student),
        "classes": meta.classes,
        "label_set": meta.label_set,
        "frames_per_clip": meta.frames_per_clip,
        "teacher": dataclasses.asdict(meta.teacher),
        "preprocessing": {
            "input": "uint8 RGB, (N, 3, resolution, resolution); scaling and normalization are in the graph",
            "resolution": meta.student.resolution,
            "crop": {"shortest": "center square", "squash": "none"}[teacher.resize_mode],
            "interpolation": teacher.interpolation,
            "canonical_short_side": identity.canonical_short_side,
            "frames_per_second": identity.fps,
            "jpeg_quality": identity.jpeg_quality,
            "clip_seconds": seconds,
            "t_rel_sec": "seconds since the clip's start of the time that a frame was taken for",
        },
    }


def timm_config(student: StudentConfig, known: dict, mean: list[float], std: list[float], facts: dict) -> dict:
    """config.json of a folder that timm's create_model("local-dir:…") loads the backbone from; facts come along.

    known: what timm says of the backbone: num_features; its pretrained_cfg's first_conv, classifier, fixed_input_size.
    """
    size, side = student.size, student.resolution
    own = {"tiny": None, "xxs": "mobilevit_xxs", "xs": "mobilevit_xs", "s": "mobilevit_s"}
    return {
        "architecture": own.get(size, size) or "embedonce_tiny",
        "num_classes": 0,
        "num_features": known["num_features"],
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, side, side],
            "fixed_input_size": bool(known.get("fixed_input_size")),
            "interpolation": facts["preprocessing"]["interpolation"],
            "crop_pct": 1.0,
            "crop_mode": "center" if facts["preprocessing"]["crop"] != "none" else "squash",
            "mean": mean,
            "std": std,
            "num_classes": 0,
            "first_conv": known.get("first_conv"),
            "classifier": known.get("classifier"),
        },
        "embedonce": facts,
    }
