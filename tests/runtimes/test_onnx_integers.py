"""How convolutional and other backbones are quantized to 8-bit integers, and that the results agree with float32."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from embedonce.models.deploy import FrameEncoder
from embedonce.pipeline.runtimes.onnx_files import to_onnx
from embedonce.pipeline.runtimes.onnx_integers import in_8_bit_integers, is_convolutional, outside_convolutions
from embedonce.pipeline.runtimes.onnx_runtime import Session
from tests.models.test_deploy import student_of

pytestmark = pytest.mark.integration

FRAMES = np.random.default_rng(0).integers(0, 256, (16, 3, 128, 128), np.uint8)


def encoder_of(size: str) -> bytes:
    frames = torch.from_numpy(FRAMES[:2])
    encoder = FrameEncoder(student_of(size)).eval()
    return to_onnx(encoder, {"frames": (frames, {0: "batch"})}, ["features", "embeddings"])


@pytest.fixture(scope="module")
def model() -> bytes:
    return encoder_of("mobilenetv3_small_050")


@pytest.fixture(scope="module")
def quantized(model) -> bytes:
    return in_8_bit_integers(model, [{"frames": FRAMES[:8]}, {"frames": FRAMES[8:]}])


def graph_of(model: bytes) -> onnx.GraphProto:
    return onnx.load_model_from_string(model).graph


def kinds(model: bytes) -> Counter:
    return Counter(node.op_type for node in graph_of(model).node)


def test_embeddings_in_integers_are_near_those_in_floats(model, quantized):
    embeddings, expected = (Session(one)(frames=FRAMES)["embeddings"] for one in (quantized, model))
    assert (embeddings * expected).sum(1).mean() > 0.97
    assert not np.array_equal(embeddings, expected)


def test_convolutional_backbones_are_integers_between_all_convolutions(model, quantized):
    made, producers = graph_of(quantized), {}
    for node in made.node:
        producers |= dict.fromkeys(node.output, node)
    for node in made.node:
        if node.op_type in ("Conv", "GlobalAveragePool", "HardSwish", "Gemm"):
            assert producers[node.input[0]].op_type == "DequantizeLinear", node.name
    assert kinds(quantized)["BatchNormalization"] == 0  # folded into the convolutions
    assert kinds(quantized)["HardSwish"] == kinds(model)["HardSwish"] > 0
    assert kinds(quantized)["ReduceMean"] == 0 < kinds(model)["ReduceMean"]
    read = {name for node in made.node for name in node.input}
    assert {tensor.name for tensor in made.initializer} <= read


def test_a_network_of_relu_has_nothing_but_convolutions_and_sums_of_integers():
    quantized = in_8_bit_integers(encoder_of("mnv4s100"), [{"frames": FRAMES[:8]}])
    nodes = list(graph_of(quantized).node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    between = {node.op_type for node in nodes[convolutions[0] : convolutions[-1]]}
    assert between == {"Conv", "Add", "QuantizeLinear", "DequantizeLinear"}


def test_pixels_and_projection_stay_in_floats(model, quantized):
    outside = set(outside_convolutions(graph_of(model)))
    assert {node.op_type for node in graph_of(model).node if node.name in outside} == {"Add", "Mul", "Div"}
    assert neighbors(model, outside) == neighbors(quantized, outside) != set()
    producers = {name: node.op_type for node in graph_of(quantized).node for name in node.output}
    assert producers["features"] == "Gemm"


def neighbors(model: bytes, names: set[str]) -> set[tuple[str, str]]:
    """Pairs of these operations of which the second reads what the first computed."""
    nodes = [node for node in graph_of(model).node if node.name in names]
    return {(one.name, other.name) for one in nodes for other in nodes if set(one.output) & set(other.input)}


def test_weights_are_signed_with_a_scale_for_each_channel_and_activations_are_unsigned(quantized):
    tensors = {tensor.name: tensor for tensor in graph_of(quantized).initializer}
    producers = {name: node for node in graph_of(quantized).node for name in node.output}
    for node in graph_of(quantized).node:
        if node.op_type == "Conv":
            activation, weight = (producers[name] for name in node.input[:2])
            assert tensors[activation.input[2]].data_type == onnx.TensorProto.UINT8
            stored = tensors[weight.input[0]]
            assert stored.data_type == onnx.TensorProto.INT8
            assert list(tensors[weight.input[1]].dims) == [stored.dims[0]]


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        (["Mul", "Conv", "Relu", "Conv", "LayerNormalization", "Gemm"], True),
        (["Mul", "Conv", "Softmax", "Conv", "Gemm"], False),
        (["Mul", "Conv", "LayerNormalization", "Conv"], False),
        (["Gemm"], False),
    ],
)
def test_backbones_with_attention_are_told_from_convolutional_ones(operations, expected):
    nodes = [onnx.helper.make_node(kind, [f"{i}"], [f"{i + 1}"], f"n{i}") for i, kind in enumerate(operations)]
    assert is_convolutional(onnx.helper.make_graph(nodes, "graph", [], [])) is expected
