"""Opening a cache of many rows: seconds and memory of a reader and of a writer, in processes of their own.

    python -m benchmarks.open_cache --work-dir results/benchmarks

The documents are those of a real cache, of 512 rows a unit and two units a video. Shards are not read on opening, so
that only the first unit has one, with JPEGs of about 40 kB: it is verified and read, and the others would be like it.
"""

import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks.measuring import finish, machine
from benchmarks.safety import DIM, fresh, rows_of
from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlanIndex, PlannedSegment
from embedonce.cache.planned_units import planned_in
from embedonce.cache.records import read_record, record_document
from embedonce.cache.schema import Segment
from embedonce.cache.store import open_reader, open_writer, read_identity
from tests.conftest import make_cache_identity, planned_video

ROWS, UNITS_PER_VIDEO = 512, 2
SIZES = (10**6, 10**7)
FINGERPRINT = 64 * "a"


def planned(uid: str) -> PlannedSegment:
    """Two frames a second of a video of 30 frames a second."""
    row = np.arange(ROWS * UNITS_PER_VIDEO)
    return PlannedSegment(uid, 15 * row, 15 * 512 * row, row, row)


def committed(segment: PlannedSegment, views: np.ndarray) -> Segment:
    """The segment with every planned row."""
    status = np.zeros(len(segment.request_k), np.uint8)
    columns = (segment.frame_index, segment.pts, segment.request_k, status, segment.request_row)
    return Segment(segment.video_uid, (1, 15360), 0, views, *columns, fingerprint=FINGERPRINT)


def make_cache(root: Path, backend: str, num_rows: int) -> None:
    """A cache of num_rows rows, rounded down to whole videos."""
    batch = rows_of(0, 0)
    views = batch.segments[0].views
    uids = [f"v{number:07d}" for number in range(num_rows // (ROWS * UNITS_PER_VIDEO))]
    videos = [planned_video(uid, views=views, fingerprint=FINGERPRINT) for uid in uids]
    with contextlib.closing(open_writer(fresh(root), make_cache_identity(backend, 0, embed_dim=DIM))) as writer:
        writer.extend_plan(videos, list(map(planned, uids)), ROWS)
        first = writer.units[0]
        segments = tuple(committed(segment, views) for segment in first.segments)
        writer.commit_frames(first.name, replace(batch, segments=segments), {})
        plan, records = PlanIndex(writer.plan), Layout(root).frame_paths().records
    record = read_record(records / f"{first.name}.json")
    for unit in list(plan.units.values())[1:]:
        segments = tuple(committed(segment, views) for segment in unit.segments)
        document = record_document(replace(record, unit=unit.name, segments=segments), planned_in(plan, unit.name))
        (records / f"{unit.name}.json").write_bytes(documents.serialize_with_checksum(document))


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def measure(root: Path, what: str) -> dict:
    """Seconds and bytes a row of opening a cache here, to read or to write."""
    identity, before, start = read_identity(root), resident_bytes(), time.perf_counter()
    opened = open_reader(root) if what == "reader" else open_writer(root, identity)
    seconds = time.perf_counter() - start
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sum(json.loads(path.read_bytes())["num_rows"] for path in [next((root / "records").iterdir())])
    held = resident_bytes() - before
    num_rows = rows * len(list((root / "records").iterdir()))
    opened.close()
    return {
        f"{what}, s": round(seconds, 2),
        f"{what}, s a million rows": round(seconds / num_rows * 1e6, 3),
        f"{what}, bytes a row": round(held / num_rows, 1),
        f"{what}, bytes a row at most": round((peak - before) / num_rows, 1),
    }


def size_of(root: Path) -> dict:
    """Bytes of documents on disk."""
    sizes = {name: [path.stat().st_size for path in (root / name).iterdir()] for name in ("plan", "records")}
    return {
        "plan parts": len(sizes["plan"]),
        "largest plan part, MiB": round(max(sizes["plan"]) / 2**20, 1),
        "plan, MiB": round(sum(sizes["plan"]) / 2**20, 1),
        "records, MiB": round(sum(sizes["records"]) / 2**20, 1),
    }


def in_own_process(root: Path, what: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.open_cache", "--measure", what, "--work-dir", str(root)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rows", type=int, multiple=True, default=SIZES, show_default=True)
@click.option("--measure", "what", type=click.Choice(["reader", "writer"]), hidden=True)
def main(work_dir: Path, rows: tuple[int, ...], what: str | None):
    """Measure, and end with one line of JSON."""
    if what is not None:
        click.echo(json.dumps(measure(work_dir, what)))
        return
    figures = {"machine": machine("numpy")}
    for backend, num_rows in itertools.product(BACKENDS, rows):
        name, root = f"{backend}, {num_rows} rows", work_dir / "open-cache"
        make_cache(root, backend, num_rows)
        figures[name] = size_of(root)
        for opened in ("reader", "writer"):
            figures[name] |= in_own_process(root, opened)
        click.echo(f"{name}: {figures[name]}", err=True)
        fresh(root)
    finish("open_cache", figures)


if __name__ == "__main__":
    main()
