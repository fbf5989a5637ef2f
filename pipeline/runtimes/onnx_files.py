"""ONNX models as bytes: exported from modules, converted to float16 or int8, and given metadata.

The only importer of onnx and of ONNX Runtime's conversion tools.
"""

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

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
    with _quiet():
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

    with _quiet():
        return convert_float_to_float16(onnx.load_model_from_string(model), keep_io_types=True).SerializeToString()


def in_8_bit_integers(model: bytes, batches: list[dict[str, np.ndarray]]) -> bytes:
    """Quantize statically (QDQ), with ranges calibrated on these batches: weights per channel and signed, activations
    unsigned. batches: arrays by input name."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, prepared, quantized = (
            Path(folder) / name for name in ("source.onnx", "prepared.onnx", "quantized.onnx")
        )
        source.write_bytes(model)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            _reader(iter(batches)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return quantized.read_bytes()


def with_metadata(model: bytes, facts: dict) -> bytes:
    """Add facts to a model's metadata, as JSON under METADATA_KEY."""
    proto = onnx.load_model_from_string(model)
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(facts)})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def _reader(batches: Iterator[dict[str, np.ndarray]]):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    return Reader()


@contextlib.contextmanager
def _quiet():
    """Silence exporters, which report their own steps on every channel; errors are still raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
