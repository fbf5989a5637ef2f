"""Where videos and labelled clips come from, as plain data, and the folder source.

Knows paths and names; opens no video. The Ego4D and synthetic sources live beside it.
"""

from dataclasses import dataclass
from pathlib import Path

UNLABELLED = -1


@dataclass(frozen=True)
class Video:
    """One video file. source is its path relative to the data folder, with forward slashes."""

    uid: str
    path: Path
    source: str


@dataclass(frozen=True)
class Clip:
    """A labelled window [start_sec, end_sec) of one video, in seconds on the container's timeline.

    end_sec may be inf: to the end of the video. label indexes Source.classes, or is UNLABELLED.
    """

    clip_id: str
    video_uid: str
    start_sec: float
    end_sec: float
    label: int
    split: str  # "train", "val" or "test"


@dataclass(frozen=True)
class Source:
    """Everything a data folder offers: videos, clips over them, class names, and what was left out and why."""

    root: Path
    kind: str  # "folder" or "ego4d"
    videos: tuple[Video, ...]
    clips: tuple[Clip, ...]
    classes: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...] = ()  # (name, reason): listed, counted and never decoded
    notes: tuple[str, ...] = ()
