"""What `--sampling snap` saves over `fps`, video by video: packets, and seconds of the whole job on one thread.

    python -m benchmarks.snap --videos FOLDER_OF_REAL_VIDEOS

The whole job is the scan, decoding and canonical frames. Videos of which it takes less than 20 ms are left
out. Worst first: by processor time of `fps` over that of `snap`, at 1 frame per second.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click

from benchmarks.decode_real import SHARED, files_in
from benchmarks.footage import SHORT_GOPS, at_ntsc_rate, footage
from benchmarks.measuring import finish, interleaved, machine
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.decode import RequestedFrames

RATES = (1.0, 0.5)
SHORT_SIDE = 288  # of a canonical frame of the default teacher
WORTH_TIMING_SEC = 0.02  # of processor time
MADE = ("h264, x264's defaults", "vp9, libvpx", *SHORT_GOPS)


@dataclass(frozen=True)
class Measured:
    """One video at one rate. wall, processor: seconds of `fps` over those of `snap`; fps_sec: processor time of `fps`.

    near: times of which a key frame answers, and all; decoded: packets with snap, and with fps.
    """

    name: str
    codec: str
    fps: float
    near: tuple[int, int]
    decoded: tuple[int, int]
    wall: float
    processor: float
    fps_sec: float


def scanned(path: Path, grid: Grid) -> Scan:
    *_, scan = scan_video(ScanTask("v", path, grid, "software"))
    assert scan is not None
    return scan


def whole_job(path: Path, grid: Grid) -> None:
    """From the path to the canonical frames of this grid."""
    scan, scale = scanned(path, grid), Scaler()
    size = canonical_frame.canonical_size(*scan.timeline.upright_size, short_side=SHORT_SIDE)
    requests = scan.requests
    frames = RequestedFrames(path, requests.frame_index, requests.pts, scan.timeline.by_order, plan=scan.plan)
    for _, frame in filter(None, frames):
        scale(frame, size)


def measured(path: Path, name: str, fps: float, repeats: int) -> Measured | None:
    """None if there is too little to measure."""
    grids = {"fps": Grid(fps), "snap": Grid(fps, snap_sec=0.5 / fps)}
    scan = scanned(path, grids["snap"])
    processor: dict[str, float] = {}
    wall = interleaved({kind: partial(whole_job, path, grid) for kind, grid in grids.items()}, repeats, processor)
    if processor["fps"] < WORTH_TIMING_SEC or scan.saving is None:
        return None
    saving = scan.saving
    ratios = wall["fps"] / wall["snap"], processor["fps"] / processor["snap"]
    counts = (saving.near, saving.times), (saving.decoded, saving.without)
    return Measured(name, scan.timeline.codec, fps, *counts, *ratios, processor["fps"])


def table(found: list[Measured]) -> str:
    """The measurements in Markdown, as docs/benchmarks.md shows them."""
    lines = [
        "| video | codec | fps | times with a key frame near | frames decoded, snap | fps | wall, fps / snap | "
        "processor, fps / snap | fps, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        counts = f"{one.near[0]} of {one.near[1]} | {one.decoded[0]} | {one.decoded[1]}"
        ratios = f"{one.wall:.2f} | {one.processor:.2f} | {one.fps_sec:.3f}"
        lines.append(f"| {one.name} | {one.codec} | {one.fps:g} | {counts} | {ratios} |")
    return "\n".join(lines)


@click.command()
@click.option("--videos", type=click.Path(path_type=Path, exists=True), default=SHARED, help="Folder of real videos.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
@click.option("--made/--no-made", default=True, show_default=True, help="Measure made 1080p as well.")
def main(videos: Path, work_dir: Path, repeats: int, made: bool):
    """Measure, show the table, and end with one line of JSON."""
    paths = {path.name: path for path in files_in([videos])}
    for kind in MADE if made else ():
        paths[f"1080p {kind}"] = footage(work_dir, kind)
    for kind in SHORT_GOPS if made else ():
        paths[f"1080p {kind}, 29.97 fps"] = at_ntsc_rate(footage(work_dir, kind))
    found = []
    for name, path in paths.items():
        try:
            found += [measured(path, name, fps, repeats) for fps in RATES]
        except VideoError as error:
            click.echo(f"{name}: left out, {error}", err=True)
    shown = sorted(filter(None, found), key=lambda one: (-one.fps, one.processor))
    click.echo(table(shown), err=True)
    finish("snap", {"machine": machine("av", "numpy"), "found": [asdict(one) for one in shown]})


if __name__ == "__main__":
    main()
