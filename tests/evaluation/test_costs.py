"""Operations and memory against hand-worked cases; times in either runtime."""

import pytest
import torch
from torch import nn

from embedonce.pipeline.evaluation.costs import (
    BATCH,
    NOT_MEASURED,
    TimedModel,
    measure,
    multiply_accumulates,
    peak_memory,
    size_of,
)

CPU = torch.device("cpu")


def layers(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules).eval()


def test_multiply_accumulates_by_hand():
    convolution = TimedModel(layers(nn.Conv2d(3, 8, 3, padding=1, groups=1)), torch.zeros(1, 3, 10, 10))
    assert multiply_accumulates(convolution) == 10 * 10 * 8 * 3 * 9
    depthwise = TimedModel(layers(nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)), torch.zeros(1, 8, 10, 10))
    assert multiply_accumulates(depthwise) == 5 * 5 * 8 * 9
    product = TimedModel(layers(nn.Flatten(), nn.Linear(48, 7)), torch.zeros(1, 3, 4, 4))
    assert multiply_accumulates(product) == 48 * 7


def test_fused_attention_is_counted():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    projections, mixing, after = 4 * 16 * 16, 2 * 5 * 16, 2 * 16 * 32  # of each of 5 tokens
    assert multiply_accumulates(TimedModel(layer, torch.zeros(1, 5, 16))) == 5 * (projections + mixing + after)
    assert torch.backends.mha.get_fastpath_enabled()


def test_peak_memory_is_weights_and_live_tensors():
    module = layers(nn.Linear(1000, 500, bias=False), nn.ReLU(), nn.Linear(500, 10, bias=False))
    weights = 4 * (1000 * 500 + 500 * 10)
    assert size_of(module) == {"parameters": weights // 4, "bytes_on_disk": weights}
    alive = 4 * 100 * (500 + 500)  # a layer's output and its rectified copy; the input is the caller's
    assert peak_memory(TimedModel(module, torch.zeros(100, 1000)), CPU) == weights + alive


def test_in_place_results_and_views_count_once():
    module = layers(nn.Linear(10, 10, bias=False), nn.ReLU(inplace=True), nn.Flatten())
    assert peak_memory(TimedModel(module, torch.zeros(1, 50, 10)), CPU) == 4 * 100 + 4 * 500


@pytest.mark.parametrize("runtime", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_all_models_are_measured_in_either_runtime(runtime):
    if runtime == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install 'embedonce[export]'")
    module = layers(nn.Flatten(), nn.Linear(192, 4))
    models = {name: TimedModel(module, torch.zeros(1, 3, 8, 8)) for name in ("teacher", "student")}
    seen = []
    module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    found = measure(models, CPU, runtime)
    assert found.keys() == models.keys()
    for costs in found.values():
        assert None not in vars(costs).values() and set(vars(NOT_MEASURED).values()) == {None}
        assert 0 < costs.latency_ms.p50_ms <= costs.latency_ms.p95_ms and costs.throughput_per_s > 0
    assert (BATCH in seen) == (runtime == "torch")  # ONNX Runtime runs a graph, not the module


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
@pytest.mark.integration
def test_throughput_is_of_images_in_batches(runtime, monkeypatch):
    if runtime == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is an extra: pip install 'embedonce[export]'")
    batches = []

    def timed(calls, **_):
        outputs = [call() for call in calls.values()]
        batches.extend(len(next(iter(o.values())) if isinstance(o, dict) else o) for o in outputs)
        return {name: {"p50_ms": 8.0, "p95_ms": 9.0} for name in calls}

    monkeypatch.setattr("embedonce.pipeline.evaluation.costs.measure_interleaved", timed)
    found = measure(
        {"student": TimedModel(layers(nn.Flatten(), nn.Linear(192, 4)), torch.zeros(1, 3, 8, 8))}, CPU, runtime
    )
    assert batches == [1, BATCH] and found["student"].throughput_per_s == pytest.approx(1000 * BATCH / 8)
