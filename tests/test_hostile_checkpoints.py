"""Hostile checkpoints: the sizes that a file claims are held against what it holds before a student of them is built.

That pickles are refused and do not run is among the tests of stage two.
"""

import dataclasses

import pytest
import torch

from models.mobilevit_student import build_student, student_config
from pipeline import checkpoint
from pipeline.errors import CheckpointError
from tests.hostile_cache import bounded


@pytest.mark.parametrize("field", ["embed_dim", "num_classes"])
def test_a_student_greater_than_its_checkpoint_is_not_built(tmp_path, field):
    config = student_config("tiny", embed_dim=16, num_classes=3, resolution=128)
    content = {
        "format": checkpoint.FORMAT,
        "student": dataclasses.asdict(config),
        "classes": ["a", "b", "c"],
        "teacher": {"name": "x", "weights_sha256": "0", "embed_dim": 16},
        "frames_per_clip": 2,
        "model": build_student(config, pretrained=False).state_dict(),
    }
    checkpoint.save(tmp_path / "good.pt", content)
    assert checkpoint.load_student(tmp_path / "good.pt")[0].config == config
    torch.save(content | {"student": content["student"] | {field: 200_000}}, tmp_path / "greater.pt")
    with bounded(), pytest.raises(CheckpointError, match=r"greater\.pt"):
        checkpoint.load_student(tmp_path / "greater.pt")
