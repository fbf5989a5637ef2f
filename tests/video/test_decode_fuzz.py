"""Damaged files: nothing hangs or crashes, and no frame is called good that a full decode shows otherwise."""

import functools
import math
import random
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from embedonce.pipeline.engines.engine import EngineOptions, TaskFailed, TaskResult
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.video import decode
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.skipping import whole_plan
from tests.support.videos import full_decode, sample, write_video

pytestmark = pytest.mark.slow

CASES = 336
REAL = (
    "torchcodec__nasa_13013.mp4",
    "torchcodec__var_fps_video.mp4",
    "torchcodec__h265_video.mp4",
    "torchcodec__h265_10bits.mp4",
    "torchcodec__av1_video.mkv",
    "moviepy__transparent.webm",
    "mp4ff__examples_multitrack_main_1.mp4",
)
MADE = {
    "b_frames.ts": {"gop": 24},
    "pyramid.mp4": {"gop": 40, "b_frames": 5, "options": {"x264-params": "slices=3"}},
    "open.mkv": {"gop": 12, "options": {"x264-params": "open-gop=1"}},
    "open_hevc.mkv": {"codec": "libx265", "gop": 16},
    "disordered.avi": {"gop": 24},
    "layers_hevc.mp4": {"codec": "libx265", "gop": 40, "options": {"x265-params": "log-level=none:temporal-layers=3"}},
}


@dataclass(frozen=True)
class Case:
    """One damaged copy of a file, made by its seed."""

    source: Path
    folder: Path
    seed: int


def damaged(data: bytes, seed: int) -> bytes:
    """Some flipped bits, a span of zeros, or the front part only; the first bytes stay, or nothing would open."""
    generator = random.Random(seed)
    kind = generator.choice(("flips", "flips", "burst", "zeros", "cut"))
    start = generator.randrange(min(len(data) // 8, 1500), len(data))
    result = bytearray(data)
    if kind == "cut":
        return bytes(result[:start])
    if kind == "zeros":
        stop = min(start + generator.randrange(1, 400), len(data))
        result[start:stop] = bytes(stop - start)
        return bytes(result)
    span = len(data) - start if kind == "flips" else min(30, len(data) - start)
    for _ in range(generator.randrange(1, 9)):
        result[start + generator.randrange(span)] ^= 1 << generator.randrange(8)
    return bytes(result)


def examine(case: Case):
    """Yields (outcome, frames called good, whether the file has one truth) of one case.

    AssertionError where a good frame is not the full decode's, or where one is lost that decoding the whole gives as
    good. Two things have no such frame to compare with. Where a damaged frame ends early without the decoder noticing,
    what is left of it is whatever was in memory: two full decodes differ, and so may all that follows. And a full
    decode may lose a sound frame among damaged ones: then it must be the undamaged file's.
    """
    path = case.folder / f"{case.seed}{case.source.suffix}"
    path.write_bytes(damaged(case.source.read_bytes(), case.seed))
    try:
        sampled = sample(path, 3.0)
    except VideoError:
        yield "refused", 0, True
        return
    by_order = sampled.timeline.by_order
    truth, again = (by_identity(full_decode(path, hold), by_order) for hold in (False, True))
    unsure = min((identity for identity in truth if truth[identity] != again.get(identity)), default=math.inf)
    for i, found in sampled.digests.items():
        index, pts = int(sampled.requests.frame_index[i]), int(sampled.requests.pts[i])
        identity = index if by_order else pts
        expected = truth[identity] if identity in truth else undamaged(case.source, by_order).get(identity)
        assert found == expected or identity >= unsure, f"{case}: frame {index} at {pts}, {sampled.way}"
    with patch.object(decode, "plan_feed", lambda index, wanted: whole_plan(index, wanted, "asked for")):
        lost = set(sample(path, 3.0).digests) - set(sampled.digests)
    assert not lost, f"{case}: frames {lost} are lost, {sampled.way}"
    path.unlink()
    yield sampled.way.partition(" ")[0], len(sampled.digests), unsure == math.inf


@functools.lru_cache
def undamaged(path: Path, by_order: bool) -> dict:
    return by_identity(full_decode(path), by_order)


def by_identity(decoded: list, by_order: bool) -> dict:
    return {n: found for n, (_, found) in enumerate(decoded)} if by_order else dict(decoded)


def fuzz(folder: Path, sources: list[Path], seeds) -> tuple[list, list]:
    """(outcomes, failures) of damaged copies of the sources, one per seed in turn."""
    tasks = [Case(sources[seed % len(sources)], folder, seed) for seed in seeds]
    outcomes, failures = [], []
    for event in WorkerPool(examine, EngineOptions(2, 60.0)).run(tasks):
        if isinstance(event, TaskResult):
            outcomes.append((event.task, *event.value))
        elif isinstance(event, TaskFailed):
            failures.append((event.task, event.reason))
    return outcomes, failures


def sources_in(folder: Path, real_videos: Path) -> list[Path]:
    return [write_video(folder / name, 120, **made) for name, made in MADE.items()] + [real_videos / n for n in REAL]


@pytest.fixture(scope="module")
def result(tmp_path_factory, real_videos):
    folder = tmp_path_factory.mktemp("fuzz")
    return fuzz(folder, sources_in(folder, real_videos), range(CASES))


def test_damage_never_hangs_crashes_or_passes_for_a_good_frame(result):
    outcomes, failures = result
    assert not failures
    assert len(outcomes) == CASES


def test_damage_takes_every_way_there_is(result):
    kinds = {way: [good for _, kind, good, _ in result[0] if kind == way] for way in ("refused", "skipping", "whole")}
    assert all(len(found) >= 15 for found in kinds.values()), {way: len(found) for way, found in kinds.items()}
    assert sum(map(sum, kinds.values())) > 2000  # much is saved from damaged files
    assert sum(not has_truth for *_, has_truth in result[0]) < CASES / 25
