"""Example clips: thumbnails of cached frames, with their labels and the predictions of both models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.clips.sampling import choose_frames
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.metrics.accuracy import most_likely
from embedonce.pipeline.reporting.html.markup import percent, thumbnail

THUMBNAIL = (150, 112)  # width and height in pixels, at most
MAX_FRAMES, TOP_K = 4, 3

Guesses = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Example:
    """One clip: a window [start_sec, end_sec) of a video, its labels and the most likely classes.

    is_judged: whether the most likely class is right or wrong: not if the clip may have several labels, or has none.

    teacher, student: (class, probability), most likely first. frames: (seconds since the video's start, <img> markup).
    """

    video_uid: str
    start_sec: float
    end_sec: float
    labels: tuple[int, ...]
    is_judged: bool
    teacher: Guesses
    student: Guesses
    frames: tuple[tuple[float, str], ...]


def example(dataset: ClipDataset, predictions: Predictions, index: int) -> Example:
    """The clip at this position of dataset and predictions. DamagedError if its frames cannot be read."""
    clip = dataset.clips[index]
    return Example(
        video_uid=clip.video_uid,
        start_sec=clip.start_sec,
        end_sec=clip.end_sec,
        labels=clip.all_labels,
        is_judged=clip.label >= 0,
        teacher=most_likely(predictions.teacher_logits[index], TOP_K),
        student=most_likely(predictions.logits[index], TOP_K),
        frames=tuple(_frames(dataset, index)),
    )


def cards(examples: Sequence[Example], classes: Sequence[str]) -> str:
    """The clips as a grid of cards."""
    return f'<div class="cards">{"".join(_card(shown, classes) for shown in examples)}</div>'


def _frames(dataset: ClipDataset, index: int) -> Iterator[tuple[float, str]]:
    """At most MAX_FRAMES evenly spread frames of the clip: (seconds, <img> markup)."""
    clip = dataset.clips[index]
    timeline = dataset.reader.timeline(clip.video_uid)
    window = timeline.window(clip.start_sec, clip.end_sec)
    spread = replace(dataset.sampling, frames_per_clip=MAX_FRAMES, random=False)
    for place in choose_frames(np.arange(window.start, window.stop), spread, 0, index):
        jpeg = dataset.reader.frames(timeline.unit[place]).jpeg(int(timeline.row[place]))
        image = canonical_frame.decode_jpeg(jpeg, dataset.reader.identity.canonical_short_side)
        t_sec = float(timeline.t_sec[place])
        yield t_sec, thumbnail(image, THUMBNAIL, f"frame of {clip.video_uid} at {t_sec:.2f} s")


def _card(shown: Example, classes: Sequence[str]) -> str:
    label = escape(", ".join(classes[label] for label in shown.labels)) or "none"
    times = f"{shown.start_sec:.2f} to {shown.end_sec:.2f} s"
    figures = "".join(f"<figure>{image}<figcaption>{t:.2f} s</figcaption></figure>" for t, image in shown.frames)
    lists = _guess_list("teacher", shown.teacher, shown, classes) + _guess_list(
        "student", shown.student, shown, classes
    )
    return (
        f'<article class="card"><h4>label: {label}</h4><div class="frames">{figures}</div>'
        f'<div class="faint"><small>{escape(shown.video_uid)}, {times}</small></div>'
        f'<div class="guesses">{lists}</div></article>'
    )


def _guess_list(model: str, predicted: Guesses, shown: Example, classes: Sequence[str]) -> str:
    if not predicted:
        return f"<div><b>{model}</b> has no class logits</div>"
    verdict = " ✓ right" if predicted[0][0] in shown.labels else " ✗ wrong"
    right = ' class="true"'
    lines = "".join(
        f"<li{right if c in shown.labels else ''}><span>{escape(classes[c])}</span><span>{percent(p)}</span></li>"
        for c, p in predicted
    )
    return f"<div><b>{model}{verdict if shown.is_judged else ''}</b><ol>{lines}</ol></div>"
