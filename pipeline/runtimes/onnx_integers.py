"""ONNX models in 8-bit integers, quantized statically: QuantizeLinear and DequantizeLinear around each operation."""

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from embedonce.pipeline.runtimes.onnx_files import quiet

ATTENTION = {"LayerNormalization", "Gemm", "MatMul", "Softmax"}  # what backbones of convolutions alone do not have
ELEMENTWISE = {"Add", "Mul", "Sub", "Div", "Sigmoid", "Softmax"}
CONVOLUTIONAL = (
    *("Conv", "Gemm", "MatMul", "Relu", "Clip", "LeakyRelu", "Add", "Mul", "Sigmoid", "Concat"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
)


def in_8_bit_integers(model: bytes, batches: list[dict[str, np.ndarray]]) -> bytes:
    """Quantize with ranges calibrated on these batches: weights per channel and signed, activations unsigned.

    batches: arrays by input name. In a model that is_convolutional, only convolutions, matrices, and what lies between
    convolutions are quantized, and activation functions such as HardSwish stay whole, as accelerators know them.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    proto = onnx.load_model_from_string(model)
    choice: dict = {}
    if is_convolutional(proto.graph):
        pool_globally(proto.graph)
        choice = {"op_types_to_quantize": CONVOLUTIONAL, "nodes_to_exclude": outside_convolutions(proto.graph)}
        choice["extra_options"] = {"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]}  # features keep floats
    with tempfile.TemporaryDirectory() as folder, quiet():
        source, prepared, quantized = (
            Path(folder) / name for name in ("source.onnx", "prepared.onnx", "quantized.onnx")
        )
        source.write_bytes(proto.SerializeToString())
        quant_pre_process(source, prepared, skip_symbolic_shape=True, skip_optimization=bool(choice))
        quantize_static(
            prepared,
            quantized,
            _reader(iter(batches)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **choice,
        )
        return quantized.read_bytes()


def is_convolutional(graph: onnx.GraphProto) -> bool:
    """Whether no attention, normalization of layers or matrix comes before the last convolution of this graph."""
    kinds = [node.op_type for node in graph.node]
    return "Conv" in kinds and not ATTENTION & set(kinds[: _last_convolution(graph)])


def outside_convolutions(graph: onnx.GraphProto) -> list[str]:
    """The names of elementwise operations before the first convolution, or after what follows the last one.

    They scale pixels and project features: in integers they would lose accuracy and save nothing.
    """
    kinds = [node.op_type for node in graph.node]
    first, last = kinds.index("Conv"), _last_convolution(graph)
    end = next((i for i, kind in enumerate(kinds) if i > last and kind in ATTENTION), len(kinds))
    outer = (*islice(graph.node, first), *islice(graph.node, end, None))
    return [node.name for node in outer if node.op_type in ELEMENTWISE]


def pool_globally(graph: onnx.GraphProto) -> None:
    """Replace means over height and width by the pooling operation that has an integer kernel, in place."""
    constants = {
        tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer if tensor.dims == [2]
    }
    for node in graph.node:
        keeps = all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")
        if node.op_type == "ReduceMean" and keeps and constants.get(node.input[-1]) in ([2, 3], [-2, -1], [-1, -2]):
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)  # ONNX Runtime would warn of it


def _last_convolution(graph: onnx.GraphProto) -> int:
    return max(i for i, node in enumerate(graph.node) if node.op_type == "Conv")


def _reader(batches: Iterator[dict[str, np.ndarray]]):
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    return Reader()
