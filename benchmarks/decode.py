"""Decoding against its peers, in one run on one thread: PyAV's full decode, torchcodec, OpenCV, the ffmpeg command.

    python -m benchmarks.decode --videos FOLDER_OF_REAL_VIDEOS
    python -m benchmarks.decode --no-rates --no-memory --table results/benchmarks/real.md

Ours is the whole job, from the path to the frames: index, times, decoding. Peers that are not installed are left out
(torchcodec: `pip install '.[bench]'`, and FFmpeg's libraries on the system).
"""

import dataclasses
import multiprocessing
import re
from functools import partial
from pathlib import Path

import click
import numpy as np
from av.video.reformatter import VideoReformatter

from benchmarks.decode_peers import full, peers
from benchmarks.decode_real import SHARED, check_identity, compare_real, files_in, table
from benchmarks.footage import KINDS, footage, repeated
from benchmarks.measuring import finish, interleaved, machine
from embedonce.pipeline.extraction.decode_tasks import DecodeTask, decode_video
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.decode import RequestedFrames

RATES = {"1 fps": 1.0, "0.25 fps": 0.25, "native rate": 30.0}
HEADLINE = "h264, 7 flat B-frames"
PRODUCTS = ("rgb", "canonical")
SHORT_SIDE = 288  # of a canonical frame of the default teacher
VIEWS = np.array([[0, 112, 288, 288, 0, 3]], np.int32)


def ours(path: Path, fps: float, product: str = "planes") -> int:
    """The whole job, scan and decoding: frames at this rate. Returns how many.

    product: "planes" as decoded; "rgb", of full size and by swscale's defaults as the peers make it; "canonical", RGB
    of the stored size with exact rounding and full chroma, as extraction makes it.
    """
    *_, scan = scan_video(ScanTask("v", path, Grid(fps), "software"))
    size = canonical_frame.canonical_size(*scan.timeline.upright_size, short_side=SHORT_SIDE)
    requested = RequestedFrames(
        path, scan.requests.frame_index, scan.requests.pts, scan.timeline.by_order, plan=scan.plan
    )
    exact, plain = Scaler(), VideoReformatter()
    count = 0
    for _, frame in filter(None, requested):
        count += 1
        if product == "canonical":
            exact(frame, size)
        elif product == "rgb":
            plain.reformat(frame, format="rgb24", threads=1).to_ndarray()
    return count


def compare_rates(path: Path, repeats: int) -> dict:
    """Ratios of the peers' times to ours, by rate; above 1 we are faster."""
    calls = {"full": lambda: full(path)}
    for name, fps in RATES.items():
        calls[f"ours {name}"] = lambda fps=fps: ours(path, fps)
    calls["ours 1 fps rgb"] = lambda: ours(path, 1.0, "canonical")
    found_peers = peers(path, 1.0)
    calls |= found_peers
    seconds = interleaved(calls, repeats)
    found = {"full decode, seconds": round(seconds["full"], 2)}
    for name in RATES:
        found[f"full decode / ours, {name}"] = round(seconds["full"] / seconds[f"ours {name}"], 2)
    for peer in found_peers:
        found[f"{peer} / ours, 1 fps, RGB"] = round(seconds[peer] / seconds["ours 1 fps rgb"], 2)
    return found


def peak_memory(path: Path) -> dict:
    """MB that a decode process holds at most, scanning and decoding this video at 1 fps."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_decode_and_tell, args=(path, sender))
    process.start()
    rows, peak_kb = receiver.recv()
    process.join()
    return {"rows": rows, "peak MB": round(peak_kb / 1024)}


def _decode_and_tell(path: Path, sender) -> None:
    *_, scan = scan_video(ScanTask("v", path, Grid(1.0), "software"))
    timeline, requests = scan.timeline, scan.requests
    shape = planned_shape(timeline, SHORT_SIDE)
    frames = (requests.frame_index, requests.pts, timeline.by_order, shape, 90, VIEWS, 224)
    messages = decode_video(DecodeTask("v", path, "software", *frames, duration_sec=timeline.end_sec, plan=scan.plan))
    rows = sum(len(message) for message in messages if isinstance(message, list))
    # Not getrusage: a spawned process inherits the high-water mark of the one that spawned it
    peak_kb = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    sender.send((rows, peak_kb))


def compare_folders(videos: Path | None, repeats: int, table_path: Path | None) -> dict:
    """Every real video there is, file by file; the table in Markdown goes to a file if asked for, and is shown."""
    paths = files_in([folder for folder in (SHARED, videos) if folder is not None and folder.exists()])
    counts, found = compare_real(paths, repeats, {name: partial(ours, fps=1.0, product=name) for name in PRODUCTS})
    click.echo(table(found), err=True)
    if table_path:
        table_path.parent.mkdir(parents=True, exist_ok=True)
        table_path.write_text(table(found) + "\n", "utf-8")
    return counts | {"worst first": [dataclasses.asdict(one) for one in found]}


@click.command()
@click.option("--videos", type=click.Path(path_type=Path, exists=True), help="Folder of more real videos.")
@click.option(
    "--real/--no-real", default=True, show_default=True, help="Compare on ../shared/data/videos and --videos."
)
@click.option("--table", "table_path", type=click.Path(path_type=Path), help="Write the real videos' table here.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
@click.option("--rates/--no-rates", default=True, show_default=True, help="Compare on the made videos.")
@click.option("--memory/--no-memory", default=True, show_default=True, help="Also decode an hour of 1080p.")
def main(
    videos: Path | None, real: bool, table_path: Path | None, work_dir: Path, repeats: int, rates: bool, memory: bool
):
    """Measure, and end with one line of JSON."""
    figures = {"machine": machine("av", "numpy", "torchcodec", "opencv-python-headless")}
    for kind in KINDS if rates else ():
        path = footage(work_dir, kind)
        if kind == HEADLINE:
            path = repeated(path, 128)
        figures[kind] = {"identical frames": check_identity(path, 1.0)} | compare_rates(path, repeats)
        click.echo(f"{kind}: {figures[kind]}", err=True)
    if real:
        figures["real videos, 1 fps"] = compare_folders(videos, repeats, table_path)
    if memory:
        hour = repeated(footage(work_dir, HEADLINE), 3600)
        figures["one hour of 1080p, 1 fps"] = peak_memory(hour)
    finish("decode", figures)


if __name__ == "__main__":
    main()
