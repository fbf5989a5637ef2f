"""Embeds image crops with a module, numpy in and numpy out, on any device and in the fastest precision that will do."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from embedonce.models.device import autocast, exact_float32
from embedonce.models.names import PYTORCH
from embedonce.models.teachers.device_copies import from_device, on_device, to_device
from embedonce.models.teachers.precision import chosen_precision, make_test_images


class ImageEncoder(ABC):
    """The image side of a teacher. A subclass has the module, on the device, and calls it in _encode()."""

    def __init__(self, description: dict, device: torch.device, precision: str | None = None):
        """description: what describe() returns. precision: by default a fast one if that changes embeddings little."""
        self._description = description
        self.runtime = PYTORCH
        self.device, self._has_overflowed = device, False
        with exact_float32():
            self._fast = precision or chosen_precision(self._encode, device, description["input_size"])
        self._mean, self._std = (
            torch.tensor(self._description[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std")
        )

    @abstractmethod
    def _encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalized images -> (B, D) embeddings of any length."""

    @property
    def precision(self) -> str:
        """The precision that embed() has used so far."""
        return f"{self._fast}, float32 where that overflows" if self._has_overflowed else self._fast

    def describe(self) -> dict:
        """The fields of a cache's TeacherIdentity: name, weights, their SHA-256, activation, preprocessing, sizes."""
        return dict(self._description)

    @property
    def input_size(self) -> int:
        """Side of the input, in pixels."""
        return self._description["input_size"]

    @torch.inference_mode()
    def worst_cosine(self, encode: Callable[[Tensor], Tensor]) -> float:
        """The smallest cosine between embeddings by this function and by the module, over fixed test images."""
        images = make_test_images(self.input_size).to(self.device)
        with exact_float32():
            return float(functional.cosine_similarity(encode(images), self._encode(images), dim=-1).min())

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 RGB -> (B, D) float32, unit length. Rows that overflow are computed again in float32."""
        return self._launch(crops)()

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        """Start embed() on a GPU, which copies and computes by itself; the function waits for what it returns."""
        return self._launch(crops) if self.device.type == "cuda" else partial(self.embed, crops)

    @torch.inference_mode()
    def _launch(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        """Hand all work on a batch to the device, which does one batch after the other."""
        size = self.input_size
        if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3):
            raise ValueError(f"crops must be (B, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
        with on_device(self.device), exact_float32():
            images = to_device(torch.from_numpy(np.ascontiguousarray(crops)), self.device).permute(0, 3, 1, 2)
            images = (images.float() / 255 - self._mean) / self._std
            with autocast(self.device, self._fast):
                vectors = self._encode(images).float()
            is_finite = torch.isfinite(vectors).all(-1)
            get = from_device((functional.normalize(vectors, dim=-1), is_finite))
        return lambda: self._finish(images, *get())

    @torch.inference_mode()
    def _finish(self, images: Tensor, vectors: Tensor, is_finite: Tensor) -> np.ndarray:
        """The embeddings, those that overflowed computed again. images: on the device; the others are on the CPU."""
        if self._fast != "float32" and not is_finite.all():
            self._has_overflowed = True
            with on_device(self.device), exact_float32():
                again = self._encode(images[~is_finite.to(self.device)]).float()
                vectors[~is_finite] = functional.normalize(again, dim=-1).cpu()
        return vectors.numpy()
