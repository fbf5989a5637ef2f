"""CLIP models of open_clip as teachers. torch and open_clip are imported when a teacher is checked, timed or loaded."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from embedonce.models.names import default_weights, teacher_name
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.configuration import shape_of
from embedonce.pipeline.teachers.encoder_teacher import EncoderTeacher, OverlappingEncoderTeacher
from embedonce.pipeline.teachers.teacher import (
    TIMED_BATCH,
    Teacher,
    TeacherLoader,
    TeacherOptions,
    TextHead,
    median_seconds,
)

if TYPE_CHECKING:
    from embedonce.models.teachers.open_clip import ClipTeacher

log = logging.getLogger(__name__)


class OpenClipTeacher(EncoderTeacher):
    """A ClipTeacher with its text tower. Implements TextTeacher."""

    def __init__(self, clip: "ClipTeacher"):
        super().__init__(clip)
        self._clip = clip

    def class_text(self, prompts: list[list[str]]) -> TextHead:
        truncated = self._clip.truncated_texts(prompts)
        if truncated:
            log.warning(
                "%d class texts are longer than the teacher's context and are truncated, such as %r",
                len(truncated),
                truncated[0],
            )
        return TextHead(*self._clip.class_text(prompts))

    def drop_text_tower(self) -> None:
        self._clip.drop_text_tower()


class OverlappingClipTeacher(OverlappingEncoderTeacher, OpenClipTeacher):
    """One on a GPU."""


class OpenClipLoader(TeacherLoader):
    """Loads open_clip models by name or configuration file. It takes every model that no other loader is named for."""

    def load(self, options: TeacherOptions) -> Teacher:
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
        weights = _weights(options)
        is_file = Path(weights).suffix or Path(weights).is_file()
        return teacher_name(options.model), "file" if is_file else weights

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
