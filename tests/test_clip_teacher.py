"""Unusual towers, overflow, and what the hash of the weights covers. All else about the teacher: test_teacher."""

import json

import numpy as np
import torch

from models import clip_teacher
from models.clip_teacher import load_teacher, weights_sha256

COCA = {
    "embed_dim": 24,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 64,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1, "embed_cls": True},
    "multimodal_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
COCA["text_cfg"]["output_tokens"] = True
COCA["multimodal_cfg"]["attn_pooler_heads"] = 2


def test_a_coca_teacher_embeds_without_its_text_tower(tmp_path):
    path = tmp_path / "small-coca.json"
    path.write_text(json.dumps(COCA))
    teacher = load_teacher(str(path), "random", None, torch.device("cpu"), seed=0)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    before = teacher.embed(crops)
    assert before.shape == (3, 24) and np.abs(before[0] - before[1]).max() > 1e-4
    teacher.drop_text_tower()
    np.testing.assert_allclose(teacher.embed(crops), before, atol=1e-6)  # last bits follow where memory lies


def test_a_row_that_overflows_in_fast_precision_is_computed_again_in_float32(monkeypatch):
    teacher = load_teacher("demo-clip", "random", None, torch.device("cpu"), seed=0)
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    expected, encode, fast = teacher.embed(crops), teacher._clip.encode_image, []

    def overflowing(images):
        fast.append(torch.is_autocast_enabled("cpu"))
        return encode(images) * (float("nan") if fast[-1] else 1.0)

    monkeypatch.setattr(teacher._clip, "encode_image", overflowing)
    monkeypatch.setattr(clip_teacher, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    np.testing.assert_allclose(teacher.embed(crops), expected, atol=1e-6)
    assert fast == [True, False]


def test_the_hash_tells_names_shapes_and_types_apart_where_the_bytes_are_equal():
    def digest(name: str, tensor: torch.Tensor) -> str:
        module = torch.nn.Module()
        module.register_buffer(name, tensor)
        return weights_sha256(module)

    zeros = torch.zeros(2, 3)
    digests = {digest("a", zeros), digest("b", zeros), digest("a", zeros.T.contiguous()), digest("a", zeros.int())}
    assert len(digests) == 4 and digest("a", torch.zeros(2, 3)) in digests
