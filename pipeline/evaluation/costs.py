"""What running image models costs: operations, memory, and time, measured in turns in one run and one runtime."""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from embedonce.pipeline.metrics.results_schema import Costs, Latency
from embedonce.pipeline.processes.timing import measure_interleaved, synchronizer
from embedonce.pipeline.runtimes.requirements import as_pipeline_error

BATCH = 32
NOT_MEASURED = Costs(latency_ms=None, throughput_per_s=None, macs=None, peak_memory_bytes=None)


@dataclass(frozen=True)
class TimedModel:
    """An image model in eval mode, and one image (1, 3, R, R) of the type it takes, on one device.

    stored: size_of() the model as it is stored, if that differs from module.
    """

    module: nn.Module
    image: Tensor
    stored: dict[str, int] | None = None


def measure(models: dict[str, TimedModel], device: torch.device, runtime: str = "torch") -> dict[str, Costs]:
    """The costs of each model; latency is of batches of 1, throughput of batches of 32.

    runtime: "torch", or "onnx" for ONNX Runtime on the CPU, the same for all models.
    """
    operations = {name: multiply_accumulates(model) for name, model in models.items()}
    memory = {name: peak_memory(model, device) for name, model in models.items()}
    runners = {name: _runner(model, runtime) for name, model in models.items()}
    single = _times(models, runners, 1, device, rounds=40)
    batched = _times(models, runners, BATCH, device, rounds=3, warmup=1)
    return {
        name: Costs(
            latency_ms=Latency(**single[name]),
            throughput_per_s=1000 * BATCH / batched[name]["p50_ms"],
            macs=operations[name],
            peak_memory_bytes=memory[name],
        )
        for name in models
    }


def size_of(module: nn.Module) -> dict[str, int]:
    """The number of trainable parameters, and the bytes of everything that is stored."""
    state = module.state_dict().values()
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "bytes_on_disk": sum(t.numel() * t.element_size() for t in state),
    }


def multiply_accumulates(model: TimedModel) -> int:
    """Per image: half of PyTorch's FLOP count (matrix products, convolutions, attention)."""
    counter, was_fast = FlopCounterMode(display=False), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused operations, attention too, are not counted
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
            model.module(model.image)
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    return counter.get_total_flops() // 2


def peak_memory(model: TimedModel, device: torch.device) -> int:
    """Bytes of the weights, and of the tensors that exist at once while PyTorch runs one image."""
    weights = size_of(model.module)["bytes_on_disk"]
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            model.module(model.image)
        return weights + torch.cuda.max_memory_allocated() - before
    live = _LiveBytes()
    with torch.inference_mode(), live:
        model.module(model.image)
    return weights + live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that operations create and that are still referenced."""

    def __init__(self) -> None:
        super().__init__()
        self._references: Counter = Counter()
        self._now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        inputs = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        outputs = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                address, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
                if address in self._references or address not in inputs:
                    self._now += 0 if self._references[address] else size
                    self._references[address] += 1
                    weakref.finalize(tensor, self._release, address, size)
        self.peak = max(self.peak, self._now)
        return outputs

    def _release(self, address: int, size: int) -> None:
        self._references[address] -= 1
        if not self._references[address]:
            del self._references[address]
            self._now -= size


def _times(
    models: dict[str, TimedModel],
    runners: dict[str, Callable[[Tensor], Any]],
    batch: int,
    device: torch.device,
    **rounds: int,
) -> dict[str, dict[str, float]]:
    """Percentiles of milliseconds per batch, for each model; all models run in turns."""
    calls: dict[str, Callable[[], Any]] = {
        name: partial(run, models[name].image.repeat(batch, 1, 1, 1)) for name, run in runners.items()
    }
    return measure_interleaved(calls, **rounds, synchronize=synchronizer(device))


def _runner(model: TimedModel, runtime: str) -> Callable[[Tensor], Any]:
    """A function that runs the model on a batch of images (N, 3, R, R)."""
    if runtime == "onnx":
        from embedonce.pipeline.runtimes.onnx_files import to_onnx
        from embedonce.pipeline.runtimes.onnx_runtime import Session

        with as_pipeline_error("--runtime onnx cannot run this model", "time it with --runtime torch"):
            onnx = to_onnx(model.module, {"images": (model.image.repeat(2, 1, 1, 1), {0: "batch"})}, None)
            session = Session(onnx, torch.get_num_threads())
        return lambda images: session(images=images.numpy())

    def forward(images: Tensor) -> Any:
        with torch.inference_mode():
            return model.module(images)

    return forward
