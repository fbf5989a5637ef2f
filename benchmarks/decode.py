"""Decoding against its peers, in one run on one thread: PyAV's full decode, torchcodec, OpenCV, the ffmpeg command.

    python -m benchmarks.decode --videos ../shared/data/videos

Ours is the whole job, from the path to the frames: index, times, decoding. Peers that are not installed are left out
(torchcodec: `pip install '.[bench]'`, and FFmpeg's libraries on the system).
"""

import multiprocessing
import re
import shutil
import subprocess
from pathlib import Path

import av
import click
import numpy as np

from benchmarks.footage import KINDS, footage, repeated
from benchmarks.measuring import finish, interleaved, machine
from pipeline import pixels
from pipeline.sampling import Grid
from pipeline.tasks import DecodeTask, ScanTask, decode_video, scan_video
from pipeline.video.colour import Scaler
from pipeline.video.container import VideoError, opened
from pipeline.video.decode import WantedFrames
from tests.videos import full_decode, sample, timeline_of

RATES = {"1 fps": 1.0, "0.25 fps": 0.25, "native rate": 30.0}
HEADLINE = "h264, 7 flat B-frames"
SHORT_SIDE = 288  # of a canonical frame of the default teacher
WORTH_TIMING_SEC = 0.05  # of a full decode; below that a file is opened rather than decoded
VIEWS = np.array([[0, 112, 288, 288, 0, 3]], np.int32)


def ours(path: Path, fps: float, with_rgb: bool) -> int:
    """Frames at this rate; with_rgb: made RGB of canonical size, as extraction does. Returns how many."""
    *_, scan = scan_video(ScanTask("v", path, Grid(fps), "software"))
    scale, size = Scaler(), pixels.canonical_size(*scan.timeline.upright_size, short_side=SHORT_SIDE)
    wanted = WantedFrames(path, scan.requests.frame_index, scan.requests.pts, scan.timeline.by_order, plan=scan.plan)
    count = 0
    for _, frame in filter(None, wanted):
        count += 1
        if with_rgb:
            scale(frame, size)
    return count


def full(path: Path) -> int:
    """Every frame, by PyAV, on one thread."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        return sum(1 for _ in container.decode(stream))


def torchcodec_exact(path: Path, seconds: np.ndarray) -> int:
    """The frames played at these times, as RGB of full size: resizing them is not counted."""
    from torchcodec.decoders import VideoDecoder

    with opened(path, "software") as (_, stream):
        index = stream.index  # of several streams, the one that we use
    decoder = VideoDecoder(str(path), stream_index=index, seek_mode="exact", num_ffmpeg_threads=1)
    last = decoder.metadata.end_stream_seconds - 1e-6
    return len(decoder.get_frames_played_at(np.minimum(seconds, last).tolist()))


def opencv(path: Path, fps: float, most: float = float("inf")) -> int:
    """grab() every frame, retrieve() the wanted ones, up to `most`. ValueError where there is none."""
    import cv2

    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    step, count, number = video.get(cv2.CAP_PROP_FPS) / fps, 0, 0
    while count < most and video.grab():
        if number >= count * step:
            video.retrieve()
            count += 1
        number += 1
    if not count:
        raise ValueError(f"OpenCV gives no frame of {path.name}")
    return count


def ffmpeg(path: Path, fps: float) -> None:
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-vf", f"fps={fps},format=rgb24"]
    subprocess.run([*command, "-f", "null", "-"], check=True)


def peers(path: Path, fps: float) -> dict:
    """name -> call, for the peers that are there."""
    timeline = timeline_of(path)
    first = timeline.pts[0] * timeline.time_base[0] / timeline.time_base[1]
    seconds = np.arange(first, timeline.end_sec, 1 / fps)
    found = {}
    if _runs(lambda: torchcodec_exact(path, seconds[:1])):
        found["torchcodec exact"] = lambda: torchcodec_exact(path, seconds)
    if _runs(lambda: opencv(path, fps, most=1)):
        found["OpenCV"] = lambda: opencv(path, fps)
    if shutil.which("ffmpeg"):
        found["ffmpeg command"] = lambda: ffmpeg(path, fps)
    return found


def _runs(call) -> bool:
    try:
        call()
    except Exception as error:  # whatever a peer lacks, it is not here to be measured
        click.echo(f"a peer is left out: {str(error).splitlines()[0]}", err=True)
        return False
    return True


def compare_rates(path: Path, repeats: int) -> dict:
    """Ratios of the peers' times to ours, by rate; above 1 we are faster."""
    calls = {"full": lambda: full(path)}
    for name, fps in RATES.items():
        calls[f"ours {name}"] = lambda fps=fps: ours(path, fps, with_rgb=False)
    calls["ours 1 fps rgb"] = lambda: ours(path, 1.0, with_rgb=True)
    found_peers = peers(path, 1.0)
    calls |= found_peers
    seconds = interleaved(calls, repeats)
    found = {"full decode, seconds": round(seconds["full"], 2)}
    for name in RATES:
        found[f"full decode / ours, {name}"] = round(seconds["full"] / seconds[f"ours {name}"], 2)
    for peer in found_peers:
        found[f"{peer} / ours, 1 fps, RGB"] = round(seconds[peer] / seconds["ours 1 fps rgb"], 2)
    return found


