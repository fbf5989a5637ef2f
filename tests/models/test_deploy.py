"""Deployed students compute the same outputs as the trained ones, in fewer operations."""

import pytest
import torch
from torch import nn

from embedonce.models.deploy import ClipHead, FrameEncoder, deployed, deployed_parameters, with_divided_logits
from embedonce.models.names import ATTENTION, MEAN, STUDENT_SIZES
from embedonce.models.student import build_student, count_parameters
from embedonce.models.student_config import student_config


def student_of(size: str, resolution: int = 128, num_classes: int = 7, pooling: str = ATTENTION):
    """A student with batch-norm statistics, as after training."""
    torch.manual_seed(0)
    student = build_student(student_config(size, 48, num_classes, resolution, pooling=pooling), pretrained=False)
    for layer in student.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.2)
    return student.eval()


def clips(resolution: int = 128, lengths: tuple[int, ...] = (3, 1)):
    """(frames, t_rel_sec, mask) of clips of these lengths."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    frames = torch.randint(0, 256, (*mask.shape, 3, resolution, resolution), dtype=torch.uint8)
    return frames, torch.rand(mask.shape).cumsum(1), mask


# 160 px: the deepest maps have odd sides, and are resized between patches
@pytest.mark.parametrize(
    ("size", "resolution"), [*((size, 128) for size in STUDENT_SIZES), ("tiny", 160), ("resnet10t", 128)]
)
@torch.inference_mode()
@pytest.mark.numeric
@pytest.mark.integration
def test_a_deployed_student_has_the_same_outputs(size, resolution):
    student, (frames, times, mask) = student_of(size, resolution), clips(resolution)
    expected = student(frames, times, mask)
    features, embeddings = FrameEncoder(student)(frames.flatten(0, 1))
    embedding, logits = ClipHead(student)(features.unflatten(0, mask.shape), times, mask)
    for actual, wanted in (
        (embeddings.unflatten(0, mask.shape)[mask], expected.frame_embeddings[mask]),
        (embedding, expected.clip_embedding),
        (logits, expected.clip_logits),
    ):
        torch.testing.assert_close(actual, wanted, rtol=2e-5, atol=2e-6)


@torch.inference_mode()
def test_logits_are_divided_in_a_copy_and_nothing_else_changes():
    student, inputs = student_of("tiny"), clips()
    expected = student(*inputs)
    found = with_divided_logits(student, 2.5)(*inputs)
    torch.testing.assert_close(found.clip_logits, expected.clip_logits / 2.5)
    assert torch.equal(found.clip_embedding, expected.clip_embedding)
    assert torch.equal(student(*inputs).clip_logits, expected.clip_logits)
    without = student_of("tiny", num_classes=0)
    assert torch.equal(with_divided_logits(without, 2.5)(*inputs).clip_embedding, without(*inputs).clip_embedding)


@torch.inference_mode()
def test_anti_aliasing_layers_are_kept():
    from timm.layers import BlurPool2d, ConvNormAct

    layer = nn.Sequential(ConvNormAct(3, 8, 3, stride=2, aa_layer=BlurPool2d)).eval()
    images = torch.rand(1, 3, 16, 16)
    expected = layer(images)
    torch.testing.assert_close(deployed(layer)(images), expected, rtol=0, atol=1e-5)


def test_deploying_does_not_change_the_trained_student():
    student = student_of("tiny")
    before = {name: value.clone() for name, value in student.state_dict().items()}
    FrameEncoder(student)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


def test_batch_norms_are_folded_and_all_parameters_are_kept():
    student = student_of("tiny")
    encoder = FrameEncoder(student)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in encoder.modules())
    norms = [layer for layer in student.modules() if isinstance(layer, nn.BatchNorm2d)]
    folded = sum(layer.weight.numel() for layer in norms)  # a weight and a bias each have become a bias
    assert deployed_parameters(student) == count_parameters(student)["training"] - folded


def test_a_deployed_student_without_attention_has_fewer_parameters_and_can_be_exported():
    student, (frames, times, mask) = student_of("tiny", pooling=MEAN), clips()
    counts, usual = count_parameters(student), count_parameters(student_of("tiny"))
    assert counts["attention"] == 0 and usual["training"] - counts["training"] == usual["attention"] > 0
    assert sum(count for name, count in counts.items() if name != "training") == counts["training"]
    head, features = ClipHead(student), torch.randn(*mask.shape, 48)
    length = {1: torch.export.Dim("length", min=2, max=64)}
    program = torch.export.export(head, (features, times, mask), dynamic_shapes=(length,) * 3)
    longer = torch.randn(2, 7, 48), torch.rand(2, 7), torch.rand(2, 7) > 0.3
    with torch.inference_mode():
        for found, expected in zip(program.module()(*longer), head(*longer), strict=True):
            torch.testing.assert_close(found, expected)
        embedding, logits = head(FrameEncoder(student)(frames.flatten(0, 1))[0].unflatten(0, mask.shape), times, mask)
        expected = student(frames, times, mask)
    torch.testing.assert_close(embedding, expected.clip_embedding, rtol=0, atol=2e-6)
    torch.testing.assert_close(logits, expected.clip_logits, rtol=0, atol=2e-6)


def test_a_deployed_student_without_classes_outputs_an_embedding_only():
    student, (_, times, mask) = student_of("tiny", num_classes=0), clips()
    assert len(ClipHead(student)(torch.zeros(*mask.shape, 48), times, mask)) == 1
