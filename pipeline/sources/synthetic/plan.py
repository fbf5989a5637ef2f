"""Plans the videos of a synthetic data set (uids, splits, labels, times) as a pure function of its parameters."""

import hashlib
import logging
import uuid
from dataclasses import asdict, dataclass

import numpy as np

from embedonce.pipeline.sources.synthetic.scene.render import Scene, Station, make_scene, make_stations

log = logging.getLogger(__name__)

GENERATOR_VERSION = 1  # incremented with any change of pixels, times or labels
CLIPS_PER_VIDEO = 6
VAL_FRACTION = 0.25  # of the videos
FPS = 10


@dataclass(frozen=True)
class Parameters:
    """Everything that determines the content of a synthetic data set."""

    num_samples: int
    num_actions: int
    seed: int
    generator_version: int = GENERATOR_VERSION

    def rng(self, *index: int) -> np.random.Generator:
        """A random generator for each index, equal in every process."""
        return np.random.Generator(np.random.PCG64([self.seed, *index]))

    def uid(self, name: str) -> str:
        """A uid in Ego4D's format (uuid4) for a named item of this data set."""
        text = f"{name}:" + ":".join(f"{key}={value}" for key, value in asdict(self).items())
        return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))


@dataclass(frozen=True)
class VideoPlan:
    """One video with num_frames frames at FPS. labels: indices into ACTIONS, one for each station."""

    parameters: Parameters
    index: int
    uid: str
    split: str  # "train" or "val"
    labels: tuple[int, ...]
    stations: tuple[Station, ...]
    num_frames: int

    @property
    def duration_sec(self) -> float:
        return self.num_frames / FPS

    def scene(self) -> Scene:
        """What the video shows."""
        return make_scene(self.parameters.rng(1, self.index), self.labels)


def plan_videos(parameters: Parameters) -> tuple[VideoPlan, ...]:
    """All videos. Within a split, the numbers of clips per class differ by at most one."""
    rng = parameters.rng(0)
    sizes = [
        min(CLIPS_PER_VIDEO, parameters.num_samples - first)
        for first in range(0, parameters.num_samples, CLIPS_PER_VIDEO)
    ]
    num_val = max(1, round(VAL_FRACTION * len(sizes)))
    held_out = {int(index) for index in rng.permutation(len(sizes))[:num_val]}
    splits = ["val" if index in held_out else "train" for index in range(len(sizes))]
    labels = {}
    for split in ("train", "val"):
        num_clips = sum(size for size, name in zip(sizes, splits, strict=True) if name == split)
        if num_clips < parameters.num_actions:
            log.warning("%d %s clips are too few for %d classes", num_clips, split, parameters.num_actions)
        labels[split] = _shuffled_round_robin(rng, num_clips, parameters.num_actions)
    videos = []
    for index, (size, split) in enumerate(zip(sizes, splits, strict=True)):
        chosen, labels[split] = labels[split][:size], labels[split][size:]
        videos.append(_plan_video(parameters, index, split, tuple(chosen)))
    return tuple(videos)


def _plan_video(parameters: Parameters, index: int, split: str, labels: tuple[int, ...]) -> VideoPlan:
    stations, duration_sec = make_stations(parameters.rng(1, index), labels)
    uid = parameters.uid(f"video {index}")
    return VideoPlan(parameters, index, uid, split, labels, stations, round(duration_sec * FPS))


def _shuffled_round_robin(rng: np.random.Generator, count: int, num_actions: int) -> list[int]:
    """count labels: all classes in random order, then all classes again, and so on."""
    rounds = [rng.permutation(num_actions).tolist() for _ in range(-(-count // num_actions))]
    return [label for one in rounds for label in one][:count]
