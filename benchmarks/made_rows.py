"""An extraction without videos or teacher: rows computed from their numbers are planned, committed and labeled.

Two runs of it, however often they are taken up again, must end in caches of the same bytes.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import safetensors.numpy

from embedonce.cache.heads import logits_from
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.plan import PlannedSegment, PlannedVideo, Unit
from embedonce.cache.schema import FrameBatch, Segment
from embedonce.cache.store import open_writer
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.commit_thread import Committer
from tests.conftest import make_cache_identity, planned_segment, planned_video

DIM, CLASSES = 8, ("cut", "pour", "stir")
LABELS = LabelSet("main", "zero-shot", CLASSES, tuple((name,) for name in CLASSES), 100.0, {})
_HEAD = {"class_text": np.eye(len(CLASSES), DIM, dtype=np.float32), "logit_scale": np.array([100.0], np.float32)}
_FINGERPRINT, _VIEWS = 64 * "a", np.array([[0, 0, 256, 256, 0, 3]], np.int32)


@dataclass(frozen=True)
class Size:
    """rows of all videos, rows_per_video, rows_per_unit, and videos that are planned at a time."""

    rows: int
    rows_per_video: int = 10_000
    rows_per_unit: int = 2_000
    videos_per_part: int = 10

    @property
    def num_videos(self) -> int:
        return -(-self.rows // self.rows_per_video)

    def rows_of(self, number: int) -> int:
        """Rows of a video."""
        return min(self.rows_per_video, self.rows - number * self.rows_per_video)


def extract(store: ObjectStore, backend: str, size: Size, tell: Callable[[str], None]) -> None:
    """Do all that is left to do. tell: called with "begun", with what was committed, each time, and with "done"."""
    with closing(open_writer(store, make_cache_identity(backend, num_views=0, embed_dim=DIM))) as writer:
        tell("begun")
        writer.create_label_set(LABELS, safetensors.numpy.save(_HEAD))
        for part in range(-(-size.num_videos // size.videos_per_part)):
            _do_part(writer, part, size, tell)
        writer.write_manifest()
    tell("done")


def _do_part(writer: CacheWriter, part: int, size: Size, tell: Callable[[str], None]) -> None:
    if len(writer.plan) == part:
        first = part * size.videos_per_part
        numbers = range(first, min(first + size.videos_per_part, size.num_videos))
        videos = [_video(f"v{number:06d}", size.rows_of(number)) for number in numbers]
        requests = [planned_segment(f"v{number:06d}", size.rows_of(number)) for number in numbers]
        writer.extend_plan(videos, requests, size.rows_per_unit)
    planned = writer.plan[part]
    clips = [ClipLabel(f"{video.uid}:0", video.uid, 0.0, 5.0, 1, "train") for video in planned.videos]
    writer.publish_clips("main", part, clips)
    committed = writer.committed_units()
    with Committer(cast(CacheWriter, _TellingWriter(writer, tell))) as committer:
        for unit in planned.units:
            if unit.name not in committed:
                committer.submit(unit.name, batch_of(unit), {})
    for unit in planned.units:
        _commit_logits(writer, unit, tell)


class _TellingWriter:
    """What a Committer needs of a writer; tells what was committed."""

    def __init__(self, writer: CacheWriter, tell: Callable[[str], None]):
        self.store, self._writer, self._tell, self._telling = writer.store, writer, tell, threading.Lock()

    def commit_frames(self, unit: str, *arguments: Any) -> None:
        self._writer.commit_frames(unit, *arguments)
        with self._telling:
            self._tell(f"frames {unit}")


def _video(uid: str, rows: int) -> PlannedVideo:
    end_sec = rows * 512 / 15360
    return planned_video(uid, views=_VIEWS, fingerprint=_FINGERPRINT, num_frames=rows, end_sec=end_sec)


def _commit_logits(writer: CacheWriter, unit: Unit, tell: Callable[[str], None]) -> None:
    if unit.name in writer.reader().logits_units("main"):
        return
    batch = batch_of(unit)
    writer.commit_logits("main", unit.name, batch.keys, logits_from(_HEAD, batch.embeddings), {})
    tell(f"logits {unit.name}")


def batch_of(unit: Unit) -> FrameBatch:
    """The rows of a unit: bytes in place of JPEGs, embeddings of unit length."""
    segments = tuple(_segment(planned) for planned in unit.segments)
    rows, generator = sum(segment.num_rows for segment in segments), np.random.default_rng(int(unit.name))
    embeddings = generator.standard_normal((rows, 1, DIM))
    embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
    data, stops = generator.bytes(40 * rows), np.cumsum(generator.integers(10, 41, rows))
    jpegs = tuple(data[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True))
    crop_crc32 = generator.integers(0, 2**32, (rows, 1), dtype=np.uint32)
    return FrameBatch(segments, jpegs, embeddings.astype(np.float16), crop_crc32)


def _segment(planned: PlannedSegment) -> Segment:
    columns = (planned.frame_index, planned.pts, planned.request_k)
    status = np.zeros(len(planned.request_k), np.uint8)
    about = (planned.video_uid, (1, 15360), 0, _VIEWS)
    return Segment(*about, *columns, status, planned.request_row, _FINGERPRINT)
