"""CLIP models of open_clip as teachers. torch and open_clip are imported when a teacher is checked, timed or loaded."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedonce.cache.collection import no_collection
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.names import default_weights
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.configuration import shape_of
from embedonce.pipeline.teachers.teacher import TIMED_BATCH, Teacher, TeacherLoader, TeacherOptions, median_seconds

if TYPE_CHECKING:
    from embedonce.models.teachers.open_clip import ClipTeacher

log = logging.getLogger(__name__)


class OpenClipTeacher:
    """A ClipTeacher with the identity that caches store."""

    def __init__(self, clip: "ClipTeacher"):
        self._clip = clip
        self.identity = TeacherIdentity(**clip.describe())

    def embed(self, crops: np.ndarray) -> np.ndarray:
        return self._clip.embed(crops)

    def device_facts(self) -> dict[str, str]:
        return {"device": str(self._clip.device), "precision": self._clip.precision}

    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float]:
        truncated = self._clip.truncated_texts(prompts)
        if truncated:
            log.warning(
                "%d class texts are longer than the teacher's context and are truncated, such as %r",
                len(truncated),
                truncated[0],
            )
        return self._clip.class_text(prompts)

    def drop_text_tower(self) -> None:
        self._clip.drop_text_tower()


class OverlappingClipTeacher(OpenClipTeacher):
    """One on a GPU, which computes while the next batch is prepared."""

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        return self._clip.begin(crops)


class OpenClipLoader(TeacherLoader):
    """Loads open_clip models by name or configuration file. It takes every model that no other loader is named for."""

    def prepare(self) -> None:
        """As in TeacherLoader. ModelError if open_clip is not installed."""
        from embedonce.models.teachers.weights import import_open_clip

        with no_collection():  # nothing of what is imported becomes garbage: searching all of it takes 0.7 s
            import_open_clip()

    def load(self, options: TeacherOptions) -> Teacher:
        self.prepare()
        from embedonce.models.device import choose_device
        from embedonce.models.teachers.open_clip import load_teacher

        device = choose_device(options.device)
        cached, known = options.cached, None
        if cached is not None:
            known = Preprocessing(cached.mean, cached.std, cached.interpolation, cached.resize_mode)
        chosen = options.activation, device, options.seed, options.preprocess
        made = OverlappingClipTeacher if device.type == "cuda" else OpenClipTeacher
        return made(load_teacher(options.model, _weights(options), *chosen, known))

    def check_options(self, options: TeacherOptions) -> None:
        from embedonce.models.teachers.weights import check_options

        check_options(options.model, _weights(options), options.activation)

    def names(self, options: TeacherOptions) -> tuple[str, str]:
        model, weights = options.model, _weights(options)
        is_file = Path(weights).suffix or Path(weights).is_file()
        return Path(model).stem if model.endswith(".json") else model, "file" if is_file else weights

    def shape(self, model: str) -> tuple[int, int] | None:
        return shape_of(model)

    def seconds_per_image(self, options: TeacherOptions) -> float:
        """As in TeacherLoader, with random weights: they take the same time, and none are downloaded."""
        import torch

        from embedonce.models.device import autocast, choose_device
        from embedonce.models.teachers.open_clip import image_tower_for_latency
        from embedonce.models.teachers.precision import fast_precision
        from embedonce.pipeline.processes.timing import synchronizer

        device = choose_device(options.device)
        tower, size = image_tower_for_latency(options.model, device)
        images = torch.zeros(TIMED_BATCH, 3, size, size, device=device)
        wait = synchronizer(device) or (lambda: None)

        def embed() -> None:
            tower(images)
            wait()

        with torch.inference_mode(), autocast(device, fast_precision(device)):
            return median_seconds(embed) / TIMED_BATCH


def _weights(options: TeacherOptions) -> str:
    return options.weights or default_weights(options.model)
