"""Unusual image towers, overflow in half precision, and the weights hash. Everything else: test_teacher."""

import json

import numpy as np
import pytest
import torch

from embedonce.models.device import exact_float32
from embedonce.models.teachers import precision
from embedonce.models.teachers.open_clip import load_teacher
from embedonce.models.teachers.precision import MAX_DRIFT, fast_precision
from embedonce.models.teachers.tensors import weights_sha256
from embedonce.pipeline.teachers.open_clip import OpenClipTeacher

CPU = torch.device("cpu")

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


@pytest.mark.numeric
def test_a_coca_teacher_embeds_without_its_text_tower(tmp_path):
    path = tmp_path / "small-coca.json"
    path.write_text(json.dumps(COCA))
    teacher = load_teacher(str(path), "random", None, torch.device("cpu"), seed=0)
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    before = teacher.embed(crops)
    assert before.shape == (3, 24) and np.abs(before[0] - before[1]).max() > 1e-4
    teacher.drop_text_tower()
    np.testing.assert_allclose(teacher.embed(crops), before, rtol=0, atol=1e-6)


def crops_of(size: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture
def fast(monkeypatch):
    """Half precision on the CPU, which has float16 autocast too, instead of a GPU."""
    monkeypatch.setattr(precision, "fast_precision", lambda device: "float16")


@pytest.mark.integration
def test_rows_that_overflow_in_half_precision_are_recomputed_in_float32(monkeypatch, fast):
    exact = load_teacher("demo-clip", "demo", None, CPU, seed=0)
    monkeypatch.setattr(exact, "_fast", "float32")
    teacher = load_teacher("demo-clip", "demo", None, CPU, seed=0)
    assert (teacher.precision, exact.precision) == ("float16", "float32")
    crops, encode, seen = crops_of(128, 3), teacher._clip.encode_image, []
    expected, before = exact.embed(crops), teacher.embed(crops)
    assert teacher.precision == "float16"  # nothing has overflowed

    def overflowing(images):
        seen.append((torch.is_autocast_enabled("cpu"), len(images)))
        vectors = encode(images)
        if seen[-1][0]:
            vectors[1, 5] = float("inf")
        return vectors

    monkeypatch.setattr(teacher._clip, "encode_image", overflowing)
    got = teacher.embed(crops)
    assert seen == [(True, 3), (False, 1)]
    np.testing.assert_allclose(got[1], expected[1], atol=1e-6)
    np.testing.assert_allclose(got[[0, 2]], before[[0, 2]], atol=1e-6)
    assert OpenClipTeacher(teacher).device_facts()["precision"] == "float16, float32 where that overflows"


@pytest.mark.integration
def test_half_precision_hardly_changes_embeddings(fast):
    """Not much more than storing them in float16; bfloat16 changes them 30 times as much."""
    teacher = load_teacher("demo-clip", "demo", None, CPU, seed=0)
    crops = crops_of(128, 8)
    near, teacher._fast = teacher.embed(crops), "float32"
    exact = teacher.embed(crops)
    teacher._fast = "bfloat16"
    far = teacher.embed(crops)
    stored = np.linalg.norm(exact.astype(np.float16) - exact, axis=1).max()
    moved, further = (np.linalg.norm(vectors - exact, axis=1).max() for vectors in (near, far))
    assert 0 < moved < 12 * stored < further and moved < MAX_DRIFT


@pytest.mark.parametrize("scale", [1e6, 3e3])
def test_a_teacher_that_half_precision_changes_computes_in_float32(fast, caplog, scale):
    """Overflow to NaN, or differences that are lost next to large values."""

    def encode(images):
        return (images.flatten(1)[:, :64] + scale) @ torch.eye(64) - scale

    with caplog.at_level("INFO"):
        assert precision.chosen_precision(encode, CPU, 16) == "float32"
    assert "computes in float32: float16 would change its embeddings" in caplog.text


def test_cuda_tries_float16_and_other_devices_use_float32():
    assert fast_precision(torch.device("cuda")) == "float16"
    assert fast_precision(CPU) == fast_precision(torch.device("mps")) == "float32"


def test_exact_float32_disables_tf32_and_restores_it():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with exact_float32():
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def test_the_weights_hash_depends_on_names_shapes_and_dtypes():
    def digest(name: str, tensor: torch.Tensor) -> str:
        module = torch.nn.Module()
        module.register_buffer(name, tensor)
        return weights_sha256(module)

    zeros = torch.zeros(2, 3)
    digests = {digest("a", zeros), digest("b", zeros), digest("a", zeros.T.contiguous()), digest("a", zeros.int())}
    assert len(digests) == 4 and digest("a", torch.zeros(2, 3)) in digests


def test_batches_handed_to_the_device_before_the_results_of_others_are_taken_have_the_same_embeddings():
    teacher = load_teacher("demo-clip", "demo", None, CPU, seed=0)
    size = teacher.describe()["input_size"]
    first, second = crops_of(size, 3), crops_of(size, 5)[::-1]
    for begin in (teacher.begin, teacher._launch):  # as on a CPU, and as on a GPU
        finish_first, finish_second = begin(first), begin(second)
        np.testing.assert_array_equal(finish_first(), teacher.embed(first))
        np.testing.assert_array_equal(finish_second(), teacher.embed(second))
