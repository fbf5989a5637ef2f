"""The content of a cache as plain frozen data, shared by all stages. docs/cache-format.md describes it."""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

FORMAT_VERSION = 1
FORMAT_VERSION_2 = 2  # of documents with content that readers of version 1 would miss or misunderstand
MAX_UID_LENGTH = 119  # a key is <uid>_<8 digits> and at most 128 characters long
UID_PATTERN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_UID_LENGTH - 1}}}")
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
FINGERPRINT_PATTERN = re.compile(r"(?:[0-9a-f]{64})?")
UNIT_PATTERN = re.compile(r"[0-9]{6,12}")
VIEW_FIELDS = ("top", "left", "height", "width", "flags", "interpolation")
FLAG_HFLIP = 1
SAMPLINGS = ("fps", "keyframe", "snap")
DEFAULT_VIEW_AREA = 0.35
MAX_TIME_BASE = 2**31 - 1  # of numerator and denominator, as in FFmpeg
RESIZE_MODES = ("shortest", "squash")
TIME_TOLERANCE_SEC = 1e-6  # times that differ by less are equal: annotations are rounded, at worst to 7 decimals
# In place of a planned row: the video shows nothing then; the time is redacted; the frame is missing from the file.
NO_FRAME, REDACTED, LOST = -1, -2, -3
INTERPOLATIONS = {"bilinear": 2, "bicubic": 3}  # Pillow's codes


class Status(IntEnum):
    """The outcome of one requested time."""

    OK = 0
    CORRUPT = 1
    REDACTED = 2
    MISSING = 3
    RESHAPED = 4  # a frame was decoded, but its upright shape differs from that of the video's rows


@dataclass(frozen=True)
class TeacherIdentity:
    """What identifies a teacher. Caches with equal fields hold interchangeable embeddings."""

    name: str
    weights: str  # an open_clip tag, "file", "random", or the tag of shipped weights
    weights_sha256: str  # over the tensors' contents
    activation: str  # "quickgelu" or "gelu"
    input_size: int  # pixels; the input is square
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str  # a key of INTERPOLATIONS
    resize_mode: str  # "shortest": center crop; "squash": the whole frame, made square
    embed_dim: int
    parameters_image: int
    parameters_total: int
    bytes_image: int
    bytes_total: int
    crop_fraction: float = 1.0  # side of the evaluation crop, as a fraction of what resize_mode keeps
    window: int = 1  # consecutive rows of a video that one embedding is computed from
    window_stride: int = 1  # rows from one window to the next; 1 unless it embeds windows

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of what one embedding is computed from: (S, S, 3), or (T, S, S, 3) of a window of T frames."""
        frame = (self.input_size, self.input_size, 3)
        return frame if self.window == 1 else (self.window, *frame)

    @property
    def input_bytes(self) -> int:
        """The bytes of what one embedding is computed from, uint8."""
        return 3 * self.input_size**2 * self.window


@dataclass(frozen=True)
class CacheIdentity:
    """Everything that must be equal for rows to live in one cache."""

    format_version: int
    backend: str
    teacher: TeacherIdentity
    canonical_short_side: int  # pixels
    jpeg_quality: int
    num_views: int  # stored random views besides view 0
    view_seed: int  # of new boxes; stored boxes never depend on it
    decoder: str
    sampling: str  # one of SAMPLINGS
    fps: float | None  # None for key frames
    snap_tolerance: float | None = None  # seconds; None unless sampling is "snap"
    view_area: float = DEFAULT_VIEW_AREA  # smallest share of the frame in a new random view


@dataclass(frozen=True)
class Segment:
    """Rows of one video inside one shard, in time order, with the requests they answer.

    views (1+K, 6) int32; frame_index, pts (n,) int64; request_k (m,) int64; request_status (m,) uint8;
    request_row (m,) int64, a row of this segment or -1. request_seconds() gives the requested times. fingerprint: of
    the file that the rows came from, as in the plan.
    """

    video_uid: str
    time_base: tuple[int, int]
    first_pts: int
    views: np.ndarray
    frame_index: np.ndarray
    pts: np.ndarray
    request_k: np.ndarray
    request_status: np.ndarray
    request_row: np.ndarray
    fingerprint: str = ""

    @property
    def num_rows(self) -> int:
        return len(self.frame_index)

    @property
    def t_sec(self) -> np.ndarray:
        """(n,) float64 seconds on the container's timeline."""
        return seconds(self.pts, self.time_base)

    @property
    def keys(self) -> list[str]:
        return [row_key(self.video_uid, index) for index in self.frame_index]


