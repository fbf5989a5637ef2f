"""Shared fixtures. EMBEDONCE_VIDEOS names the folder of real videos; EMBEDONCE_REQUIRE_VIDEOS=1 makes it a must."""

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell has it for jobs in the background, and children too
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads that wait for busy cores make small work slow

from embedonce.cache.plan import PlannedSegment, PlannedVideo
from embedonce.cache.schema import FORMAT_VERSION, CacheIdentity, FrameBatch, Segment
from tests.support.fake_teacher import fake_identity
from tests.support.forked_workers import forked

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_videos() -> Path:
    folder = Path(os.environ.get("EMBEDONCE_VIDEOS", ROOT.parent / "shared" / "data" / "videos"))
    if not folder.is_dir():
        message = f"{folder} is not there: set EMBEDONCE_VIDEOS to the folder of real videos"
        if os.environ.get("EMBEDONCE_REQUIRE_VIDEOS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def faults() -> Path:
    folder = Path(os.environ.get("EMBEDONCE_FAULTS", ROOT.parent / "shared" / "data" / "faults"))
    if not folder.is_dir():
        message = f"{folder} is not there: set EMBEDONCE_FAULTS to the folder of faulty videos"
        if os.environ.get("EMBEDONCE_REQUIRE_VIDEOS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(params=["hdf5", "webdataset"])
def backend(request) -> str:
    return request.param


# For tests whose back ends share nearly all of the code: one of them in `make test`, both in `make test-slow`.
second_backend_slow = pytest.mark.parametrize(
    "backend", ["hdf5", pytest.param("webdataset", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(scope="module")
def forked_workers():
    """For modules that extract many times and are not about the processes that decode."""
    with forked():
        yield


def make_cache_identity(backend: str = "hdf5", num_views: int = 1, **teacher) -> CacheIdentity:
    return CacheIdentity(
        format_version=FORMAT_VERSION,
        backend=backend,
        teacher=fake_identity(**teacher),
        canonical_short_side=256,
        jpeg_quality=90,
        num_views=num_views,
        view_seed=0,
        decoder="test",
        sampling="fps",
        fps=2.0,
    )


def make_segment(uid: str, num_rows: int, first_k: int = 0, num_views: int = 1) -> Segment:
    """num_rows frames at 2 per second of a 30 fps stream, one corrupt request after each, one missing at the end."""
    frame_index = 15 * np.arange(first_k, first_k + num_rows, dtype=np.int64)
    k = np.arange(first_k, first_k + num_rows + 1, dtype=np.int64)
    status = np.zeros(num_rows + 1, np.uint8)
    row = np.arange(num_rows + 1, dtype=np.int64)
    status[-1], row[-1] = 3, -1
    views = np.tile(np.array([[0, 10, 256, 256, 0, 3]], np.int32), (1 + num_views, 1))
    views[1:, 4] = 1
    return Segment(uid, (1, 15360), -512, views, frame_index, frame_index * 512 - 512, k, status, row)


def make_batch(*segments: Segment, dim: int = 16, seed: int = 0) -> FrameBatch:
    generator = np.random.default_rng(seed)
    rows, views = sum(s.num_rows for s in segments), len(segments[0].views)
    embeddings = generator.standard_normal((rows, views, dim))
    embeddings /= np.linalg.norm(embeddings, axis=2, keepdims=True)
    jpegs = tuple(generator.bytes(50 + 7 * i) for i in range(rows))
    crop_crc32 = generator.integers(0, 2**32, (rows, views), dtype=np.uint32)
    return FrameBatch(segments, jpegs, embeddings.astype(np.float16), crop_crc32)


def planned_video(uid: str, **changes) -> PlannedVideo:
    views = np.zeros((2, 6), np.int32)
    video = PlannedVideo(
        uid, f"{uid}.mp4", 10, 20, "h264", (240, 320), 0, (256, 341), (1, 15360), 0, 90, 3.0, False, views
    )
    return dataclasses.replace(video, **changes)


def planned_segment(uid: str, rows: int) -> PlannedSegment:
    index = np.arange(rows, dtype=np.int64)
    return PlannedSegment(uid, index, index * 512, index, index)
