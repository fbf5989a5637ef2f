"""Whether two tools embedded the same frames: their embeddings at the same times, compared."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedonce.cache.store import open_reader

SAME_SEC = 1 / 60  # half a frame at 30 frames a second: farther apart, another frame was read


@dataclass(frozen=True)
class Embedded:
    """(N,) seconds and (N, D) float32 embeddings of unit length of one video."""

    seconds: np.ndarray
    vectors: np.ndarray


@dataclass(frozen=True)
class Agreement:
    """frames: that the peer embedded. same: share of our frames that it embedded too, by their times.

    worst, median: cosine between both embeddings of these; NaN if there are none.
    """

    frames: int
    same: float
    worst: float
    median: float


def of_cache(folder: Path) -> dict[str, Embedded]:
    """name of a video's file without its type -> what the cache has of it, in its first view."""
    found, reader = {}, open_reader(folder)
    for video in (video for part in reader.plan() for video in part.videos):
        seconds, vectors = [], []
        for unit, first, segment in reader.segments_of(video.uid):
            seconds.append(segment.t_sec)
            vectors.append(reader.frames(unit).embeddings(first, first + segment.num_rows, 0))
        found[Path(video.source).stem] = Embedded(np.concatenate(seconds), _unit(np.concatenate(vectors)))
    reader.close()
    return found


def of_peer(folder: Path) -> dict[str, Embedded]:
    """The same of the arrays that a peer saved."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        arrays = np.load(path)
        found[path.stem] = Embedded(arrays["seconds"], _unit(arrays["embeddings"]))
    return found


def agreement(ours: dict[str, Embedded], peer: dict[str, Embedded]) -> Agreement:
    """How far a peer's embeddings are ours, over all videos."""
    cosines: list[np.ndarray] = []
    for name, own in ours.items():
        other = peer.get(name)
        if other is None or not len(other.seconds):
            continue
        distance = np.abs(own.seconds[:, None] - other.seconds[None])
        nearest = distance.argmin(1)
        is_same = distance[np.arange(len(nearest)), nearest] < SAME_SEC
        cosines.append((own.vectors * other.vectors[nearest]).sum(1)[is_same])
    found = np.concatenate([*cosines, np.zeros(0)])
    frames, total = sum(len(one.seconds) for one in peer.values()), sum(len(one.seconds) for one in ours.values())
    if not len(found):
        return Agreement(frames, 0.0, float("nan"), float("nan"))
    return Agreement(frames, len(found) / total, float(found.min()), float(np.median(found)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    values = np.asarray(vectors, np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
