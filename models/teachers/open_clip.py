"""An open_clip model as a teacher: embeds crops and class prompts, numpy in and numpy out, and describes itself."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from embedonce.models.device import autocast, exact_float32
from embedonce.models.errors import ModelOptionError
from embedonce.models.names import PYTORCH
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.device_copies import from_device, on_device, to_device
from embedonce.models.teachers.precision import chosen_precision, make_test_images
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


class ClipTeacher:
    """An open_clip model that embeds image crops and class prompts."""

    def __init__(self, clip: nn.Module, tokenizer, name_and_weights: tuple[str, str], device: torch.device):
        self._description = _describe(clip, *name_and_weights)
        self._tokenizer = tokenizer
        self.device, self._has_overflowed = device, False
        model: Any = clip.to(device)
        self._clip = model
        self.runtime = PYTORCH
        with exact_float32():
            self._fast = chosen_precision(model.encode_image, device, self._description["input_size"])
        self._mean, self._std = (
            torch.tensor(self._description[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std")
        )

    @property
    def precision(self) -> str:
        """The precision that embed() has used so far."""
        return f"{self._fast}, float32 where that overflows" if self._has_overflowed else self._fast

    def describe(self) -> dict:
        """The fields of a cache's TeacherIdentity: name, weights, their SHA-256, activation, preprocessing, sizes."""
        return dict(self._description)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 RGB -> (B, D) float32, unit length. Rows that overflow are computed again in float32."""
        return self._launch(crops)()

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        """Start embed() on a GPU, which copies and computes by itself; the function waits for what it returns."""
        return self._launch(crops) if self.device.type == "cuda" else partial(self.embed, crops)

    @torch.inference_mode()
    def _launch(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        """Hand all work on a batch to the device, which does one batch after the other."""
        size = self._description["input_size"]
        if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3):
            raise ValueError(f"crops must be (B, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
        with on_device(self.device), exact_float32():
            images = to_device(torch.from_numpy(np.ascontiguousarray(crops)), self.device).permute(0, 3, 1, 2)
            images = (images.float() / 255 - self._mean) / self._std
            with autocast(self.device, self._fast):
                vectors = self._clip.encode_image(images).float()
            is_finite = torch.isfinite(vectors).all(-1)
            get = from_device((functional.normalize(vectors, dim=-1), is_finite))
        return lambda: self._finish(images, *get())

    @torch.inference_mode()
    def _finish(self, images: Tensor, vectors: Tensor, is_finite: Tensor) -> np.ndarray:
        """The embeddings, those that overflowed computed again. images: on the device; the others are on the CPU."""
        if self._fast != "float32" and not is_finite.all():
            self._has_overflowed = True
            with on_device(self.device), exact_float32():
                again = self._clip.encode_image(images[~is_finite.to(self.device)]).float()
                vectors[~is_finite] = functional.normalize(again, dim=-1).cpu()
        return vectors.numpy()

    @torch.inference_mode()
    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float]:
        """Prompts of C classes -> ((C, D) float32, unit length: the mean of each class's unit vectors; logit scale)."""
        return mean_directions(prompts, self._embed_texts), float(self._clip.logit_scale.exp())

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
    def input_size(self) -> int:
        return self._description["input_size"]

    @property
    def image_tower(self) -> nn.Module:
        """(B, 3, S, S) normalized images -> (B, D) embeddings of any length."""
        return _ImageTower(self._clip.visual).eval()

    @torch.inference_mode()
    def worst_cosine(self, encode: Callable[[Tensor], Tensor]) -> float:
        """The smallest cosine between embeddings by this function and by the image tower, over fixed test images."""
        images = make_test_images(self.input_size).to(self.device)
        with exact_float32():
            return float(functional.cosine_similarity(encode(images), self._clip.encode_image(images), dim=-1).min())

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
        "embed_dim": _embed_dim(clip, _input_size(clip)),
        "parameters_image": _count(clip.visual),
        "parameters_total": _count(clip),
        "bytes_image": _num_bytes(clip.visual),
        "bytes_total": _num_bytes(clip),
    }


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of the names, dtypes, shapes and values of a module's tensors, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _uses_quick_gelu(clip: nn.Module) -> bool:
    return any(type(module).__name__ == "QuickGELU" for module in clip.modules())


def _input_size(clip: Any) -> int:
    size = clip.visual.preprocess_cfg["size"]
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if sides[0] != sides[1]:
        raise ModelOptionError(f"the input of the model is {sides[0]}x{sides[1]}; only square inputs are supported")
    return sides[0]


@torch.inference_mode()
def _embed_dim(clip: Any, size: int) -> int:
    return clip.encode_image(torch.zeros(1, 3, size, size)).shape[-1]


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _num_bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())
