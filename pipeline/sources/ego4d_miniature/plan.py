"""The videos of a miniature Ego4D by role, and the clips cut from them, as a pure function of the seed.

Frames are numbered in the canonical video; a half, as in 45.5, is the time in the middle of a frame.
"""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

FPS = 30
TICKS = 15360  # per second: the time base of every mp4
LATE_START = 323  # ticks, 0.02103 s: in many videos of Ego4D, sound begins this much before the picture
DATE = "240101 00:00:00"  # constant, so that equal seeds give equal files
SIZES = {"full_scale": (180, 320), "video_540ss": (90, 160), "clips": (180, 320)}  # (height, width) of one eye


@dataclass(frozen=True)
class Window:
    """The expected result for one annotation: [start_sec, end_sec) on the container's timeline; equal for a point.

    name: its class, or None; split: train, val, test, or None if no file assigns one; clip_uid: the clip in which it
    was annotated; case: what is special about it.
    """

    video_uid: str
    start_sec: float
    end_sec: float
    name: str | None
    split: str | None
    clip_uid: str | None = None
    case: str = ""


@dataclass(frozen=True)
class VideoPlan:
    """One canonical video. num_frames: as annotated; file_frames: in the file on disk, 0 if there is no file."""

    role: str
    uid: str
    num_frames: int
    file_frames: int
    split_em: str | None
    split_fho: str | None
    start_pts: int = 0
    is_stereo: bool = False
    redacted_frames: tuple[int, int] | None = None  # half-open; shown black
    has_unlisted_redactions: bool = False  # ego4d.json marks it as redacted, but lists no interval
    split_goalstep: str | None = None

    @property
    def start_sec(self) -> float:
        """video_start_sec: when the first frame is shown, in seconds."""
        return self.start_pts / TICKS

    @property
    def duration_sec(self) -> float:
        """The annotated duration of the picture, from its first frame on."""
        return self.num_frames / FPS

    def sec(self, frame: float) -> float:
        """When a frame begins on the container's timeline, correctly rounded."""
        return float(Fraction(self.start_pts, TICKS) + Fraction(frame) / FPS)


@dataclass(frozen=True)
class ClipPlan:
    """The frames [start_frame, end_frame) of a video, annotated for one benchmark ("EM" or "FHO")."""

    uid: str | None  # None: an FHO interval that was not exported as a clip
    clip_id: int
    video: VideoPlan
    benchmark: str
    start_frame: int
    end_frame: int
    split: str | None

    @property
    def start_sec(self) -> float:
        return self.video.sec(self.start_frame)

    @property
    def end_sec(self) -> float:
        return self.video.sec(self.end_frame)

    @property
    def file_frames(self) -> range:
        """The canonical numbers of the frames in the clip's file; empty if there is no file."""
        return range(self.start_frame, min(self.end_frame, self.video.file_frames) if self.uid else self.start_frame)


@dataclass(frozen=True)
class Plan:
    """videos: by role; clips: by "EM:<role>:<index>" or "FHO:<role>:<index>"."""

    seed: int
    videos: dict[str, VideoPlan]
    clips: dict[str, ClipPlan]

    def uid(self, name: str) -> str:
        return make_uid(self.seed, name)


@dataclass(frozen=True)
class Miniature:
    """A complete folder. videos, clips: as in Plan; windows: expected results by kind, in any order.

    Kinds: moments, fho_verbs, fho_nouns, lta_verbs, lta_nouns, oscc, goalstep, narrations, all_narrations.
    """

    root: Path
    layout: str
    seed: int
    videos: dict[str, VideoPlan]
    clips: dict[str, ClipPlan]
    windows: dict[str, tuple[Window, ...]]
    fps: int = FPS

    @property
    def uids(self) -> dict[str, str]:
        """The uid of each video by its role."""
        return {role: video.uid for role, video in self.videos.items()}


def _videos(seed: int) -> Iterator[VideoPlan]:
    def video(role: str, num_frames: int, file_frames: int, em: str | None, fho: str | None, **special) -> VideoPlan:
        return VideoPlan(role, make_uid(seed, role), num_frames, file_frames, em, fho, **special)

    yield video("plain", 330, 330, "train", "train", split_goalstep="train")
    yield video("multi", 330, 330, "val", "multi")
    yield video("offset", 300, 300, "train", "train", start_pts=LATE_START, split_goalstep="train")
    yield video("stereo", 300, 300, "val", "val", is_stereo=True, split_goalstep="val")
    yield video("redacted", 300, 300, "val", "train", redacted_frames=(120, 165))
    yield video("absent", 300, 0, "train", "train")
    yield video("short", 330, 240, "val", "val")
    yield video("test", 300, 300, "test", "test", split_goalstep="test")
    yield video("bare", 90, 90, None, None)
    yield video("veiled", 60, 60, "val", "val", has_unlisted_redactions=True)


_CLIPS = {  # start frame, end frame, split; None: an FHO interval without a clip, to which no file assigns a split
    "EM:plain:0": (0, 180, "train"),
    "EM:plain:1": (180, 330, "train"),
    "EM:multi:0": (0, 150, "val"),
    "EM:multi:1": (190, 330, "val"),
    "EM:offset:0": (0, 300, "train"),
    "EM:stereo:0": (30, 300, "val"),
    "EM:redacted:0": (0, 300, "val"),
    "EM:absent:0": (0, 300, "train"),
    "EM:short:0": (0, 330, "val"),
    "EM:test:0": (15, 285, "test"),
    "FHO:plain:0": (0, 330, "train"),
    "FHO:multi:0": (0, 165, "train"),
    "FHO:multi:1": (165, 330, "val"),
    "FHO:offset:0": (15, 225, "train"),
    "FHO:offset:1": (225, 300, None),
    "FHO:stereo:0": (0, 300, "val"),
    "FHO:redacted:0": (0, 300, "train"),
    "FHO:absent:0": (0, 300, "train"),
    "FHO:short:0": (0, 330, "val"),
    "FHO:test:0": (0, 300, "test"),
}


def make_plan(seed: int) -> Plan:
    """The same videos, clips and times for every seed; the uids, and so the order of the videos, differ."""
    videos = {video.role: video for video in _videos(seed)}
    clips: dict[str, ClipPlan] = {}
    for clip_id, (key, (start, end, split)) in enumerate(_CLIPS.items(), 1):
        benchmark, role, _ = key.split(":")
        uid = None if split is None else make_uid(seed, key)
        clips[key] = ClipPlan(uid, clip_id, videos[role], benchmark, start, end, split)
    return Plan(seed, videos, clips)


def make_uid(seed: int, name: str) -> str:
    """A uuid4 derived from the arguments."""
    digest = hashlib.sha256(f"ego4d miniature {seed}: {name}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def fho_frame(video: VideoPlan, sec: float) -> int:
    """The number that FHO files and narrations give the frame at a time."""
    return round((sec - video.start_sec) * FPS)


def em_frame(sec: float) -> int:
    """The number that Moments files give the frame at a time; it ignores when the video starts."""
    return round(sec * FPS)
