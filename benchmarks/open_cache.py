"""Opening a cache of many rows: seconds and memory of a reader and of a writer, each time in a new process.

    python -m benchmarks.open_cache --work-dir results/benchmarks

The documents are those of an extraction at two frames a second with default settings: 512 rows a unit, one view, and
videos of 1,024 rows, which take two units each, or of 128 rows, four of which share a unit. Opening reads no shard, so
only the first unit has one, with JPEGs of about 40 kB; the records of all others have its sizes. In the same processes,
`json.loads` and nothing else is called on each document that the reader or the writer has to read.
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
from benchmarks.opening import DOCUMENTS
from benchmarks.safety import DIM, fresh, rows_of
from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlanIndex, PlannedSegment, Unit
from embedonce.cache.planned_units import planned_in
from embedonce.cache.records import read_record, record_document
from embedonce.cache.schema import Segment
from embedonce.cache.store import open_writer
from tests.conftest import make_cache_identity, planned_video

ROWS = 512  # of a unit
SIZES, LENGTHS = (10**6, 10**7), (1024, 128)
FINGERPRINT = 64 * "a"
LIBRARIES = ("av", "h5py", "numpy", "open_clip_torch", "pillow", "torch", "torchvision", "webdataset")


def planned(uid: str, num_rows: int) -> PlannedSegment:
    """Two frames a second of a video of 30 frames a second."""
    row = np.arange(num_rows)
    return PlannedSegment(uid, 15 * row, 15 * 512 * row, row, row)


def committed(segment: PlannedSegment, views: np.ndarray) -> Segment:
    """The segment with every planned row."""
    status = np.zeros(len(segment.request_k), np.uint8)
    columns = (segment.frame_index, segment.pts, segment.request_k, status, segment.request_row)
    return Segment(segment.video_uid, (1, 15360), 0, views, *columns, fingerprint=FINGERPRINT)


def provenance(unit: Unit) -> dict:
    """As an extraction writes it."""
    decoding = {segment.video_uid: "whole: skipping packets saves nothing" for segment in unit.segments}
    about = {"python": "3.11.7", "host": "machine", "device": "cuda", "precision": "float16"}
    return {**about, "libraries": dict.fromkeys(LIBRARIES, "1.2.3"), "decoding": decoding, "remarks": {}}


def make_cache(root: Path, backend: str, num_rows: int, video_rows: int) -> int:
    """A cache of num_rows rows, rounded down to whole videos and units; returns how many it has."""
    batch = rows_of(0, 0)
    views = batch.segments[0].views
    count = num_rows // max(ROWS, video_rows) * max(ROWS, video_rows)
    uids = [f"v{number:07d}" for number in range(count // video_rows)]
    videos = [planned_video(uid, views=views, fingerprint=FINGERPRINT) for uid in uids]
    with contextlib.closing(open_writer(fresh(root), make_cache_identity(backend, 0, embed_dim=DIM))) as writer:
        writer.extend_plan(videos, [planned(uid, video_rows) for uid in uids], ROWS)
        first, *others = writer.units
        segments = tuple(committed(segment, views) for segment in first.segments)
        writer.commit_frames(first.name, replace(batch, segments=segments), provenance(first))
        plan = PlanIndex(writer.plan)
    record = read_record(Layout.at(root).frame_paths().records / f"{first.name}.json")
    for unit in others:
        segments = tuple(committed(segment, views) for segment in unit.segments)
        like = replace(record, unit=unit.name, segments=segments, provenance=provenance(unit))
        document = record_document(like, planned_in(plan, unit.name))
        (root / "records" / f"{unit.name}.json").write_bytes(documents.serialize_with_checksum(document))
    return count


def in_new_processes(root: Path, num_rows: int, repeats: int) -> dict[str, dict[str, float]]:
    """What is opened -> medians of several interleaved measurements."""
    runs: dict[str, list[dict]] = {what: [] for what in DOCUMENTS}
    for _, what in itertools.product(range(repeats), DOCUMENTS):
        command = [sys.executable, "-m", "benchmarks.opening", what, str(root)]
        runs[what].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    return {what: medians_of(found, num_rows) for what, found in runs.items()}


def medians_of(runs: list[dict[str, float]], num_rows: int) -> dict[str, float]:
    medians = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
    return {
        "s": round(medians["seconds"], 2),
        "processor s": round(medians["processor"], 2),
        "json.loads alone": round(medians["json"], 2),
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
        "| cache | opened by | s | processor s | `json.loads` alone | bytes a row | at most | MiB of documents |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in figures.items():
        for what, folder in DOCUMENTS.items():
            cells = (name, what, *found[what].values(), found["documents"][folder])
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--rows", type=int, multiple=True, default=SIZES, show_default=True, help="Sizes of the caches.")
@click.option("--video-rows", type=int, multiple=True, default=LENGTHS, show_default=True, help="Rows of each video.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Processes of each kind.")
def main(work_dir: Path, rows: tuple[int, ...], video_rows: tuple[int, ...], repeats: int):
    """Measure, print a table, and end with one line of JSON."""
    figures, root = {}, work_dir / "open-cache"
    for num_rows, length, backend in itertools.product(rows, video_rows, BACKENDS):
        count = make_cache(root, backend, num_rows, length)
        found = {"documents": size_of(root), **in_new_processes(root, count, repeats)}
        figures[f"{backend}, {count:,} rows, {length} a video"] = found
        click.echo(f"{backend}, {count:,} rows, {length} a video: {found}", err=True)
        shutil.rmtree(root)
    click.echo(table(figures))
    finish("open_cache", {"machine": machine("numpy"), **figures})


if __name__ == "__main__":
    main()