def check_identity(path: Path, fps: float) -> int:
    """How many sampled frames have the planes of a full decode; AssertionError where one has not."""
    sampled, decoded = sample(path, fps), full_decode(path)
    for i, index in enumerate(sampled.requests.frame_index):
        assert sampled.digests[i] == decoded[index][1], f"{path}, frame {index}"
    return len(sampled.digests)


def compare_real(videos: Path, repeats: int) -> dict:
    """The real videos at 1 fps: identity of every frame; of those worth it, the ratio to torchcodec and its seconds."""
    ratios, frames, files = {}, 0, 0
    for path in sorted(p for p in videos.iterdir() if p.suffix != ".tsv"):
        try:
            frames += check_identity(path, 1.0)
        except VideoError:
            continue
        files += 1
        calls = {"ours": lambda path=path: ours(path, 1.0, True), "full": lambda path=path: full(path)}
        calls |= {name: call for name, call in peers(path, 1.0).items() if name == "torchcodec exact"}
        if "torchcodec exact" in calls:
            seconds = interleaved(calls, repeats)
            if max(seconds["full"], seconds["torchcodec exact"]) >= WORTH_TIMING_SEC:
                ratio = round(seconds["torchcodec exact"] / seconds["ours"], 2)
                ratios[path.name] = [ratio, round(seconds["torchcodec exact"], 3)]
    return {"files": files, "identical frames": frames, "torchcodec exact / ours, seconds of torchcodec": ratios}


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
    size = pixels.canonical_size(*timeline.upright_size, short_side=SHORT_SIDE)
    frames = (requests.frame_index, requests.pts, timeline.by_order, timeline.rotation, size, 90, VIEWS, 224)
    messages = decode_video(DecodeTask("v", path, "software", *frames, duration_sec=timeline.end_sec))
    rows = sum(len(message) for message in messages if isinstance(message, list))
    # Not getrusage: a spawned process inherits the high-water mark of the one that spawned it
    peak_kb = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    sender.send((rows, peak_kb))


@click.command()
@click.option("--videos", type=click.Path(path_type=Path, exists=True), help="Folder of real videos.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
@click.option("--rates/--no-rates", default=True, show_default=True, help="Compare on the made videos.")
@click.option("--memory/--no-memory", default=True, show_default=True, help="Also decode an hour of 1080p.")
def main(videos: Path | None, work_dir: Path, repeats: int, rates: bool, memory: bool):
    """Measure, and end with one line of JSON."""
    figures = {"machine": machine("av", "numpy", "torchcodec", "opencv-python-headless")}
    for kind in KINDS if rates else ():
        path = footage(work_dir, kind)
        if kind == HEADLINE:
            path = repeated(path, 128)
        figures[kind] = {"identical frames": check_identity(path, 1.0)} | compare_rates(path, repeats)
        click.echo(f"{kind}: {figures[kind]}", err=True)
    if videos:
        figures["real videos, 1 fps"] = compare_real(videos, repeats)
        click.echo(f"real videos: {figures['real videos, 1 fps']}", err=True)
    if memory:
        hour = repeated(footage(work_dir, HEADLINE), 3600)
        figures["one hour of 1080p, 1 fps"] = peak_memory(hour)
    finish("decode", figures)


if __name__ == "__main__":
    main()
