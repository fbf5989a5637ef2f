"""What one minute of video and one shard cost on this machine: the figures that benchmarks.cluster_simulation uses.

    python -m benchmarks.unit_costs --videos ../shared/data/videos

Runs the project's own stages, one after another in one process on one thread: scanning a video, decoding its frames at
1 fps into canonical JPEGs and crops, embedding, committing. Processor time counts; wall time is only for comparison,
because other work delays it. Besides the real videos, 1080p and 540p footage is made, once.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.cluster.costs import UNIT_COSTS, VideoCosts
from benchmarks.decode_real import files_in
from benchmarks.footage import footage, smaller
from benchmarks.measuring import finish, interleaved, machine
from benchmarks.safety import DIM, ROWS, fresh, rows_of
from embedonce.cache.store import open_writer
from embedonce.models.names import TEACHER_SIZES
from embedonce.pipeline.extraction.decode_tasks import DecodeTask, Row, decode_video
from embedonce.pipeline.extraction.identity import default_short_side
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames.sampling_times import Grid
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import TeacherOptions
from embedonce.pipeline.video.container import VideoError
from tests.conftest import make_cache_identity, planned_segment, planned_video

MADE = ("h264, x264's defaults", "hevc, x265's defaults", "vp9, libvpx", "av1, SVT")
SMALLER = ("h264, x264's defaults", "vp9, libvpx")  # also at 540 lines, as Ego4D's video_540ss
FPS, INPUT_SIZE, JPEG_QUALITY, BICUBIC = 1.0, 224, 90, 3
MIN_SEC = 1.0  # shorter files measure opening
TEACHERS = ("demo", "base")  # of --teacher-size
BATCH_SIZE = 16  # images: larger ones leave the processor's cache
COMMITS = 4  # shards of one round


def made_videos(folder: Path) -> list[Path]:
    """Footage of known codecs and sizes."""
    full = {kind: footage(folder, kind) for kind in MADE}
    return [*full.values(), *(smaller(full[kind], kind, 540) for kind in SMALLER)]


def scan(path: Path) -> Scan:
    *_, found = scan_video(ScanTask("v", path, Grid(FPS), "software"))
    return found


def decode(path: Path, scanned: Scan) -> list[Row]:
    """All rows of a video, as a decode process makes them: view 0 only."""
    shape = planned_shape(scanned.timeline, default_short_side(INPUT_SIZE))
    task = DecodeTask(
        uid="v",
        path=path,
        decoder="software",
        frame_index=scanned.requests.frame_index,
        pts=scanned.requests.pts,
        by_order=scanned.timeline.by_order,
        shape=shape,
        jpeg_quality=JPEG_QUALITY,
        views=np.array([(*evaluation_box(shape.canonical_size), 0, BICUBIC)], np.int32),
        crop_size=INPUT_SIZE,
        duration_sec=scanned.timeline.end_sec,
        plan=scanned.plan,
    )
    return [row for message in decode_video(task) if isinstance(message, list) for row in message]


def video_costs(path: Path, repeats: int) -> VideoCosts:
    """The costs of one file. VideoError if it cannot be used."""
    scanned = scan(path)
    rows = decode(path, scanned)
    processor: dict[str, float] = {}
    wall = interleaved({"scan": lambda: scan(path), "decode": lambda: decode(path, scanned)}, repeats, processor)
    height, width = scanned.timeline.size
    return VideoCosts(
        name=path.name,
        codec=scanned.timeline.codec,
        width=width,
        height=height,
        video_sec=round(scanned.timeline.end_sec, 3),
        num_bytes=path.stat().st_size,
        frames=scanned.num_frames,
        rows=len(rows),
        bytes_per_row=round(float(np.mean([len(row.jpeg) for row in rows]))) if rows else 0,
        scan_cpu_sec=round(processor["scan"], 5),
        scan_wall_sec=round(wall["scan"], 5),
        decode_cpu_sec=round(processor["decode"], 5),
        decode_wall_sec=round(wall["decode"], 5),
    )


def teacher_costs(repeats: int) -> dict[str, dict[str, float]]:
    """Processor and wall seconds per image of each teacher, with random weights, which cost the same."""
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    calls: dict[str, Callable[[], object]] = {}
    for size in TEACHERS:
        name = TEACHER_SIZES[size]
        teacher = loader_of(name).load(TeacherOptions(name, "random", device="cpu"))
        side = teacher.identity.input_size
        calls[size] = lambda teacher=teacher, crops=images[:, :side, :side]: teacher.embed(crops)
        calls[size]()
    processor: dict[str, float] = {}
    wall = interleaved(calls, repeats, processor)
    return {
        size: {"cpu_sec": round(processor[size] / BATCH_SIZE, 6), "wall_sec": round(wall[size] / BATCH_SIZE, 6)}
        for size in TEACHERS
    }


def commit_costs(folder: Path, repeats: int) -> dict[str, float]:
    """Processor and wall seconds of encoding and committing one full shard to a folder."""
    batch, numbers = rows_of(0, 0), itertools.count()
    writer = open_writer(fresh(folder), make_cache_identity("hdf5", 0, embed_dim=DIM))

    def commit() -> None:
        uid = f"v{next(numbers)}"
        writer.extend_plan([planned_video(uid)], [planned_segment(uid, COMMITS * ROWS)], ROWS)
        for unit in writer.plan[-1].units:
            writer.commit_frames(unit.name, batch, {})

    processor: dict[str, float] = {}
    wall = interleaved({"commit": commit}, repeats, processor)["commit"]
    writer.close()
    fresh(folder)
    return {
        "rows": ROWS,
        "cpu_sec": round(processor["commit"] / COMMITS, 5),
        "wall_sec": round(wall / COMMITS, 5),
    }


def measured_videos(paths: list[Path], repeats: int) -> list[VideoCosts]:
    found = []
    for path in paths:
        try:
            costs = video_costs(path, repeats)
        except VideoError as error:
            click.echo(f"{path.name}: left out, {error}", err=True)
            continue
        if costs.video_sec < MIN_SEC or not costs.rows:
            continue
        found.append(costs)
        click.echo(
            f"{costs.name}: {costs.codec} {costs.width}x{costs.height}, {costs.video_sec:.1f} s: "
            f"{1000 * costs.scan_cpu_sec_per_minute:.1f} ms to scan a minute, "
            f"{1000 * costs.decode_cpu_sec_per_row:.1f} ms to decode a row, {costs.bytes_per_row} bytes",
            err=True,
        )
    return found


@click.command()
@click.option(
    "--videos",
    type=click.Path(path_type=Path, exists=True),
    envvar="EMBEDONCE_VIDEOS",
    help="Folder of real videos, measured besides the made ones.",
)
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=UNIT_COSTS, show_default=True)
def main(videos: Path | None, work_dir: Path, repeats: int, output: Path):
    torch.set_num_threads(1)
    paths = made_videos(work_dir / "footage") + (files_in([videos]) if videos else [])
    figures = {
        "machine": machine("av", "torch", "open-clip-torch", "numpy", "h5py", "pillow"),
        "repeats": repeats,
        "fps": FPS,
        "videos": [dataclasses.asdict(costs) for costs in measured_videos(paths, repeats)],
        "teachers": teacher_costs(repeats),
        "commit": commit_costs(work_dir / "unit_costs", repeats),
    }
    output.write_text(json.dumps(figures, indent=1) + "\n")
    finish("unit_costs", {"written": str(output), "teachers": figures["teachers"], "commit": figures["commit"]})


if __name__ == "__main__":
    main()
