"""Training data of the demo teacher: frames of synthetic videos, and captions that match them; pure in the seed.

The seeds are disjoint from those of the synthetic videos that users generate.
"""

import io
import itertools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from embedonce.pipeline.labeling.prompts.templates import ACTION_PROMPTS
from embedonce.pipeline.processes.main_module import without_main
from embedonce.pipeline.processes.worker_signals import leave_to_parent
from embedonce.pipeline.sources.synthetic.plan import CLIPS_PER_VIDEO
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS
from embedonce.pipeline.sources.synthetic.scene.render import Scene, Station, action_at, make_scene, render

TRAIN, HELD_OUT = 1, 2  # disjoint streams of videos
FRAMES_PER_CLIP = 6  # of each training clip, at random times
HELD_OUT_FPS = 2  # the default of extract-teacher
JPEG_QUALITIES = (50, 96)  # of training frames, [low, high), to simulate video codecs and stored frames
HELD_OUT_QUALITY = 90
UNSPECIFIED = -1  # an attribute that a caption leaves open
NOT_VISIBLE = -2  # an attribute that a frame does not show: captions that specify it do not match

WORDINGS = (
    *ACTION_PROMPTS,
    "{name}",
    "first-person view: {name}",
    "a head-mounted camera sees how I {name}",
    "two hands at a table {name}",
)
STAGES = ("at the start", "half way", "near the end")
SLEEVES = ("red", "green", "blue")
_UNIFORM = ("stir pot", "shake bottle")  # actions that look the same from start to end
_REVERSED = {"close box": "open box"}  # the same frames in reverse order: one frame cannot distinguish the two


@dataclass(frozen=True)
class Captions:
    """texts: C captions; attributes (C, 3) int64: action, stage and sleeve color, or UNSPECIFIED."""

    texts: tuple[str, ...]
    attributes: np.ndarray


@dataclass(frozen=True)
class Frames:
    """jpegs: N JPEGs of 320x240 pixels; attributes (N, 3) int64: action, stage and sleeve color, or NOT_VISIBLE.

    labels (N,) int64: indices into ACTIONS; clips (N,) int64: index of the frame's clip in its stream.
    """

    jpegs: tuple[bytes, ...]
    attributes: np.ndarray
    labels: np.ndarray
    clips: np.ndarray

    def __len__(self) -> int:
        return len(self.jpegs)


def captions() -> Captions:
    """All captions: each wording of each action, with or without stage and sleeve color."""
    texts, attributes = [], []
    stages, sleeves = [(UNSPECIFIED, ""), *enumerate(STAGES)], [(UNSPECIFIED, ""), *enumerate(SLEEVES)]
    for action, article in itertools.product(ACTIONS, ("", "the ")):
        verb, _, name = action.rpartition(" ")
        for wording, (stage, when), (sleeve, color) in itertools.product(WORDINGS, stages, sleeves):
            if stage != UNSPECIFIED and action in _UNIFORM:
                continue
            text = wording.format(name=f"{verb} {article}{name}")
            worn = f"{color} sleeves" if color else ""
            texts.append(", ".join(part for part in (text, when, worn) if part))
            attributes.append(_attributes(action, stage, sleeve))
    return Captions(tuple(texts), np.array(attributes, np.int64))


def matches(captions: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Attributes of captions (C, 3) and frames (B, 3) -> (B, C) bool: whether a caption matches a frame."""
    return ((captions[None] == frames[:, None]) | (captions[None] == UNSPECIFIED)).all(-1)


def draw(seed: int, stream: int, num_videos: int, progress=None) -> Frames:
    """The frames of the first `num_videos` videos of a stream, drawn in one process per core.

    progress: its `update()` is called after every video. Equal arguments give equal frames.
    """
    context, workers = multiprocessing.get_context("spawn"), min(num_videos, os.cpu_count() or 1)
    drawn = []
    with ProcessPoolExecutor(workers, mp_context=context, initializer=leave_to_parent) as pool:
        with without_main():
            videos = pool.map(draw_video, *zip(*((seed, stream, i) for i in range(num_videos)), strict=True))
        for frames in videos:
            drawn.append(frames)
            if progress is not None:
                progress.update()
    return joined(drawn)


def joined(parts: list[Frames]) -> Frames:
    """The concatenation of these frames."""
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("attributes", "labels", "clips"))
    return Frames(tuple(jpeg for part in parts for jpeg in part.jpegs), *arrays)


def draw_video(seed: int, stream: int, index: int) -> Frames:
    """The frames of one video: at random times of each clip, or at HELD_OUT_FPS in the stream HELD_OUT."""
    rng = video_rng(seed, stream, index)
    labels = rng.permutation(len(ACTIONS))[:CLIPS_PER_VIDEO].tolist()
    scene = make_scene(rng, labels)
    jpegs, attributes, rows = [], [], []
    for number, (label, station) in enumerate(zip(labels, scene.stations, strict=True)):
        for t_sec in _times(rng, stream, station):
            quality = HELD_OUT_QUALITY if stream == HELD_OUT else int(rng.integers(*JPEG_QUALITIES))
            jpegs.append(_jpeg(render(scene, t_sec), quality))
            attributes.append(_visible(scene, station, t_sec))
            rows.append((label, index * CLIPS_PER_VIDEO + number))
    labels_and_clips = np.array(rows, np.int64).T
    return Frames(tuple(jpegs), np.array(attributes, np.int64), *labels_and_clips)


def video_rng(seed: int, stream: int, index: int) -> np.random.Generator:
    """The random generator of one video.

    Its five-word seed ends in (0, stream); those of generated data sets (sources.synthetic.plan) end in (1, index).
    """
    return np.random.Generator(np.random.PCG64([seed, index, 0, 0, stream]))


def _times(rng: np.random.Generator, stream: int, station: Station) -> list[float]:
    if stream == TRAIN:
        return rng.uniform(station.start_sec, station.end_sec, FRAMES_PER_CLIP).tolist()
    first, end = (int(np.ceil(t * HELD_OUT_FPS)) for t in (station.start_sec, station.end_sec))
    return [k / HELD_OUT_FPS for k in range(first, end)]


def _jpeg(rgb: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _visible(scene: Scene, station: Station, t_sec: float) -> tuple[int, int, int]:
    stage = min(len(STAGES) - 1, int(len(STAGES) * action_at(station, t_sec)[0].progress))
    visible_stage = NOT_VISIBLE if station.action in _UNIFORM else stage
    return _attributes(station.action, visible_stage, int(np.argmax(scene.arms.sleeve)))


def _attributes(action: str, stage: int, sleeve: int) -> tuple[int, int, int]:
    if action in _REVERSED:
        action, stage = _REVERSED[action], len(STAGES) - 1 - stage if stage >= 0 else stage
    return ACTIONS.index(action), stage, sleeve
