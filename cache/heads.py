"""Heads of label sets: the tensors that soft logits are computed with, and that computation."""

import itertools

import numpy as np
import safetensors.numpy

from embedonce.cache.errors import LabelSetError
from embedonce.cache.labels import LabelSet

HEAD_TOLERANCE = 1e-3  # of the values of a head: text towers compute slightly different vectors on other machines


def head_tensors(parameters: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Weight, bias, weight, bias, … of a head's linear layers, in order, by the names that a label set stores."""
    return dict(zip(_head_names(len(parameters) // 2), parameters, strict=True))


def _head_names(num_layers: int) -> list[str]:
    return [f"{parameter}_{layer}" for layer in range(num_layers) for parameter in ("weight", "bias")]


def tensors_of(labels: LabelSet, data: bytes, width: int) -> dict[str, np.ndarray]:
    """The tensors in safetensors bytes. ValueError unless they are a head of this label set, from `width` values."""
    try:
        tensors = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from error
    shapes, num_classes = {name: tensor.shape for name, tensor in tensors.items()}, len(labels.classes)
    if shapes != _head_shapes(tensors, width, num_classes):
        raise ValueError(f"its tensors {', '.join(tensors)} do not have the shapes of a head of {num_classes} classes")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValueError("its tensors hold values that are not finite")
    if ("logit_bias" in tensors) != (labels.logit_bias is not None):
        raise ValueError("only one of the label set and its tensors has a logit_bias")
    return tensors


def _head_shapes(tensors: dict[str, np.ndarray], width: int, num_classes: int) -> dict[str, tuple[int, ...]] | None:
    """The shapes that the tensors of a head must have; None if its last layer has other outputs than classes."""
    if "class_text" in tensors:
        bias = {"logit_bias": (1,)} if "logit_bias" in tensors else {}
        return {"class_text": (num_classes, width), "logit_scale": (1,)} | bias
    layers = len(tensors) // 2
    sides = [width, *(len(tensors[f"bias_{layer}"]) for layer in range(layers))]
    shapes = [shape for inner, outer in itertools.pairwise(sides) for shape in ((outer, inner), (outer,))]
    return dict(zip(_head_names(layers), shapes, strict=True)) if sides[-1] == num_classes else None


def logits_from(tensors: dict[str, np.ndarray], embeddings: np.ndarray) -> np.ndarray:
    """(…, D) embeddings -> (…, C) float32 logits, before softmax and temperature.

    tensors: class_text (C, D) unit vectors, logit_scale (1,) and, of teachers trained with a sigmoid loss, logit_bias
    (1,); or a head's weight_i (out, in) and bias_i (out,) with ReLU between its layers.
    """
    values = embeddings.astype(np.float32)
    if "class_text" in tensors:
        cosines = values @ tensors["class_text"].T
        scaled = tensors["logit_scale"][0] * cosines
        return scaled + tensors["logit_bias"][0] if "logit_bias" in tensors else scaled
    layers = sum(name.startswith("weight_") for name in tensors)
    for layer in range(layers):
        values = values @ tensors[f"weight_{layer}"].T + tensors[f"bias_{layer}"]
        if layer < layers - 1:
            values = np.maximum(values, 0)
    return values


def are_same_heads(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether two heads have the same tensors, as well as text towers agree between machines."""
    if {name: tensor.shape for name, tensor in a.items()} != {name: tensor.shape for name, tensor in b.items()}:
        return False
    return all(np.allclose(a[name], b[name], rtol=HEAD_TOLERANCE, atol=HEAD_TOLERANCE) for name in a)


def check_same_head(name: str, requested: bytes, stored: bytes | None) -> None:
    """LabelSetError if the stored head of the label set of this name has other values than ours."""
    if stored == requested:
        return
    try:
        is_same = stored is not None and are_same_heads(*map(safetensors.numpy.load, (requested, stored)))
    except safetensors.SafetensorError:
        is_same = False
    if not is_same:
        raise LabelSetError(
            f"label set {name!r} of this cache has another head than was computed now; name the new one with "
            "--label-set, or make it when no other process writes into the cache"
        )
