"""An image encoder of models.teachers as a Teacher. Imports no torch."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.names import PYTORCH


class Encoder(Protocol):
    """As models.teachers.image_encoder.ImageEncoder."""

    @property
    def device(self) -> object: ...

    @property
    def precision(self) -> str: ...

    @property
    def runtime(self) -> str: ...

    def describe(self) -> dict: ...

    def embed(self, crops: np.ndarray) -> np.ndarray: ...

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]: ...


class EncoderTeacher:
    """An encoder with the identity that caches store. Implements Teacher."""

    def __init__(self, encoder: Encoder):
        self._encoder = encoder
        self.identity = TeacherIdentity(**encoder.describe())

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return self._encoder.embed(crops)

    def device_facts(self) -> dict[str, str]:
        facts = {"device": str(self._encoder.device), "precision": self._encoder.precision}
        return facts if self._encoder.runtime == PYTORCH else facts | {"runtime": self._encoder.runtime}


class OverlappingEncoderTeacher(EncoderTeacher):
    """One on a GPU, which computes while the next batch is prepared. Implements OverlappingTeacher."""

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        return self._encoder.begin(crops)
