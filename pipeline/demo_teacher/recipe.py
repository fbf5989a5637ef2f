"""What the demo teacher learns from: synthetic frames that no user's data set holds, and captions true of them.

A pure function of the seed. Knows scenes and words; knows no model and writes no file.
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
from embedonce.pipeline.processes.worker_signals import leave_to_parent
from embedonce.pipeline.sources.synthetic.plan import CLIPS_PER_VIDEO
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS
from embedonce.pipeline.sources.synthetic.scene.render import Scene, Station, action_at, make_scene, render

TRAIN, HELD_OUT = 1, 2  # streams of videos that have nothing in common
FRAMES_PER_CLIP = 6  # drawn of each training clip, at random times
HELD_OUT_FPS = 2  # as extract-teacher takes them
JPEG_QUALITIES = (50, 96)  # of training frames, [low, high): what video codecs and stored frames do to pixels
HELD_OUT_QUALITY = 90
UNSAID = -1  # a fact that a caption leaves open
UNSEEN = -2  # a fact that a frame does not show: no caption that says it is true

WORDINGS = (
    *ACTION_PROMPTS,
    "{name}",
    "first-person view: {name}",
    "a head-mounted camera sees how I {name}",
    "two hands at a table {name}",
)
STAGES = ("at the start", "half way", "near the end")
SLEEVES = ("red", "green", "blue")
_STEADY = ("stir pot", "shake bottle")  # actions that look alike from start to end
_BACKWARDS = {"close box": "open box"}  # the same frames in reverse order: a still frame is as true of both


@dataclass(frozen=True)
class Captions:
    """texts: C captions; facts (C, 3) int64: action, stage and sleeves, UNSAID where a caption leaves one open."""

    texts: tuple[str, ...]
    facts: np.ndarray


@dataclass(frozen=True)
class Frames:
    """jpegs: N frames of 320x240 in JPEG; facts (N, 3) int64 as in Captions, UNSEEN where a frame does not show one.

    labels (N,) int64: indices of ACTIONS; clips (N,) int64: which clip of its stream a frame is of.
    """

    jpegs: tuple[bytes, ...]
    facts: np.ndarray
    labels: np.ndarray
    clips: np.ndarray

    def __len__(self) -> int:
        return len(self.jpegs)


def captions() -> Captions:
    """Every caption that the recipe can say: each wording of each action, with or without stage and sleeves."""
    texts, facts = [], []
    stages, sleeves = [(UNSAID, ""), *enumerate(STAGES)], [(UNSAID, ""), *enumerate(SLEEVES)]
    for action, article in itertools.product(ACTIONS, ("", "the ")):
        verb, _, name = action.rpartition(" ")
        for wording, (stage, when), (sleeve, color) in itertools.product(WORDINGS, stages, sleeves):
            if stage != UNSAID and action in _STEADY:
                continue
            text = wording.format(name=f"{verb} {article}{name}")
            worn = f"{color} sleeves" if color else ""
            texts.append(", ".join(part for part in (text, when, worn) if part))
            facts.append(_facts(action, stage, sleeve))
    return Captions(tuple(texts), np.array(facts, np.int64))


def true_of(captions: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """(B, C) bool: whether each of C captions is true of each of B frames. Facts: captions (C, 3), frames (B, 3)."""
    return ((captions[None] == frames[:, None]) | (captions[None] == UNSAID)).all(-1)


def draw(seed: int, stream: int, num_videos: int, progress=None) -> Frames:
    """The frames of the first videos of a stream, drawn in as many processes as there are cores.

    progress: has `update()`, called for every video. Equal arguments give equal frames.
    """
    context, workers = multiprocessing.get_context("spawn"), min(num_videos, os.cpu_count() or 1)
    drawn = []
    with ProcessPoolExecutor(workers, mp_context=context, initializer=leave_to_parent) as pool:
        for frames in pool.map(draw_video, *zip(*((seed, stream, i) for i in range(num_videos)), strict=True)):
            drawn.append(frames)
            if progress is not None:
                progress.update()
    return joined(drawn)


def joined(parts: list[Frames]) -> Frames:
    """All frames of these, in order."""
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("facts", "labels", "clips"))
    return Frames(tuple(jpeg for part in parts for jpeg in part.jpegs), *arrays)


def draw_video(seed: int, stream: int, index: int) -> Frames:
    """The frames of one video: at random times of each clip, or in HELD_OUT at those that extraction takes."""
    rng = video_rng(seed, stream, index)
    labels = rng.permutation(len(ACTIONS))[:CLIPS_PER_VIDEO].tolist()
    scene = make_scene(rng, labels)
    jpegs, facts, rows = [], [], []
    for number, (label, station) in enumerate(zip(labels, scene.stations, strict=True)):
        for t_sec in _times(rng, stream, station):
            quality = HELD_OUT_QUALITY if stream == HELD_OUT else int(rng.integers(*JPEG_QUALITIES))
            jpegs.append(_jpeg(render(scene, t_sec), quality))
            facts.append(_seen(scene, station, t_sec))
            rows.append((label, index * CLIPS_PER_VIDEO + number))
    labels_and_clips = np.array(rows, np.int64).T
    return Frames(tuple(jpegs), np.array(facts, np.int64), *labels_and_clips)


def video_rng(seed: int, stream: int, index: int) -> np.random.Generator:
    """Of one video's own. Five words: a user's data set (synthetic_plan) ends its seeds in (1, index), never (0, s)."""
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


def _seen(scene: Scene, station: Station, t_sec: float) -> tuple[int, int, int]:
    stage = min(len(STAGES) - 1, int(len(STAGES) * action_at(station, t_sec)[0].progress))
    return _facts(station.action, UNSEEN if station.action in _STEADY else stage, int(np.argmax(scene.arms.sleeve)))


def _facts(action: str, stage: int, sleeve: int) -> tuple[int, int, int]:
    if action in _BACKWARDS:
        action, stage = _BACKWARDS[action], len(STAGES) - 1 - stage if stage >= 0 else stage
    return ACTIONS.index(action), stage, sleeve
