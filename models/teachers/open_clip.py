"""An open_clip model as a teacher: embeds crops and class prompts, numpy in and numpy out, and describes itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from embedonce.models.device import exact_float32
from embedonce.models.errors import ModelOptionError
from embedonce.models.names import PYTORCH
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.image_encoder import ImageEncoder
from embedonce.models.teachers.tensors import num_bytes, num_parameters, weights_sha256
from embedonce.models.teachers.texts import find_long_texts, mean_directions
from embedonce.models.teachers.weights import architecture, build, weights_kind


def load_teacher(
    model: str,
    weights: str,
    activation: str | None,
    device: torch.device,
    seed: int,
    preprocess: str | None = None,
    known: Preprocessing | None = None,
) -> "ClipTeacher":
    """Load a teacher, ready to embed.

    Args:
        model: an open_clip name, or the path of a JSON configuration.
        weights: a tag of the model, a local file, or "random".
        activation: "quickgelu" or "gelu"; required for a local file unless the configuration file states it.
        device: where to compute.
        seed: of random weights.
        preprocess: image preprocessing as models.preprocessing.parse() reads it; required if neither the tags nor the
            configuration determine it.
        known: the preprocessing stored in a cache of this teacher.

    Raises ModelError or a subclass.
    """
    clip, tokenizer, name = build(model, weights, activation, seed, preprocess, known)
    return ClipTeacher(clip.eval().requires_grad_(False), tokenizer, (name, weights_kind(weights)), device)


class ClipTeacher(ImageEncoder):
    """An open_clip model that embeds image crops and class prompts."""

    def __init__(self, clip: nn.Module, tokenizer, name_and_weights: tuple[str, str], device: torch.device):
        description = _describe(clip, *name_and_weights)
        self._tokenizer = tokenizer
        self._clip: Any = clip.to(device)
        super().__init__(description, device)

    def _encode(self, images: Tensor) -> Tensor:
        return self._clip.encode_image(images)

    @torch.inference_mode()
    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float, float | None]:
        """Prompts of C classes -> ((C, D) float32, unit length; logit scale; logit bias).

        A class has the mean of the unit vectors of its prompts. Models that were not trained with a sigmoid loss have
        no bias: None.
        """
        bias = getattr(self._clip, "logit_bias", None)
        scale_and_bias = float(self._clip.logit_scale.exp()), None if bias is None else float(bias)
        return mean_directions(prompts, self._embed_texts), *scale_and_bias

    def _embed_texts(self, texts: list[str]) -> Tensor:
        """(N, D) float32 on the CPU, unit length."""
        with exact_float32():
            vectors = self._clip.encode_text(self._tokenizer(texts).to(self.device)).float()
        return functional.normalize(vectors, dim=-1).cpu()

    def long_texts(self, prompts: list[list[str]]) -> tuple[int, int, tuple[tuple[int, str, int], ...]]:
        """As find_long_texts(), for the context length of the text tower."""
        return find_long_texts(prompts, self._tokenizer)

    def drop_text_tower(self) -> None:
        """Free the memory of the text tower; class_text() cannot be called afterwards."""
        if self.runtime == PYTORCH:
            self._clip = _ImageTower(self._clip.visual)
        else:
            self._clip = _Replaced(self._clip.encode_image)

    @property
    def image_tower(self) -> nn.Module:
        """(B, 3, S, S) normalized images -> (B, D) embeddings of any length."""
        return _ImageTower(self._clip.visual).eval()

    def replace_image_tower(self, encode: Callable[[Tensor], Tensor], runtime: str) -> None:
        """Embed images with this function from now on, and free the memory of the image tower. runtime: its name."""
        self.runtime = runtime
        self._clip.visual = nn.Identity()
        self._clip.encode_image = encode


@dataclass(frozen=True)
class _Replaced:
    """What is left of a model without its text tower whose image tower was replaced."""

    encode_image: Callable[[Tensor], Tensor]


class _ImageTower(nn.Module):
    """A CLIP model without its text tower; encode_image() gives the same embeddings."""

    def __init__(self, visual: nn.Module):
        super().__init__()
        self.visual = visual

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        vectors = self.visual(images)
        return vectors[0] if isinstance(vectors, tuple) else vectors  # CoCa's image towers also return their tokens

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.encode_image(images)


def image_tower_for_latency(model: str, device: torch.device) -> tuple[nn.Module, int]:
    """The image tower of a model with random weights, on which its speed does not depend, and its input size."""
    clip: Any = architecture(model)
    return clip.visual.eval().requires_grad_(False).to(device), _input_size(clip)


def _describe(clip: Any, name: str, weights: str) -> dict:
    preprocessing = clip.visual.preprocess_cfg
    return {
        "name": name,
        "weights": weights,
        "weights_sha256": weights_sha256(clip),
        "activation": "quickgelu" if _uses_quick_gelu(clip) else "gelu",
        "input_size": _input_size(clip),
        "mean": tuple(preprocessing["mean"]),
        "std": tuple(preprocessing["std"]),
        "interpolation": preprocessing["interpolation"],
        "resize_mode": preprocessing["resize_mode"],
        "embed_dim": _embed_dim(clip, name, _input_size(clip)),
        "parameters_image": num_parameters(clip.visual),
        "parameters_total": num_parameters(clip),
        "bytes_image": num_bytes(clip.visual),
        "bytes_total": num_bytes(clip),
    }


def _uses_quick_gelu(clip: nn.Module) -> bool:
    return any(type(module).__name__ == "QuickGELU" for module in clip.modules())


def _input_size(clip: Any) -> int:
    size = clip.visual.preprocess_cfg["size"]
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if sides[0] != sides[1]:
        raise ModelOptionError(f"the input of the model is {sides[0]}x{sides[1]}; only square inputs are supported")
    return sides[0]


@torch.inference_mode()
def _embed_dim(clip: Any, name: str, size: int) -> int:
    try:
        return clip.encode_image(torch.zeros(1, 3, size, size)).shape[-1]
    except (RuntimeError, AssertionError, ValueError) as error:
        problem = " ".join(str(error).split())[:300]
        raise ModelOptionError(
            f"{name} does not embed images of {size} pixels, the size in its configuration: {problem}"
        ) from error