@dataclass(frozen=True)
class FrameBatch:
    """The content of one frame shard: N rows in segment order.

    jpegs: N canonical frames; embeddings: (N, 1+K, D) float16, unit length, finite; crop_crc32: (N, 1+K) uint32, of
    the pixels that the teacher saw, (S, S, 3) uint8 in C order.
    """

    segments: tuple[Segment, ...]
    jpegs: tuple[bytes, ...]
    embeddings: np.ndarray
    crop_crc32: np.ndarray

    def __post_init__(self):
        rows = sum(segment.num_rows for segment in self.segments)
        if not rows == len(self.jpegs) == len(self.embeddings):
            raise ValueError(f"{rows} rows, {len(self.jpegs)} JPEGs and {len(self.embeddings)} embeddings do not match")
        if self.crop_crc32.dtype != np.uint32 or self.crop_crc32.shape != self.embeddings.shape[:2]:
            raise ValueError(f"crop_crc32 must be (N, 1+K) uint32, got {self.crop_crc32.shape} {self.crop_crc32.dtype}")
        if self.embeddings.dtype != np.float16 or self.embeddings.ndim != 3:
            raise ValueError(
                f"embeddings must be (N, 1+K, D) float16, got {self.embeddings.shape} {self.embeddings.dtype}"
            )
        if not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings hold NaN or Inf")

    @cached_property
    def keys(self) -> list[str]:
        return [key for segment in self.segments for key in segment.keys]


def format_version_for(sampling: str, crop_fraction: float, view_area: float = DEFAULT_VIEW_AREA) -> int:
    """The version of the identity document of a cache.

    A reader of version 1 would take "snap" for key frames, and draw evaluation crops of new videos too large or their
    random views of other sizes.
    """
    is_newer = sampling == "snap" or crop_fraction != 1 or view_area != DEFAULT_VIEW_AREA
    return FORMAT_VERSION_2 if is_newer else FORMAT_VERSION


def max_snap_tolerance(fps: float) -> float:
    """The largest snap_tolerance at this rate, in seconds: half of the interval, so that times stay in order."""
    return 0.5 / fps


def row_key(video_uid: str, frame_index: int) -> str:
    """`<video_uid>_<8-digit presentation index>`."""
    return f"{video_uid}_{frame_index:08d}"


def seconds(pts, time_base: tuple[int, int]):
    """pts in ticks -> float64 seconds."""
    return np.asarray(pts, np.int64) * np.float64(time_base[0]) / np.float64(time_base[1])


def request_seconds(k: np.ndarray, first_pts: int, time_base: tuple[int, int], fps: float | None) -> np.ndarray:
    """The times of requests k, float64 seconds: evenly spaced, or k ticks after the first frame if fps is None."""
    if fps is None:
        return seconds(first_pts + k, time_base)
    return seconds(first_pts, time_base) + k / np.float64(fps)


def check_unit(name: str) -> str:
    """Return name. ValueError if it is not the name of a unit."""
    if not UNIT_PATTERN.fullmatch(name):
        raise ValueError(f"unit {name!r} must be named by 6 to 12 digits")
    return name


def check_sha256(text: str) -> str:
    """Return text. ValueError if it is not a SHA-256 in hexadecimal digits."""
    if not SHA256_PATTERN.fullmatch(text):
        raise ValueError(f"{text!r} is not a SHA-256")
    return text


def check_fingerprint(text: str) -> str:
    """Return text. ValueError if it is neither empty nor 64 hexadecimal digits."""
    if not FINGERPRINT_PATTERN.fullmatch(text):
        raise ValueError(f"{text!r} is not the fingerprint of a file")
    return text


def check_uid(uid: str) -> str:
    """Return uid. ValueError if it cannot safely be part of a file name or the name of a tar member."""
    if not UID_PATTERN.fullmatch(uid):
        raise ValueError(
            f"uid {uid!r} must be 1 to {MAX_UID_LENGTH} characters of A-Z a-z 0-9 _ - and begin with a letter or digit"
        )
    return uid
