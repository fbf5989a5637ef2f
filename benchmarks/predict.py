"""How fast predict is from a 1080p file to classes, beside its limits: decoding alone, and the student alone.

    python -m benchmarks.predict
    python -m benchmarks.predict --export results/export

A `tiny` student at 128 px with random weights (speed does not depend on them), or an exported one, on 32 s of 1080p
H.264 at 2 and at 30 frames per second; all parts in one run, several times in turns, medians.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.footage import SHORT_GOPS, footage
from benchmarks.measuring import finish, interleaved, machine
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.frames.preprocessing import Preprocessing
from embedonce.pipeline.frames.sampling_times import request_frames
from embedonce.pipeline.predict.checkpoint_model import CheckpointModel
from embedonce.pipeline.predict.exported_model import exported_model
from embedonce.pipeline.predict.model import Model, ModelFacts
from embedonce.pipeline.predict.opened_source import FILE_BATCH
from embedonce.pipeline.predict.sampled_frames import Sampled, file_frames
from embedonce.pipeline.predict.student import Student
from embedonce.pipeline.video.decode import RequestedFrames
from embedonce.pipeline.video.scanning import read_timeline

KIND = "h264, x264 veryfast, GOP 2 s"
CLASSES, FRAMES_PER_CLIP, WINDOW_SEC = 12, 8, 4.0


def random_student() -> Model:
    torch.manual_seed(0)
    student = build_student(student_config("tiny", 512, CLASSES, 128), pretrained=False).eval()
    made = Preprocessing("", 128, "center square", "bicubic", 256, 2.0, 90, WINDOW_SEC, "")
    names = tuple(f"class {number}" for number in range(CLASSES))
    return CheckpointModel(student, ModelFacts(names, FRAMES_PER_CLIP, made, False, None), torch.device("cpu"))


def decode(path: Path, fps: float) -> int:
    """Scan the file and decode its sampled frames; their number."""
    steps = read_timeline(path)
    try:
        while True:
            next(steps)
    except StopIteration as end:
        timeline = end.value
    times = timeline.pts, timeline.key_pts, timeline.time_base, timeline.end_sec, timeline.holes
    requests = request_frames(Grid(fps, EVERYTHING), *times)
    frames = RequestedFrames(path, requests.frame_index, requests.pts, timeline.by_order)
    return sum(one is not None for one in frames)


def prepare(path: Path, model: Model, fps: float) -> list[np.ndarray]:
    """What the student sees of the file."""
    samples = file_frames(path, model.facts.preprocessing, fps)
    return [one.image for one in samples if isinstance(one, Sampled) and one.image is not None]


def encode(model: Model, images: list[np.ndarray]) -> None:
    for at in range(0, len(images), FILE_BATCH):
        model.encode(np.stack(images[at : at + FILE_BATCH]))


def latency_of(model: Model, image: np.ndarray) -> float:
    """Median milliseconds from a prepared frame to the classes of its window."""
    features, taken = model.encode(np.repeat(image[None], FRAMES_PER_CLIP, 0)), []
    for _ in range(50):
        start = time.perf_counter()
        features[-1] = model.encode(image[None])[0]
        model.classify(features, np.arange(FRAMES_PER_CLIP) / 2)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def measure(model: Model, path: Path, fps: float, rounds: int) -> dict[str, float]:
    """Median seconds of each part, in turns, and the number of frames."""
    images = prepare(path, model, fps)
    parts: dict[str, Callable[[], object]] = {
        "whole": lambda: list(Student(model).predict(path, fps=fps, window=WINDOW_SEC)),
        "decode": lambda: decode(path, fps),
        "prepare": lambda: prepare(path, model, fps),
        "student": lambda: encode(model, images),
    }
    return interleaved(parts, rounds) | {"frames": len(images)}


@click.command(help=__doc__)
@click.option("--export", type=click.Path(path_type=Path), help="Folder that export-student made.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("results/footage"), show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--fps", type=float, multiple=True, default=(2.0, 30.0), show_default=True)
def main(export: Path | None, folder: Path, rounds: int, fps: tuple[float, ...]) -> None:
    model = random_student() if export is None else exported_model(export, "cpu")
    path = footage(folder, KIND)
    seconds = SHORT_GOPS[KIND][2]
    found = {f"{rate:g}": measure(model, path, rate, rounds) for rate in fps}
    click.echo("fps sampled  frames/s  x real time  decode alone  prepare alone  student alone  whole / slowest part")
    for sampled, part in found.items():
        rates = [part["frames"] / part[name] for name in ("whole", "decode", "prepare", "student")]
        ratio = part["whole"] / max(part["prepare"], part["student"])
        click.echo(
            f"{sampled:>11}  {rates[0]:>8.0f}  {seconds / part['whole']:>11.1f}  {rates[1]:>12.0f}  {rates[2]:>13.0f}  "
            f"{rates[3]:>13.0f}  {ratio:>20.2f}"
        )
    latency = latency_of(model, prepare(path, model, 1.0)[0])
    click.echo(f"latency of one frame, from its crop to the classes of its window: {latency:.1f} ms")
    finish("predict", {**machine("av", "torch", "onnxruntime"), "parts": found, "latency_ms": latency})


if __name__ == "__main__":
    main()
