"""Small teachers as users have them: an ONNX file, a TorchScript file, and a Python file with a function."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

SIZE, CELLS, DIM = 32, 4, 8  # pixels, cells a side, embedding dimension

BARE = """
import numpy as np

FACTS = {"input_size": 32, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


class Bare:
    def __init__(self):
        self.matrix = np.random.default_rng(0).standard_normal((48, 8)).astype(np.float32)

    def embed(self, crops):
        cells = crops.reshape(len(crops), 4, 8, 4, 8, 3).mean((2, 4)).reshape(len(crops), -1) / 255 + 0.01
        vectors = cells.astype(np.float32) @ self.matrix
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def build():
    return Bare()
"""

WINDOWED = """
import numpy as np

FACTS = {"input_size": 32, "window": 3, "window_stride": 2}


class Windowed:
    def __init__(self):
        self.weights = np.ones((3, 3), np.float32)

    def embed_windows(self, windows):
        assert windows.shape[1:] == (FACTS["window"], 32, 32, 3) and windows.dtype == np.uint8
        vectors = (windows.mean((2, 3)) * self.weights).reshape(len(windows), -1) + 1
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def build():
    return Windowed()
"""


def matrix() -> np.ndarray:
    """(CELLS² · 3, DIM) float32: what both programs multiply the means of an image's cells with."""
    return np.random.default_rng(0).standard_normal((CELLS * CELLS * 3, DIM)).astype(np.float32)


def expected(crops: np.ndarray, mean, std) -> np.ndarray:
    """What both programs give for (B, SIZE, SIZE, 3) uint8 images, as unit vectors."""
    images = (crops / 255 - np.asarray(mean)) / np.asarray(std)
    side = SIZE // CELLS
    cells = images.reshape(len(crops), CELLS, side, CELLS, side, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    vectors = cells.reshape(len(crops), -1) @ matrix()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_onnx(path: Path, batch: int | str = "batch", side: int | str = SIZE, **changes) -> Path:
    """A graph (batch, 3, side, side) -> (batch, DIM).

    changes: opset, channels, kind of input, external (weights in a file beside it), more_outputs, noise, scale.
    """
    channels = changes.get("channels", 3)
    weights = matrix()[: CELLS * CELLS * channels] * changes.get("scale", 1.0)
    kind = changes.get("kind", TensorProto.FLOAT)
    image = helper.make_tensor_value_info("image", kind, [batch, channels, side, side])
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [batch, DIM])
    pool = {"kernel_shape": [SIZE // CELLS] * 2, "strides": [SIZE // CELLS] * 2}
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], **pool),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
    ]
    if changes.get("noise"):
        nodes.append(helper.make_node("RandomNormalLike", ["product"], ["vector"]))
    else:
        nodes.append(helper.make_node("Identity", ["product"], ["vector"]))
    outputs = [output]
    if changes.get("more_outputs"):
        outputs.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, [batch, CELLS * CELLS * 3]))
    graph = helper.make_graph(nodes, "teacher", [image], outputs, [numpy_helper.from_array(weights, "weights")])
    opset = helper.make_opsetid("", changes.get("opset", 17))
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    external = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(model, path, **(external if changes.get("external") else {}))
    return path


class Program(torch.nn.Module):
    """The same as the graph."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.from_numpy(matrix()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, SIZE // CELLS).flatten(1) @ self.weights


def write_torchscript(path: Path, module: torch.nn.Module | None = None, batch: int = 2, frozen: bool = False) -> Path:
    """A traced program, by default a Program. frozen: its weights are constants of its code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        traced = torch.jit.trace((module or Program()).eval(), torch.zeros(batch, 3, SIZE, SIZE))
        torch.jit.save(torch.jit.freeze(traced) if frozen else traced, str(path))
    return path
