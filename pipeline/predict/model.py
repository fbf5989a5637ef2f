"""What a student must offer to be run on videos, whichever files it comes from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.frames.preprocessing import Preprocessing


@dataclass(frozen=True)
class ModelFacts:
    """classes: names in the order of logits, empty if trained without. frames_per_clip: most frames of a window.

    multi_label: whether clips have any number of classes. checkpoint_sha256: of the checkpoint file; None if unknown.
    temperature: the model divides its logits by it already.
    """

    classes: tuple[str, ...]
    frames_per_clip: int
    preprocessing: Preprocessing
    multi_label: bool
    checkpoint_sha256: str | None
    temperature: float = 1.0


class Model(ABC):
    """A student that can be run. Arrays are numpy's."""

    facts: ModelFacts

    @abstractmethod
    def encode(self, frames: np.ndarray) -> np.ndarray:
        """(N, 3, R, R) uint8 -> features (N, D) float32, not normalized."""

    @abstractmethod
    def classify(self, features: np.ndarray, t_rel_sec: np.ndarray) -> np.ndarray:
        """Features (T, D) float32 of a clip's frames and their (T,) seconds since its start -> logits (C,)."""
