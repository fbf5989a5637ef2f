"""The weights of ONNX files: their hash and their size. Needs onnx, not ONNX Runtime."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


@dataclass(frozen=True)
class OnnxWeights:
    """sha256: over the graph's operations and the contents of its tensors. count, num_bytes: of these tensors."""

    sha256: str
    count: int
    num_bytes: int


def onnx_weights(path: Path) -> OnnxWeights:
    """The weights of an ONNX file, wherever the values of its tensors are stored: in it, or in files beside it.

    The hash is of initializers by name, and of operations with their attributes in order. It does not depend on the
    name of the file, on metadata, or on how it was serialized. Raises what onnx raises for damaged files.
    """
    model = onnx.load(path)
    digest, count, num_bytes = hashlib.sha256(), 0, 0
    for name, values in sorted(_tensors(model), key=lambda item: item[0]):
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode() + np.ascontiguousarray(values).tobytes())
        count, num_bytes = count + values.size, num_bytes + values.nbytes
    for node in model.graph.node:
        digest.update(f"{node.domain} {node.op_type}\n".encode())
        for attribute in sorted(node.attribute, key=lambda one: one.name):
            digest.update(attribute.SerializeToString(deterministic=True))
    return OnnxWeights(digest.hexdigest(), count, num_bytes)


def _tensors(model: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in model.graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
