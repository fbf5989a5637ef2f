"""Evaluation computes in float32, and prepares all timed models alike. The teacher: test_clip_teacher."""

import numpy as np
import pytest
import torch
from torch import nn

from embedonce.cache.store import open_reader
from embedonce.models import device
from embedonce.models.folding import treated, treatment, unfolded
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import predict
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.evaluation import teacher_latency
from embedonce.pipeline.evaluation.costs import size_of
from tests.support.tiny_cache import make_tiny_cache

CPU = torch.device("cpu")


@pytest.mark.integration
def test_a_student_is_evaluated_in_float32_on_every_device(tmp_path, monkeypatch):
    """bfloat16 on CUDA would not match any exported format."""
    reader = open_reader(make_tiny_cache(tmp_path / "c", 3))
    labels = reader.label_set()
    clips = ClipDataset(reader, labels, list(labels.clips), ClipSampling(2, 128, random=False, seed=0))
    torch.manual_seed(0)
    student = build_student(student_config("tiny", 16, 3, 128, "mlp"), pretrained=False)
    expected = predict(student, clips, 4, 0, CPU)
    monkeypatch.setattr(device, "precision", lambda place: "bfloat16")
    found = predict(student, clips, 4, 0, CPU)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-6)
    with device.autocast(CPU):
        rough = predict(student, clips, 4, 0, CPU)
    assert np.abs(rough.logits - expected.logits).max() > 1e-4  # autocast would have shown


def random_statistics(module: nn.Module) -> nn.Module:
    """As after training: normalisations that change something."""
    torch.manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.running_mean, layer.bias.data):
                tensor.normal_(0, 0.3)
            for tensor in (layer.running_var, layer.weight.data):
                tensor.uniform_(0.5, 1.5)
    return module.eval()


def test_folding_a_residual_encoder_keeps_its_outputs():
    from open_clip.modified_resnet import ModifiedResNet

    encoder = random_statistics(ModifiedResNet([1, 1, 1, 1], 32, 4, image_size=64, width=8))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = encoder(images)
        assert unfolded(encoder) == 3 + 4 * 4
        assert unfolded(treated(encoder)) == 0
        torch.testing.assert_close(encoder(images), expected, rtol=1e-3, atol=1e-5)
    assert encoder.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_normalizations_that_cannot_be_folded_are_counted():
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.project, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)  # applied the other way round

        def forward(self, x):
            return self.project(self.norm(x))

    module, images = random_statistics(Apart()), torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        expected = module(images)
        assert unfolded(treated(module)) == 1 and treatment(module).startswith("batch normalization folded but for 1,")
        torch.testing.assert_close(module(images), expected)


@pytest.mark.integration
def test_the_timed_encoder_is_folded_and_its_size_is_that_of_the_stored_one(caplog):
    model = teacher_latency._timed_model("RN50-quickgelu", CPU)
    assert treatment(model.module) == "batch normalization folded, channels-last"
    assert model.module.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert model.stored["parameters"] > size_of(model.module)["parameters"]
    assert "could not be folded" not in caplog.text
