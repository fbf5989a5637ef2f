"""ExecuTorch programs for XNNPACK: lowered from a module, and run again. The only importer of executorch."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from embedonce.pipeline.runtimes.batches_of_one import MAX_FRAMES, row_by_row


def to_executorch(module: nn.Module, example: tuple[Tensor, ...], dynamic_axes: dict[int, str] | None = None) -> bytes:
    """Lower a module in eval mode to a program for a batch of 1.

    dynamic_axes: axis -> name of a dimension that may vary, the same in all inputs. XNNPACK allows at most one, and it
    must not be the batch: planned memory follows the example's.
    """
    module = copy.deepcopy(module).to(memory_format=torch.contiguous_format)  # XNNPACK orders channels itself
    dimensions = {axis: torch.export.Dim(name, min=1, max=MAX_FRAMES) for axis, name in (dynamic_axes or {}).items()}
    with _without_warnings():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = torch.export.export(module, example, dynamic_shapes=tuple(dimensions for _ in example))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        return bytes(lowered.to_executorch().buffer)


def load_program(program: bytes) -> Callable[..., list[np.ndarray]]:
    """Load a program. The returned call takes arrays of any batch size and runs their rows one after the other."""
    with _without_warnings():
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(program).load_method("forward")

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        return [output.numpy().copy() for output in method.execute([torch.from_numpy(array) for array in arrays])]

    return row_by_row(run)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """ExecuTorch warns about its own deprecated parts and about being experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
