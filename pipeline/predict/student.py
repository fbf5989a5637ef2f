"""A trained student, for predictions from Python: of video files, streams, cameras and arrays of frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from embedonce.cache.limits import brief
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME, Calibration, read_calibration
from embedonce.pipeline.predict.array_frames import array_frames, checked_image
from embedonce.pipeline.predict.frame_images import from_array
from embedonce.pipeline.predict.model import Model, ModelFacts
from embedonce.pipeline.predict.opened_source import FILE_BATCH, CameraOpener, OpenedSource, Reading
from embedonce.pipeline.predict.prediction import Prediction
from embedonce.pipeline.predict.scoring import ScoreSettings
from embedonce.pipeline.predict.settings import AUTO, PredictConfig
from embedonce.pipeline.predict.source_names import SourceName, source_names
from embedonce.pipeline.predict.windows import Windows, predictions
from embedonce.pipeline.video.live import open_camera


@dataclass(frozen=True)
class PredictOptions:
    """fps: frames per second that are embedded. window, stride: seconds. None: as in training, windows side by side.

    top: classes to list. threshold: least probability of a label, or "auto": those of the calibration, if there is
    one. smoothing: weight, below 1, of the previous windows in a moving average of probabilities; 0: none.
    max_seconds: to read of each source. stall_timeout: seconds without a frame after which a live source is given up.
    ValueError for values that the command refuses.
    """

    fps: float | None = None
    window: float | None = None
    stride: float | None = None
    top: int = 3
    threshold: float | str = AUTO
    smoothing: float = 0.0
    max_seconds: float | None = None
    stall_timeout: float = 10.0

    def __post_init__(self):
        PredictConfig.check_values(vars(self))


class Student:
    """A student that can be run. calibration: temperature and thresholds that evaluate fitted; None without."""

    def __init__(self, model: Model, calibration: Calibration | None = None):
        self._model, self.calibration = model, calibration

    @classmethod
    def load(
        cls,
        path: Path | str,
        calibration: Path | str | None = None,
        cache_dir: Path | str | None = None,
        device: str = "auto",
    ) -> "Student":
        """The student of a checkpoint, or of a folder that export-student made, which needs no torch.

        calibration: its file; None: calibration.json next to the checkpoint or in the folder, if there is one.
        cache_dir: the cache it was trained from, for checkpoints that do not record how frames were prepared.
        InputError and CheckpointError, in one sentence, for what cannot be used.
        """
        path = Path(path)
        if path.is_dir():
            from embedonce.pipeline.predict.exported_model import exported_model

            model: Model = exported_model(path, device)
        else:
            from embedonce.pipeline.predict.checkpoint_model import checkpoint_model

            model = checkpoint_model(path, cache_dir, device)
        beside = (path if path.is_dir() else path.parent) / CALIBRATION_NAME
        if calibration is None and not beside.exists():
            return cls(model)
        return cls(model, _calibration_of(model.facts, Path(calibration or beside)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of logits; empty if it was trained without classes."""
        return self._model.facts.classes

    def embed(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """(N, D) float32 of unit length, in the teacher's space. images: N > 0 upright (H, W, 3) uint8 RGB arrays."""
        made = [from_array(checked_image(image), self._model.facts.preprocessing) for image in images]
        if not made:
            raise ValueError("embed() needs at least one image")
        groups = [np.stack(made[at : at + FILE_BATCH]) for at in range(0, len(made), FILE_BATCH)]
        features = np.concatenate([self._model.encode(group) for group in groups])
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

    def predict(
        self,
        source: str | Path | np.ndarray,
        times: Sequence[float] | None = None,
        camera: CameraOpener = open_camera,
        **options: Any,
    ) -> Iterator[Prediction]:
        """Predictions of each window of a source, as soon as it is complete.

        source: a video file or a folder of videos, an http://, https:// or rtsp:// URL, a camera ("camera:0"), or
        (N, H, W, 3) uint8 RGB frames, of which `times` are the (N,) seconds. camera: opens cameras, in place of the
        system's. options: of PredictOptions. InputError for a student without classes and for what cannot be read.
        """
        chosen = PredictOptions(**options)
        self.check_classes()
        if isinstance(source, np.ndarray):
            frames = array_frames(source, times, self._model.facts.preprocessing)
            yield from self.run(OpenedSource(frames, FILE_BATCH, is_sampled=False), "array", chosen)
            return
        for name in source_names((str(source),)):
            yield from self.run(self.open(name, chosen, camera), name.shown, chosen)

    def check_classes(self) -> None:
        """InputError if the student was trained without classes."""
        if not self.classes:
            raise InputError(
                "the student was trained without classes, so that it has embeddings but no predictions: train one on a "
                "label set with classes (relabel adds one to a cache), or use Student.embed() from Python"
            )

    def open(self, name: SourceName, options: PredictOptions, camera: CameraOpener = open_camera) -> OpenedSource:
        """A source for run(). Errors as Reading.open()."""
        reading = Reading(
            self._model.facts.preprocessing, self._fps(options), options.max_seconds, options.stall_timeout, camera
        )
        return reading.open(name)

    def run(self, source: OpenedSource, name: str, options: PredictOptions) -> Iterator[Prediction]:
        """The predictions of an opened source. VideoError if it cannot be decoded; LiveError if it breaks off."""
        length = options.window or self._model.facts.preprocessing.clip_seconds
        fps = self._fps(options) if source.is_sampled else None
        windows = Windows(length, options.stride or length, fps, source.live is not None)
        return predictions(self._model, source.frames, name, windows, self._scores(options), source.batch)

    def _fps(self, options: PredictOptions) -> float | None:
        return options.fps or self._model.facts.preprocessing.frames_per_second

    def _scores(self, options: PredictOptions) -> ScoreSettings:
        fitted, given = self.calibration, options.threshold
        settings = ScoreSettings(self._model.facts.multi_label, smoothing=options.smoothing, top=options.top)
        if fitted is not None:
            settings = replace(
                settings,
                temperature=fitted.temperature / self._model.facts.temperature,  # the rest of it
                thresholds=fitted.thresholds,
                default_threshold=fitted.default_threshold,
            )
        if isinstance(given, str):
            return settings
        return replace(settings, thresholds={}, default_threshold=float(given))


def _calibration_of(facts: ModelFacts, path: Path) -> Calibration:
    """The calibration in this file. CheckpointError if it was fitted to another checkpoint or classes."""
    calibration = read_calibration(path)
    unknown = next((name for name in calibration.thresholds if name not in facts.classes), None)
    if facts.checkpoint_sha256 != calibration.checkpoint_sha256:
        raise CheckpointError(
            f"{path} is the calibration of another checkpoint; evaluate this one again, give its file with "
            "--calibration, or move that file away"
        )
    if unknown is not None:
        raise CheckpointError(f"{path} has a threshold of {brief(unknown)}, which is no class of this student")
    if calibration.multi_label != facts.multi_label:
        raise CheckpointError(f"{path} is not a calibration of this student: multi_label differs; evaluate again")
    return calibration
