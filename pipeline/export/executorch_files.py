"""ExecuTorch programs for XNNPACK, as bytes. The only importer of executorch; knows no student and no cache."""

import contextlib
import copy
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

MOST_FRAMES = 64  # of a clip: memory is planned for them


def to_executorch(module: nn.Module, example: tuple[Tensor, ...], varying: dict[int, str] | None = None) -> bytes:
    """A module in eval mode as a program for a batch of 1. varying: a dimension, alike in all inputs, that may vary.

    XNNPACK takes at most one of them, and one that is no batch: its planned memory follows the example's.
    """
    module = copy.deepcopy(module).to(memory_format=torch.contiguous_format)  # XNNPACK orders channels itself
    dimensions = {axis: torch.export.Dim(name, min=1, max=MOST_FRAMES) for axis, name in (varying or {}).items()}
    with _quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = torch.export.export(module, example, dynamic_shapes=tuple(dimensions for _ in example))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        return bytes(lowered.to_executorch().buffer)


def opened(program: bytes) -> Callable[..., list[np.ndarray]]:
    """A call of the program for any batch, one after the other: arrays in, arrays out."""
    with _quiet():
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(program).load_method("forward")

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        rows = [
            [out.numpy().copy() for out in method.execute([torch.from_numpy(a[i : i + 1]) for a in arrays])]
            for i in range(len(arrays[0]))
        ]
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    return call


@contextlib.contextmanager
def _quiet():
    """ExecuTorch warns of itself: of what is deprecated in it, and that it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
