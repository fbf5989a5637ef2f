"""The ways to compute a hard swish of integers that are timed do compute it; times are summed by kind of operation."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.operators import SHAPE, hard_swish_forms, microseconds_by_kind, session_of
from embedonce.pipeline.runtimes.onnx_files import to_onnx

FORMS = [name for name in hard_swish_forms() if "QLinearMul" in name or "floats" in name]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_the_hard_swish_of_integers(name):
    integers = np.resize(np.arange(256, dtype=np.uint8), SHAPE)
    (found,) = session_of(hard_swish_forms()[name]).run(None, {"x": integers})
    x = (integers.astype(np.float32) - 60) * 0.05
    expected = np.clip(np.round(x * np.clip(x / 6 + 0.5, 0, 1) / 0.05) + 60, 0, 255)
    assert np.abs(found - expected).max() <= 1
    assert len(np.unique(found)) > 190


@pytest.mark.integration
def test_times_are_summed_by_kind():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Softmax(1)).eval()
    image = np.zeros((1, 3, 32, 32), np.float32)
    graph = to_onnx(model, {"frames": (torch.zeros(2, 3, 32, 32), {0: "batch"})}, ["y"])
    sums = microseconds_by_kind(graph, image, 5)
    assert {"Conv", "Softmax"} < set(sums) and "Relu" not in sums  # part of the convolution
    assert sums["all"] == pytest.approx(sum(taken for kind, taken in sums.items() if kind != "all"), abs=len(sums))
