"""ONNX models as bytes: exported from modules, converted to float16, and given metadata."""

import contextlib
import json
from contextlib import AbstractContextManager

import onnx
import torch
from torch import nn

from embedonce.pipeline.runtimes.silence import silenced

OPSET = 18
METADATA_KEY = "embedonce"


def to_onnx(
    module: nn.Module, inputs: dict[str, tuple[torch.Tensor, dict[int, str]]], outputs: list[str] | None
) -> bytes:
    """Export a module in eval mode. inputs: name -> (example, {axis: name of a dimension that may vary}).

    RuntimeError if PyTorch's exporter returns no program.
    """
    dimensions = {name: torch.export.Dim(name) for _, axes in inputs.values() for name in axes.values()}
    shapes = tuple({axis: dimensions[name] for axis, name in axes.items()} for _, axes in inputs.values())
    with quiet():
        program = torch.onnx.export(
            module,
            tuple(example for example, _ in inputs.values()),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del part.metadata_props[:]  # source locations of operations: a sixth of the file
    return model.SerializeToString()


def in_half_precision(model: bytes) -> bytes:
    """Convert a float32 model to float16; inputs and outputs keep their types."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with quiet():
        return convert_float_to_float16(onnx.load_model_from_string(model), keep_io_types=True).SerializeToString()


def with_metadata(model: bytes, facts: dict) -> bytes:
    """Add facts to a model's metadata, as JSON under METADATA_KEY."""
    proto = onnx.load_model_from_string(model)
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(facts)})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def quiet() -> AbstractContextManager[None]:
    """Silence ONNX's exporters; errors are still raised."""
    return silenced(("torch.onnx", "onnxscript", "onnx_ir", ""), contextlib.redirect_stdout)
