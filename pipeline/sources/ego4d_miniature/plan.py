"""What a miniature Ego4D holds: its videos by role and the clips cut from them, as a pure function of the seed.

Knows no pixels, no files and no labels. Frames are counted in the canonical video; a half, as in 45.5, is the time in
the middle of one.
"""

import hashlib
import uuid
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

FPS = 30
TICKS = 15360  # of a second: the time base of every mp4
LATE_START = 323  # ticks, 0.02103 s: sound begins that much earlier than the picture in many of Ego4D's videos
DATE = "240101 00:00:00"  # a constant, so that equal seeds give equal files
SIZES = {"full_scale": (180, 320), "video_540ss": (90, 160), "clips": (180, 320)}  # (height, width) of one eye


@dataclass(frozen=True)
class Window:
    """One annotation: [start_sec, end_sec) of a canonical video on its container's timeline; equal for a point.

    name: its class, None where it has none; split: train, val, test, None where no file says it, multi for
    narrations of a video that is in several; clip_uid: of the clip it was annotated in; trap: what is special here.
    """

    video_uid: str
    start_sec: float
    end_sec: float
    name: str | None
    split: str | None
    clip_uid: str | None = None
    trap: str = ""


@dataclass(frozen=True)
class VideoPlan:
    """One canonical video. num_frames: as annotated; file_frames: in the file on disk, 0 where there is none."""

    role: str
    uid: str
    num_frames: int
    file_frames: int
    split_em: str | None
    split_fho: str | None
    start_pts: int = 0
    is_stereo: bool = False
    redacted_frames: tuple[int, int] | None = None  # half open; shown black
    is_veiled: bool = False  # ego4d.json says that it has redacted regions, and not where
    split_goalstep: str | None = None

    @property
    def start_sec(self) -> float:
        """video_start_sec: when the first frame is shown."""
        return self.start_pts / TICKS

    @property
    def duration_sec(self) -> float:
        """Of the picture as annotated, without what comes before it."""
        return self.num_frames / FPS

    def sec(self, frame: float) -> float:
        """When the frame of this number begins, on the container's timeline, correctly rounded."""
        return float(Fraction(self.start_pts, TICKS) + Fraction(frame) / FPS)


@dataclass(frozen=True)
class ClipPlan:
    """The frames [start_frame, end_frame) of a video, annotated for one benchmark ("EM" or "FHO")."""

    uid: str | None  # None: an interval of FHO of which no clip was exported
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
        """The canonical numbers of the frames in the clip's file; empty where there is no file."""
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
    """A finished folder. videos, clips: as in Plan; windows: by kind, in no order that a reader must keep.

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


_VIDEOS = {  # role: frames annotated, frames in the file, split_em, split_fho, anything special
    "plain": (330, 330, "train", "train", {"split_goalstep": "train"}),
    "multi": (330, 330, "val", "multi", {}),
    "offset": (300, 300, "train", "train", {"start_pts": LATE_START, "split_goalstep": "train"}),
    "stereo": (300, 300, "val", "val", {"is_stereo": True, "split_goalstep": "val"}),
    "redacted": (300, 300, "val", "train", {"redacted_frames": (120, 165)}),
    "absent": (300, 0, "train", "train", {}),
    "short": (330, 240, "val", "val", {}),
    "test": (300, 300, "test", "test", {"split_goalstep": "test"}),
    "bare": (90, 90, None, None, {}),
    "veiled": (60, 60, "val", "val", {"is_veiled": True}),
}
_CLIPS = {  # start and end frame, and the split; None: FHO's interval without a clip, whose split no file says
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
    """The same videos, clips and times for every seed, under other uids, and so in another order of them."""
    videos, clips = {}, {}
    for role, (*numbers, special) in _VIDEOS.items():
        videos[role] = VideoPlan(role, make_uid(seed, role), *numbers, **special)
    for clip_id, (key, (start, end, split)) in enumerate(_CLIPS.items(), 1):
        benchmark, role, _ = key.split(":")
        uid = None if split is None else make_uid(seed, key)
        clips[key] = ClipPlan(uid, clip_id, videos[role], benchmark, start, end, split)
    return Plan(seed, videos, clips)


def make_uid(seed: int, name: str) -> str:
    """A uuid4 that is the same for equal arguments."""
    digest = hashlib.sha256(f"ego4d miniature {seed}: {name}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def fho_frame(video: VideoPlan, sec: float) -> int:
    """The frame that FHO's files and narrations name for a time."""
    return round((sec - video.start_sec) * FPS)


def em_frame(sec: float) -> int:
    """The frame that moments files name for a time: it disregards when the video starts."""
    return round(sec * FPS)
