"""Drift of the stored frames: canonical JPEG, crop, resize, against open_clip's own transform of the raw frame.

    python -m benchmarks.preprocess --videos ../shared/data/videos

For each way to make the canonical frame: PSNR of the teacher's input (224 x 224, uint8 RGB), cosine of its embedding,
milliseconds from decoded frame to JPEG bytes on one thread, kilobytes. The embedding is that of ViT-B/32 with random
weights unless --teacher-weights names real ones.
"""

import io
import time
from pathlib import Path

import av
import click
import numpy as np
import torch
from open_clip.transform import image_transform
from PIL import Image

from benchmarks.footage import footage
from benchmarks.measuring import finish, machine
from embedonce.models.teachers.open_clip import load_teacher
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import evaluation_box
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.container import VideoError
from tests.support.videos import timeline_of

SIZE = 224
MIN_SHORT_SIDE = 240  # smaller videos would measure enlarging
FRAMES_PER_VIDEO = 4


def raw_frames(videos: list[Path]) -> list[av.VideoFrame]:
    """A few decoded frames of each video that is large enough and upright."""
    frames = []
    for path in videos:
        try:
            timeline = timeline_of(path)
        except VideoError:
            continue
        if timeline.rotation or timeline.mirrored or timeline.sample_aspect != 1 or min(timeline.size) < MIN_SHORT_SIDE:
            continue
        with av.open(str(path)) as container:
            step = max(1, min(len(timeline.pts), 200) // FRAMES_PER_VIDEO)
            for number, frame in enumerate(container.decode(video=0)):
                if number % step == 0:
                    frames.append(frame)
                if number >= step * (FRAMES_PER_VIDEO - 1):
                    break
    return frames


def ways() -> dict:
    """name -> (frame -> JPEG bytes)"""
    scale = Scaler()

    def ours(short_side, quality=90, subsampling="4:2:0", centered=True):
        def make(frame):
            size = canonical_frame.canonical_size(frame.height, frame.width, short_side)
            if not centered:
                size = tuple(round(side * short_side / min(frame.height, frame.width)) for side in size_of(frame))
            return jpeg(scale(frame, size), quality, subsampling)

        return make

    def pillow(short_side):
        def make(frame):
            height, width = canonical_frame.canonical_size(frame.height, frame.width, short_side)
            image = Image.fromarray(scale(frame)).resize((width, height), Image.Resampling.BICUBIC)
            return jpeg(np.asarray(image), 90, "4:2:0")

        return make

    return {
        "288 (the default)": ours(288),
        "256": ours(256),
        "256, not centered on whole pixels": ours(256, centered=False),
        "320": ours(320),
        "288, quality 95": ours(288, quality=95),
        "288, chroma 4:4:4": ours(288, subsampling="4:4:4"),
        "288, RGB at full size, then Pillow's bicubic": pillow(288),
    }


def size_of(frame: av.VideoFrame) -> tuple[int, int]:
    return frame.height, frame.width


def jpeg(rgb: np.ndarray, quality: int, subsampling: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def teachers_input(data: bytes) -> np.ndarray:
    """(224, 224, 3) uint8: what the teacher sees of a stored frame."""
    image = canonical_frame.decode_jpeg(data)
    box = evaluation_box((image.height, image.width))
    return canonical_frame.crop(image, np.array([*box, 0, 3]), SIZE)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(((a.astype(float) - b) ** 2).mean(), 1e-9)))


@click.command()
@click.option("--videos", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of real videos.")
@click.option("--work-dir", type=click.Path(path_type=Path), default=Path("results/benchmarks"), show_default=True)
@click.option("--teacher-weights", default="random", show_default=True)
@click.option("--repeats", type=int, default=5, show_default=True)
def main(videos: Path, work_dir: Path, teacher_weights: str, repeats: int):
    """Measure, and end with one line of JSON."""
    torch.set_num_threads(1)
    made = footage(work_dir, "h264, x264's defaults")
    frames = raw_frames([*sorted(p for p in videos.iterdir() if p.suffix != ".tsv"), made])
    transform = image_transform(
        SIZE, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode="shortest", interpolation="bicubic"
    )
    scale = Scaler()
    expected = [
        np.asarray((transform(Image.fromarray(scale(f))).permute(1, 2, 0) * 255).round().byte()) for f in frames
    ]
    teacher = load_teacher("ViT-B-32-quickgelu", teacher_weights, "quickgelu", torch.device("cpu"), 0)
    truth = teacher.embed(np.stack(expected))
    figures = {"machine": machine("av", "pillow", "torch", "open_clip_torch"), "frames": len(frames), "ways": {}}
    seconds: dict[str, list[float]] = {name: [] for name in ways()}
    for _ in range(repeats):
        for name, make in ways().items():
            start = time.perf_counter()
            for frame in frames[-FRAMES_PER_VIDEO:]:
                make(frame)
            seconds[name].append((time.perf_counter() - start) / FRAMES_PER_VIDEO)
    for name, make in ways().items():
        data = [make(frame) for frame in frames]
        found = [teachers_input(one) for one in data]
        drift = [psnr(a, b) for a, b in zip(found, expected, strict=True)]
        cosines = (teacher.embed(np.stack(found)) * truth).sum(1)
        figures["ways"][name] = {
            "PSNR, mean dB": round(float(np.mean(drift)), 1),
            "PSNR, worst dB": round(min(drift), 1),
            "cosine, mean": round(float(cosines.mean()), 5),
            "cosine, worst": round(float(cosines.min()), 5),
            "ms per 1080p frame": round(1000 * float(np.median(seconds[name])), 1),
            "kB": round(float(np.mean([len(one) for one in data])) / 1000, 1),
        }
        click.echo(f"{name}: {figures['ways'][name]}", err=True)
    finish("preprocess", figures)


if __name__ == "__main__":
    main()
