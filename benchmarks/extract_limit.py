"""The processor seconds of each stage of an extraction by itself, in one process and with nothing beside it."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.extract_contestants import TEACHERS
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.schema import FrameBatch
from embedonce.pipeline.extraction.decode_tasks import DecodeTask, Row, decode_video
from embedonce.pipeline.extraction.identity import default_short_side
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames.sampling_times import Grid
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import Teacher, TeacherOptions
from tests.conftest import make_segment

BATCH = 64  # images
MODELS = {"demo": ("demo-clip", None), "ViT-B/32": ("ViT-B-32-quickgelu", "random")}


def isolated_stages(teacher_name: str, videos: Path) -> dict[str, float]:
    """Processor seconds of scanning, of decoding with all that the decode processes do, of the teacher, of a shard."""
    assert MODELS.keys() == TEACHERS.keys()
    model, weights = MODELS[teacher_name]
    teacher = loader_of(model).load(TeacherOptions(model, weights, device="cpu"))
    embedder, size = BatchedTeacher(teacher, BATCH), teacher.identity.input_size
    embedder.embed(np.zeros((BATCH, size, size, 3), np.uint8))  # warm
    seconds: dict[str, float] = {}
    scans = [_timed(seconds, "scan", lambda path=path: _scan(path)) for path in sorted(videos.iterdir())]
    rows = [row for scan in scans for row in _timed(seconds, "decode", lambda scan=scan: _rows(*scan, teacher))]
    vectors = _timed(seconds, "teacher", lambda: embedder.embed(np.concatenate([row.crops for row in rows])))
    _timed(seconds, "shard", lambda: _write(rows, vectors))
    return {name: round(value, 2) for name, value in seconds.items()}


def _timed(seconds: dict[str, float], stage: str, call: Callable):
    start = time.process_time()
    result = call()
    seconds[stage] = seconds.get(stage, 0.0) + time.process_time() - start
    return result


def _scan(path: Path) -> tuple:
    *_, scan = scan_video(ScanTask("v", path, Grid(1.0), "software"))
    return path, scan


def _rows(path: Path, scan, teacher: Teacher) -> list[Row]:
    size = teacher.identity.input_size
    shape = planned_shape(scan.timeline, default_short_side(size))
    views = np.array([(*evaluation_box(shape.canonical_size), 0, 3)], np.int32)
    frames = (scan.requests.frame_index, scan.requests.pts, scan.timeline.by_order, shape, 90, views, size)
    task = DecodeTask("v", path, "software", *frames, duration_sec=scan.timeline.end_sec, plan=scan.plan)
    return [row for message in decode_video(task) if isinstance(message, list) for row in message]


def _write(rows: list[Row], vectors: np.ndarray) -> None:
    batch = FrameBatch(
        segments=(make_segment("v", len(rows)),),
        jpegs=tuple(row.jpeg for row in rows),
        embeddings=vectors[:, None].astype(np.float16),
        crop_crc32=np.stack([row.crop_crc32 for row in rows]),
    )
    with tempfile.TemporaryFile() as file:
        file.write(BACKENDS["hdf5"].encode_frames(batch).data)
