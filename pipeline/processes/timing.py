"""Measures the latency of several calls under equal conditions: interleaved, warmed up and synchronized."""

import time
from collections.abc import Callable

import numpy as np
import torch


def synchronizer(device: torch.device) -> Callable[[], None] | None:
    """A function that waits until the device has finished its work; None if calls return only then."""
    return {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type)


def measure_interleaved(
    calls: dict[str, Callable[[], object]],
    rounds: int = 40,
    warmup: int = 5,
    synchronize: Callable[[], None] | None = None,
) -> dict[str, dict[str, float]]:
    """name -> {"p50_ms", "p95_ms"}: median and 95th percentile of each call, in milliseconds.

    The calls take turns; the first `warmup` rounds are not measured.
    """
    wait = synchronize or (lambda: None)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + rounds):
        for name, call in calls.items():
            wait()
            started = time.perf_counter()
            call()
            wait()
            if turn >= warmup:
                times[name].append((time.perf_counter() - started) * 1000)
    return {
        name: {"p50_ms": float(np.percentile(taken, 50)), "p95_ms": float(np.percentile(taken, 95))}
        for name, taken in times.items()
    }
