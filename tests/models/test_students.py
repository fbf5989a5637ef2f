"""Effects of padding and pixel types on students. Sizes, shapes and invalid options: test_models."""

import pytest
import torch

from embedonce.models.student import VideoStudent, build_student
from embedonce.models.student_config import student_config

pytestmark = pytest.mark.numeric


@pytest.fixture
def student() -> VideoStudent:
    torch.manual_seed(0)
    student = build_student(student_config("tiny", 64, 5, 128), pretrained=False)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # what is left of training is batch normalization
    return student


def batch(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(0, 256, (3, 2, 3, 128, 128), generator=generator, dtype=torch.uint8)
    return frames, torch.tensor([[0.0, 0.5]] * 3), torch.tensor([[True, True], [True, False], [True, False]])


def statistics(student: VideoStudent) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in student.named_buffers() if "running" in name}


def test_padding_does_not_enter_batch_norm_statistics(student):
    """Default settings pad most short clips; their black frames would shift all batch-norm statistics."""
    frames, t_rel_sec, mask = batch()
    before = {name: values.clone() for name, values in student.state_dict().items()}
    results = []
    for padding in (0, 200):
        student.load_state_dict(before)
        frames[~mask] = padding
        output = student.train()(frames, t_rel_sec, mask)
        results.append((output.clip_logits, output.clip_embedding, output.frame_embeddings[mask], statistics(student)))
    assert all(bool((values != before[name]).any()) for name, values in results[0][3].items())  # training updated them
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_unpadded_clips_have_the_same_outputs_in_training_and_evaluation(student):
    """With fixed batch-norm statistics, both ways through the backbone give the same outputs."""
    frames, t_rel_sec, mask = batch()
    still = student.eval()(frames, t_rel_sec, mask)
    student.training = True  # this module only: batch normalization stays as it is
    moving = student(frames, t_rel_sec, mask)
    torch.testing.assert_close(moving.frame_embeddings[mask], still.frame_embeddings[mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(moving.frame_logits[mask], still.frame_logits[mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(moving.clip_logits, still.clip_logits, rtol=0, atol=1e-5)


def test_gradients_of_padded_clips_are_finite(student):
    output = student.train()(*batch())
    (output.clip_embedding.square().sum() + output.clip_embedding[:, 0].sum() + output.clip_logits.sum()).backward()
    gradients = [p.grad for p in student.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


@torch.inference_mode()
def test_float_and_byte_images_give_the_same_outputs(student):
    frames, t_rel_sec, mask = batch()
    student.eval()
    as_floats = student(frames.float() / 255, t_rel_sec, mask)
    torch.testing.assert_close(as_floats.clip_embedding, student(frames, t_rel_sec, mask).clip_embedding)
