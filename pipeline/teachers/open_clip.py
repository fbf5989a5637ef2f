"""CLIP models of open_clip as teachers. torch and open_clip are imported when a teacher is checked, timed or loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

from embedonce.cache.collection import no_collection
from embedonce.models.names import ONNX, TEACHER_RUNTIMES, default_weights, teacher_name
from embedonce.models.preprocessing import Preprocessing
from embedonce.models.teachers.configuration import shape_of
from embedonce.pipeline.teachers.encoder_teacher import EncoderTeacher, OverlappingEncoderTeacher
from embedonce.pipeline.teachers.onnx_tower import check_onnx_runtime, onnx_encoder, use_onnx_runtime
from embedonce.pipeline.teachers.teacher import (
    TIMED_BATCH,
    CallTime,
    LongTexts,
    Teacher,
    TeacherLoader,
    TeacherOptions,
    TextHead,
    median_time,
)

if TYPE_CHECKING:
    from embedonce.models.teachers.open_clip import ClipTeacher


class OpenClipTeacher(EncoderTeacher):
    """A ClipTeacher with its text tower. Implements TextTeacher."""

    def __init__(self, clip: "ClipTeacher"):
        super().__init__(clip)
        self._clip = clip

    def class_text(self, prompts: list[list[str]]) -> TextHead:
        return TextHead(*self._clip.class_text(prompts))

    def long_texts(self, prompts: list[list[str]]) -> LongTexts:
        return LongTexts(*self._clip.long_texts(prompts))

    def drop_text_tower(self) -> None:
        self._clip.drop_text_tower()


class OverlappingClipTeacher(OverlappingEncoderTeacher, OpenClipTeacher):
    """One on a GPU."""


class OpenClipLoader(TeacherLoader):
    """Loads open_clip models by name or configuration file. It takes every model that no other loader is named for."""

    runtimes = TEACHER_RUNTIMES

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
        if options.runtime == ONNX:
            check_onnx_runtime(device.type)
        cached, known = options.cached, None
        if cached is not None:
            known = Preprocessing(cached.mean, cached.std, cached.interpolation, cached.resize_mode)
        chosen = options.activation, device, options.seed, options.preprocess
        made = OverlappingClipTeacher if device.type == "cuda" else OpenClipTeacher
        clip = load_teacher(options.model, _weights(options), *chosen, known)
        if options.runtime == ONNX:
            use_onnx_runtime(clip)
        return made(clip)

    def check_options(self, options: TeacherOptions) -> None:
        from embedonce.models.device import choose_device
        from embedonce.models.teachers.weights import check_options

        if options.runtime == ONNX:
            check_onnx_runtime(choose_device(options.device).type)
        check_options(options.model, _weights(options), options.activation)

    def names(self, options: TeacherOptions) -> tuple[str, str]:
        weights = _weights(options)
        is_file = Path(weights).suffix or Path(weights).is_file()
        return teacher_name(options.model), "file" if is_file else weights

    def shape(self, model: str) -> tuple[int, int] | None:
        return shape_of(model)

    def time_per_image(self, options: TeacherOptions) -> CallTime:
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
        encode = onnx_encoder(tower, size) if options.runtime == ONNX else tower

        def embed() -> None:
            encode(images)
            wait()

        with torch.inference_mode(), autocast(device, fast_precision(device)):
            return median_time(embed) / TIMED_BATCH


def _weights(options: TeacherOptions) -> str:
    return options.weights or default_weights(options.model)
