"""The student's weights as safetensors, with a config.json from which timm builds the backbone."""

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
from torch import Tensor

from embedonce.models.names import CONVOLUTIONAL_SIZES
from embedonce.models.student import VideoStudent
from embedonce.pipeline.export.facts import ExportFacts

CONFIG_NAME = "config.json"
BACKBONE_NAME = "model.safetensors"
PARTS_NAME = "student_parts.safetensors"
OWN_SIZES = ("tiny", *CONVOLUTIONAL_SIZES)  # whose backbones timm knows once embedonce is imported
ARCHITECTURES = {f"{size}": f"embedonce_{size}" for size in OWN_SIZES} | {
    size: f"mobilevit_{size}" for size in ("xxs", "xs", "s")
}


def weight_files(student: VideoStudent, facts: ExportFacts) -> dict[str, bytes]:
    """The backbone as timm loads it, the parts on top of it, and timm's configuration: content by file name."""
    backbone = student.backbone.state_dict()
    left_out = ("backbone.", "added_projections.")  # of added teachers: only training and evaluation need them
    parts = {name: t for name, t in student.state_dict().items() if not name.startswith(left_out)}
    mean, std = (value.flatten().tolist() for value in (student.get_buffer("mean"), student.get_buffer("std")))
    known = getattr(student.backbone, "pretrained_cfg", None) or {}  # `tiny` has none
    config = timm_config(facts, known | {"num_features": student.backbone.num_features}, mean, std)
    return {
        CONFIG_NAME: json.dumps(config, indent=2).encode(),
        BACKBONE_NAME: _packed(backbone),
        PARTS_NAME: _packed(parts),
    }


def timm_config(facts: ExportFacts, known: Mapping[str, Any], mean: list[float], std: list[float]) -> dict[str, Any]:
    """config.json of a folder that timm's create_model("local-dir:…") loads the backbone from, with the facts.

    known: from timm's description of the backbone: num_features; first_conv, classifier, fixed_input_size.
    """
    size, side = facts.student["size"], facts.student["resolution"]
    return {
        "architecture": ARCHITECTURES.get(size, size),
        "num_classes": 0,
        "num_features": known["num_features"],
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, side, side],
            "fixed_input_size": bool(known.get("fixed_input_size")),
            "interpolation": facts.preprocessing.interpolation,
            "crop_pct": facts.preprocessing.crop_fraction,
            "crop_mode": "center" if facts.preprocessing.crop != "none" else "squash",
            "mean": mean,
            "std": std,
            "num_classes": 0,
            "first_conv": known.get("first_conv"),
            "classifier": known.get("classifier"),
        },
        "embedonce": facts.as_dict(),
    }


def _packed(tensors: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()}, {"format": "pt"})
