"""What running image models costs: operations, memory, and time taken in turns in one run and one runtime.

Knows modules and images; knows no student and no teacher.
"""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from embedonce.pipeline.processes.timing import measure_interleaved, synchronizer
from embedonce.pipeline.runtimes.requirements import explained

BATCH = 32
NOT_MEASURED = dict.fromkeys(("latency_ms", "throughput_per_s", "macs", "peak_memory_bytes"))


@dataclass(frozen=True)
class TimedModel:
    """An image model in eval mode, and one image (1, 3, R, R) of the type it takes, on one device.

    stored: size_of() what is stored, where that is not module itself.
    """

    module: nn.Module
    image: Tensor
    stored: dict | None = None


def measure(sides: dict[str, TimedModel], device: torch.device, runtime: str = "torch") -> dict[str, dict]:
    """Costs by side: macs (of one image), peak_memory_bytes, latency_ms (p50_ms, p95_ms at batch 1) and
    throughput_per_s (images at batch 32).

    runtime: "torch", or "onnx" for ONNX Runtime on the CPU, the same for all sides.
    """
    costs = {
        name: {"macs": multiply_accumulates(side), "peak_memory_bytes": peak_memory(side, device)}
        for name, side in sides.items()
    }
    runners = {name: _runner(side, runtime) for name, side in sides.items()}
    for batch in (1, BATCH):
        calls = {name: partial(run, sides[name].image.repeat(batch, 1, 1, 1)) for name, run in runners.items()}
        rounds = {"rounds": 40} if batch == 1 else {"rounds": 3, "warmup": 1}
        times = measure_interleaved(calls, **rounds, synchronize=synchronizer(device))
        for name, found in times.items():
            costs[name] |= {"latency_ms": found} if batch == 1 else {"throughput_per_s": 1000 * batch / found["p50_ms"]}
    return costs


def size_of(module: nn.Module) -> dict[str, int]:
    """Numbers that are trained, and bytes of all that is stored."""
    state = module.state_dict().values()
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "bytes_on_disk": sum(t.numel() * t.element_size() for t in state),
    }


def multiply_accumulates(side: TimedModel) -> int:
    """Of one image: half of what PyTorch's counter calls FLOPs (matrix products, convolutions, attention)."""
    counter, was_fast = FlopCounterMode(display=False), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that no counter knows, like fused attention
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
            side.module(side.image)
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
    return counter.get_total_flops() // 2


def peak_memory(side: TimedModel, device: torch.device) -> int:
    """Bytes of weights and of the tensors that are alive at once while one image goes through PyTorch."""
    weights = size_of(side.module)["bytes_on_disk"]
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            side.module(side.image)
        return weights + torch.cuda.max_memory_allocated() - before
    live = _LiveBytes()
    with torch.inference_mode(), live:
        side.module(side.image)
    return weights + live.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that operations make and that are still referred to."""

    def __init__(self):
        super().__init__()
        self._references: Counter = Counter()
        self._now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        entered = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                place, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
                if place in self._references or place not in entered:
                    self._now += 0 if self._references[place] else size
                    self._references[place] += 1
                    weakref.finalize(tensor, self._let_go, place, size)
        self.peak = max(self.peak, self._now)
        return made

    def _let_go(self, place: int, size: int) -> None:
        self._references[place] -= 1
        if not self._references[place]:
            del self._references[place]
            self._now -= size


def _runner(side: TimedModel, runtime: str) -> Callable[[Tensor], object]:
    """What runs a batch of images (N, 3, R, R) through a side."""
    if runtime == "onnx":
        from embedonce.pipeline.runtimes.onnx_files import to_onnx
        from embedonce.pipeline.runtimes.onnx_runtime import Session

        with explained("--runtime onnx cannot run this model", "time it with --runtime torch"):
            model = to_onnx(side.module, {"images": (side.image.repeat(2, 1, 1, 1), {0: "batch"})}, None)
            session = Session(model, torch.get_num_threads())
        return lambda images: session(images=images.numpy())

    def forward(images: Tensor) -> object:
        with torch.inference_mode():
            return side.module(images)

    return forward
