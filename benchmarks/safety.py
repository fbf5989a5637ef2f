"""What the safety of commits costs: checksums, fsync, records and plan, against writing the same bytes plainly.

Part of benchmarks.cache, with the rows that it writes: about 40 kB of noise in place of a JPEG, 512 values a view.
"""

import contextlib
import copy
import itertools
import shutil
import time
import timeit
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.measuring import interleaved
from embedonce.cache import commit, documents, plan_writer, shard_writer
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import open_writer
from embedonce.models.teachers.open_clip import load_teacher
from embedonce.pipeline.extraction.commit_thread import Committer
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import union
from embedonce.pipeline.teachers.open_clip import OpenClipTeacher
from tests.conftest import make_batch, make_cache_identity, make_segment, planned_segment, planned_video
from tests.support.videos import write_video

ROWS, DIM = 512, 512
JPEG_BYTES = (35_000, 45_000)
BLOCK = 12  # units of a round
FAST = 2000  # frames per second of a fast extraction
DEMO_TEACHER = "models/teachers/demo-clip.json"
SAFETY = (  # what a naive writer would do without; publishing holds its plain write too
    (commit, "publish"),
    (commit, "replace"),
    (commit, "remove"),
    (commit, "make_folder"),
    (commit, "sha256"),
    (documents, "serialize_verified"),
    (plan_writer, "plan_document"),
    (shard_writer, "record_document"),
)


def rows_of(number: int, num_views: int) -> FrameBatch:
    """The rows of one shard."""
    generator = np.random.default_rng(number)
    batch = make_batch(make_segment(f"v{number}", ROWS, num_views=num_views), dim=DIM, seed=number)
    return replace(batch, jpegs=tuple(map(generator.bytes, generator.integers(*JPEG_BYTES, ROWS).tolist())))


def safety_when_fast(folder: Path, backend: str, num_views: int, repeats: int) -> dict:
    """What committing adds to a plain write of the same bytes, as a share of an extraction at FAST frames a second.

    A round does the work of BLOCK units on one thread, as a teacher would, and after each unit writes its bytes plainly
    or hands it to the committer; waiting for the last commit counts. Encoding is the same in both, and timed apart.
    """
    batch, encode = rows_of(0, num_views), BACKENDS[backend].encode_frames
    encoded, plain, committed = encode(batch), fresh(folder / "plain"), fresh(folder / "committed")
    identity, numbers, work = make_cache_identity("encoded", num_views, embed_dim=DIM), itertools.count(), _work()
    ready = copy.copy(BACKENDS[backend])
    ready.encode_frames = lambda batch: encoded
    with mock.patch.dict(BACKENDS, encoded=ready):
        writer = open_writer(committed, identity)
        plain.mkdir()

        def write_plainly():
            for n in range(BLOCK):
                work()
                (plain / str(n)).write_bytes(encoded.data)

        def commit_safely():
            uid = f"v{next(numbers)}"
            writer.extend_plan([planned_video(uid)], [planned_segment(uid, BLOCK * ROWS)], ROWS)
            with Committer(writer) as committer:
                for unit in writer.plan[-1].units:
                    work()
                    committer.submit(unit.name, batch, {})

        calls = {
            "plain": write_plainly,
            "safe": commit_safely,
            "tidy": lambda: [p.unlink() for place in (plain, committed / "frames") for p in place.iterdir()],
            "encode": lambda: encode(batch),
            "SHA-256": lambda: commit.sha256(encoded.data),
        }
        seconds = interleaved(calls, repeats)
        writer.close()
    per_unit = {name: 1000 * seconds[name] / BLOCK for name in ("plain", "safe")}
    found = {f"{name}, ms a unit": round(value, 1) for name, value in per_unit.items()}
    found |= {f"{name}, ms a unit": round(1000 * seconds[name], 1) for name in ("encode", "SHA-256")}
    return found | {f"safety at {FAST} frames/s": round(seconds["safe"] / seconds["plain"] - 1, 4)}


def _work():
    """A call that keeps one thread busy for as long as a unit takes at FAST frames a second."""
    matrix = np.random.default_rng(0).random((256, 256), np.float32)

    def multiply(times: int) -> None:
        with threadpool_limits(1):
            for _ in range(times):
                matrix @ matrix

    seconds = min(timeit.repeat(lambda: multiply(200), number=1, repeat=5))
    times = round(200 * ROWS / FAST / seconds)
    return lambda: multiply(times)


def safety_of_extraction(folder: Path, repeats: int) -> dict:
    """The share of an extraction by the demo's teacher on the CPU that safety takes, at most.

    It is the time inside the calls of SAFETY: the difference to extractions without them drowns in their own.
    """
    fresh(folder / "videos").mkdir(parents=True)
    write_video(folder / "videos" / "numbered.mp4", ROWS, size=(288, 512))
    source = union(open_sources(folder / "videos"))
    teacher = OpenClipTeacher(load_teacher(DEMO_TEACHER, "random", None, torch.device("cpu"), 0))
    config = ExtractConfig(source.root, False, folder / "extracted", fps=30.0, views=0)
    shares, rates = [], []
    for _ in range(repeats):
        fresh(config.cache_dir)
        with _timed(SAFETY) as spent:
            start = time.perf_counter()
            writer, _, _ = extract(config, source, lambda: teacher)
            wall = time.perf_counter() - start
        shares.append(sum(spent) / wall)
        rates.append(writer.reader().num_rows / wall)
        writer.close()
    return {"frames/s": round(float(np.median(rates)), 1), "safety": round(float(np.median(shares)), 4)}


@contextlib.contextmanager
def _timed(functions):
    """A list that grows by the seconds of each call of these functions of modules; none of them calls another."""
    spent = []

    def timed(function):
        def call(*arguments):
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent.append(time.perf_counter() - start)

        return call

    with contextlib.ExitStack() as stack:
        for module, name in functions:
            stack.enter_context(mock.patch.object(module, name, timed(getattr(module, name))))
        yield spent


def fresh(path: Path) -> Path:
    """path, with nothing there."""
    shutil.rmtree(path, ignore_errors=True)
    return path
