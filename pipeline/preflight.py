"""What an extraction will take, before any model is loaded: frames, bytes, seconds, from a few frames of its videos.

Decodes in processes of its own, like extraction; writes nothing.
"""

import shutil
from dataclasses import dataclass

import numpy as np

from cache import commit
from cache.errors import StorageError
from cache.store import has_cache, open_writer, read_identity
from cache.writer import CacheWriter
from pipeline import pixels
from pipeline.config import ExtractConfig
from pipeline.engines import Item, LocalPool
from pipeline.errors import InputError
from pipeline.planning import Scanned, known_uids, scan_new
from pipeline.sources import Source
from pipeline.tasks import DecodeTask, timed_decode
from pipeline.video.container import check_decoder
from pipeline.views import evaluation_box

CALIBRATION_VIDEOS, CALIBRATION_FRAMES = 3, 8  # looked at; frames of each
FEW_FRAMES, USUAL_BYTES = 1000, 60_000  # of a job too small to look ahead for, and of a frame of it
USUAL_SHORT_SIDE, USUAL_INPUT, USUAL_DIM = 288, 224, 768  # of a teacher that is not loaded yet
BYTES_BESIDE = {"hdf5": 400, "webdataset": 4000}  # of a row: keys, times and requests; headers of three members


@dataclass(frozen=True)
class Estimate:
    """frames still to extract; bytes_per_frame on disk; decode_sec: of one process for one frame."""

    frames: int
    bytes_per_frame: float
    decode_sec: float

    @property
    def num_bytes(self) -> int:
        return round(self.frames * self.bytes_per_frame)


@dataclass(frozen=True)
class Survey:
    """What is known before a model is loaded: uids that need no scan, the scans of the others, what it will take."""

    known: set[str]
    scanned: Scanned
    estimate: Estimate


def look_ahead(config: ExtractConfig, source: Source, calibrated: bool = False) -> Survey:
    """Everything that can be found wrong without a teacher. InputError where no video can be used."""
    commit.check_writable(config.cache_dir)
    check_decoder(config.decoder)
    known, pending = set(), 0
    if has_cache(config.cache_dir):
        writer = open_writer(config.cache_dir, read_identity(config.cache_dir))
        try:
            known, pending = known_uids(writer, source), pending_rows(writer)
        finally:
            writer.close()
    scanned = scan_new(source, known, config, config.num_decode_workers)
    if not scanned.scans and not known:
        raise InputError(_nothing_usable(source, scanned.failures))
    return Survey(known, scanned, estimate(config, source, scanned, pending, calibrated))


def estimate(config: ExtractConfig, source: Source, scanned: Scanned, pending: int, always: bool) -> Estimate:
    """For the frames of the scanned videos and `pending` that were planned before.

    always: look at some frames even where there are so few in all that a guess will do.
    """
    frames = pending + sum(len(scan.requests.frame_index) for scan in scanned.scans.values())
    if frames < FEW_FRAMES and not always:
        return Estimate(frames, USUAL_BYTES, 0.0)
    sizes, seconds, count = [], 0.0, 0
    pool = LocalPool(timed_decode, CALIBRATION_VIDEOS, config.video_timeout)
    for event in pool.run(_calibration_tasks(config, source, scanned)):
        if isinstance(event, Item):
            jpegs, taken = event.value
            sizes += jpegs
            seconds, count = seconds + taken, count + len(jpegs)
    beside = BYTES_BESIDE[config.backend] + (1 + config.views) * (2 * USUAL_DIM + 4)
    return Estimate(frames, (float(np.mean(sizes)) if sizes else USUAL_BYTES) + beside, seconds / max(count, 1))


def check_space(config: ExtractConfig, needed: int) -> None:
    """StorageError where the disk of the cache has less than these bytes free."""
    free = free_bytes(config)
    if needed > free:
        raise StorageError(
            f"{config.cache_dir} needs about {in_bytes(needed)} more and its disk has {in_bytes(free)} free; "
            "make space, or choose another --cache-dir, a lower --fps or fewer --views"
        )


def in_bytes(count: int) -> str:
    """A number of bytes as people read it."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:.1f} {name}"


def free_bytes(config: ExtractConfig) -> int:
    """On the disk that the cache is on, or will be."""
    return shutil.disk_usage(commit.existing_parent(config.cache_dir)).free


def pending_rows(writer: CacheWriter) -> int:
    """Rows that were planned and are in no committed unit."""
    done = writer.committed_units()
    return sum(len(s.frame_index) for unit in writer.units if unit.name not in done for s in unit.segments)


def _calibration_tasks(config: ExtractConfig, source: Source, scanned: Scanned) -> list[DecodeTask]:
    """The first frames of a few videos, taken evenly from all."""
    videos = {video.uid: video for video in source.videos}
    wanted = [uid for uid, scan in scanned.scans.items() if len(scan.requests.frame_index)]
    chosen = {wanted[n * len(wanted) // CALIBRATION_VIDEOS] for n in range(CALIBRATION_VIDEOS)} if wanted else ()
    short_side = config.canonical_short_side or USUAL_SHORT_SIDE
    tasks = []
    for uid in wanted:
        if uid not in chosen:
            continue
        timeline, requests = scanned.scans[uid].timeline, scanned.scans[uid].requests
        size = pixels.canonical_size(*timeline.upright_size, short_side=short_side)
        views = np.array([(*evaluation_box(size), 0, 3)] * (1 + config.views), np.int32)
        frames = (requests.frame_index[:CALIBRATION_FRAMES], requests.pts[:CALIBRATION_FRAMES], timeline.by_order)
        looks = (timeline.rotation, size, config.jpeg_quality, views, USUAL_INPUT)
        path, left_eye = videos[uid].path, videos[uid].left_eye
        tasks.append(
            DecodeTask(uid, path, config.decoder, *frames, *looks, timeline.end_sec, left_eye, scanned.scans[uid].plan)
        )
    return tasks


def _nothing_usable(source: Source, failures: dict[str, str]) -> str:
    reasons = [f"{video.source}: {failures[video.uid]}" for video in source.videos if video.uid in failures]
    shown = "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")
    return f"none of the {len(source.videos)} videos under {source.root} can be decoded ({shown})"
