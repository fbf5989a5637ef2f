"""Opening a cache of many rows: seconds and memory of a reader and of a writer, each time in a new process.

    python -m benchmarks.open_cache --work-dir results/benchmarks

The documents are those of a real cache, of 512 rows a unit and two units a video. Opening reads no shard, so only the
first unit has one, with JPEGs of about 40 kB; the records of all others have its sizes.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
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
from embedonce.cache.store import open_writer
from tests.conftest import make_cache_identity, planned_video

ROWS, UNITS_PER_VIDEO = 512, 2
SIZES = (10**6, 10**7)
OPENED = ("reader", "writer")
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


def make_cache(root: Path, backend: str, num_rows: int) -> int:
    """A cache of num_rows rows, rounded down to whole videos; returns how many it has."""
    batch = rows_of(0, 0)
    views = batch.segments[0].views
    uids = [f"v{number:07d}" for number in range(num_rows // (ROWS * UNITS_PER_VIDEO))]
    videos = [planned_video(uid, views=views, fingerprint=FINGERPRINT) for uid in uids]
    with contextlib.closing(open_writer(fresh(root), make_cache_identity(backend, 0, embed_dim=DIM))) as writer:
        writer.extend_plan(videos, list(map(planned, uids)), ROWS)
        first, *others = writer.units
        segments = tuple(committed(segment, views) for segment in first.segments)
        writer.commit_frames(first.name, replace(batch, segments=segments), {})
        plan = PlanIndex(writer.plan)
    record = read_record(Layout.at(root).frame_paths().records / f"{first.name}.json")
    for unit in others:
        segments = tuple(committed(segment, views) for segment in unit.segments)
        document = record_document(replace(record, unit=unit.name, segments=segments), planned_in(plan, unit.name))
        (root / "records" / f"{unit.name}.json").write_bytes(documents.serialize_with_checksum(document))
    return ROWS * UNITS_PER_VIDEO * len(uids)


def in_new_processes(root: Path, what: str, num_rows: int, repeats: int) -> dict[str, float]:
    """Medians of several measurements."""
    command = [sys.executable, "-m", "benchmarks.opening", what, str(root)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(repeats)]
    medians = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
    return {
        "s": round(medians["seconds"], 2),
        "processor s": round(medians["processor"], 2),
        "bytes a row": round(medians["held"] / num_rows),
        "at most": round(medians["peak"] / num_rows),
    }


def size_of(root: Path) -> dict:
    """Documents on disk, in MiB."""
    sizes = {name: [path.stat().st_size / 2**20 for path in (root / name).iterdir()] for name in ("plan", "records")}
    return {
        "plan parts": len(sizes["plan"]),
        "largest document": round(max(*sizes["plan"], *sizes["records"]), 1),
        "plan": round(sum(sizes["plan"])),
        "records": round(sum(sizes["records"])),
    }


def table(figures: dict) -> str:
    """The figures in Markdown."""
    lines = [
        "| cache | opened by | s | processor s | bytes a row | at most | plan parts | MiB of documents |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in figures.items():
        sizes = found["documents"]
        for what in OPENED:
            cells = (name, what, *found[what].values(), sizes["plan parts"], sizes["plan"] + sizes["records"])
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rows", type=int, multiple=True, default=SIZES, show_default=True, help="Sizes of the caches.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Processes of each kind.")
def main(work_dir: Path, rows: tuple[int, ...], repeats: int):
    """Measure, print a table, and end with one line of JSON."""
    figures, root = {}, work_dir / "open-cache"
    for num_rows, backend in itertools.product(rows, BACKENDS):
        count = make_cache(root, backend, num_rows)
        found = {"documents": size_of(root)}
        found |= {what: in_new_processes(root, what, count, repeats) for what in OPENED}
        figures[f"{backend}, {count:,} rows"] = found
        click.echo(f"{backend}, {count:,} rows: {found}", err=True)
        shutil.rmtree(root)
    click.echo(table(figures))
    finish("open_cache", {"machine": machine("numpy"), **figures})


if __name__ == "__main__":
    main()
