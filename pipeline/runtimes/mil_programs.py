"""Runs the operations of a Core ML package with PyTorch, where Core ML does not exist.

A check of what was converted, not of Core ML: each operation is computed in float32 and rounded to float16 where the
program says so; devices accumulate, and round, in ways of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.runtimes.mil_operations import OPERATIONS


@dataclass(frozen=True)
class Operation:
    """kind: as in Core ML's Model Intermediate Language. inputs: names of values by parameter, or tuples of them.

    halves: which outputs are float16.
    """

    kind: str
    inputs: dict[str, str | tuple[str, ...]]
    outputs: tuple[str, ...]
    halves: tuple[bool, ...]


@dataclass(frozen=True)
class Program:
    """Operations in order. constants: values by name, weights among them."""

    inputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    constants: dict[str, Any]
    outputs: tuple[str, ...]

    def runnable(self, inputs: tuple[str, ...]) -> Callable[..., list[np.ndarray]]:
        """A call that takes arrays in this order of the inputs, and returns the outputs in the program's order.

        PipelineError if the program has an operation that this module does not know, or other inputs.
        """
        unknown = sorted({one.kind for one in self.operations} - set(OPERATIONS))
        if unknown:
            raise PipelineError(
                f"the converted Core ML program has operations that embedonce cannot check ({', '.join(unknown)}), and "
                "nothing was written; leave coreml out of --formats"
            )
        if set(inputs) != set(self.inputs):
            raise PipelineError(f"the Core ML program has the inputs {self.inputs} instead of {inputs}; report this")
        constants = {name: _prepared(value) for name, value in self.constants.items()}

        def run(*arrays: np.ndarray) -> list[np.ndarray]:
            values = constants | {
                name: torch.from_numpy(array).float() for name, array in zip(inputs, arrays, strict=True)
            }
            for operation in self.operations:
                values |= _computed(operation, values)
            return [values[name].numpy() for name in self.outputs]

        return run


def _computed(operation: Operation, values: dict[str, Any]) -> dict[str, Any]:
    """The outputs of one operation by name."""
    given = {
        parameter: [values[name] for name in names] if isinstance(names, tuple) else values[names]
        for parameter, names in operation.inputs.items()
    }
    results = OPERATIONS[operation.kind](**given)
    results = results if isinstance(results, tuple) else (results,)
    rounded = (
        result.half().float() if is_half else result for result, is_half in zip(results, operation.halves, strict=True)
    )
    return dict(zip(operation.outputs, rounded, strict=True))


def _prepared(value: Any) -> Any:
    """A constant as operations take it: tensors of floats in float32, everything else as it is."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
        return torch.from_numpy(np.array(value, np.float32))
    return value
