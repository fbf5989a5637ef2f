"""From the sampled frames of one source to predictions: each frame is encoded once, each window classified once."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.frames.clip_frames import segment_centers
from embedonce.pipeline.predict.model import Model
from embedonce.pipeline.predict.prediction import Prediction
from embedonce.pipeline.predict.sampled_frames import End, Sampled
from embedonce.pipeline.predict.scoring import Scorer, ScoreSettings
from embedonce.pipeline.predict.window_buffer import Window, WindowBuffer


@dataclass(frozen=True)
class Windows:
    """length, stride: seconds. fps: sampling times per second; None: irregular ones. is_live: see WindowBuffer."""

    length: float
    stride: float
    fps: float | None
    is_live: bool = False


def predictions(
    model: Model, samples: Iterator[Sampled | End], source: str, windows: Windows, scores: ScoreSettings, batch: int = 1
) -> Iterator[Prediction]:
    """The predictions of one source, each as soon as its window is complete. batch: frames encoded together."""
    buffer = WindowBuffer(windows.length, windows.stride, windows.fps, windows.is_live)
    scorer = Scorer(model.facts.classes, scores)
    for group in _batches(samples, batch):
        frames = [one for one in group if isinstance(one, Sampled)]
        for window in _added(buffer, frames, _encoded(model, frames)):
            yield _predicted(model, scorer, window, source, frames[-1].arrived)
        if isinstance(group[-1], End):
            for window in buffer.finish(group[-1].time):
                yield _predicted(model, scorer, window, source, None)


def _batches(samples: Iterator[Sampled | End], size: int) -> Iterator[tuple[Sampled | End, ...]]:
    while batch := tuple(itertools.islice(samples, size)):
        yield batch


def _encoded(model: Model, frames: list[Sampled]) -> list[np.ndarray | None]:
    """The features (D,) of each frame; None for lost ones."""
    images = [frame.image for frame in frames if frame.image is not None]
    if not images:
        return [None] * len(frames)
    features = iter(model.encode(np.stack(images)))
    return [None if frame.image is None else next(features) for frame in frames]


def _added(buffer: WindowBuffer, frames: list[Sampled], features: list[np.ndarray | None]) -> Iterator[Window]:
    for frame, feature in zip(frames, features, strict=True):
        for second in frame.times:
            yield from buffer.add(second, feature)


def _predicted(model: Model, scorer: Scorer, window: Window, source: str, arrived: float | None) -> Prediction:
    """The prediction of a window. arrived: of a live source's last frame, by time.monotonic()."""
    if not window.is_sufficient:
        scorer.skip()
        reason = f"{len(window.times)} of {window.num_expected} frames could be used"
        if not window.num_expected:
            reason = "it is too short: no frame is sampled in it"
        return Prediction(source, window.start, window.end, None, None, (), len(window.times), reason)
    at = segment_centers(len(window.times), min(model.facts.frames_per_clip, len(window.times)))
    logits = model.classify(window.features[at], window.times[at] - window.start)
    scored = scorer(logits)
    return Prediction(
        source,
        window.start,
        window.end,
        scored.label,
        scored.probability,
        scored.top,
        num_frames=len(window.times),
        reason=scored.reason,
        latency_ms=None if arrived is None else 1000 * (time.monotonic() - arrived),
    )
