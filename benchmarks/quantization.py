"""What 8-bit integers do to the latency of students: one image to its embedding in ONNX Runtime, float32 against int8.

    python -m benchmarks.quantization
    python -m benchmarks.quantization --students results/students --cache-dir CACHE

Batch 1, random weights (speed does not depend on them), ranges from random frames, both files of a backbone in turns,
with each number of threads. With --students, checkpoints (best_student.pt in folders) and a cache, also what their
exports are right about on the held-out clips.
"""

from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.latency import judge
from benchmarks.measuring import finish, interleaved, machine
from embedonce.models.deploy import FrameEncoder
from embedonce.models.student import VideoStudent, build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.runtimes.onnx_files import to_onnx
from embedonce.pipeline.runtimes.onnx_integers import in_8_bit_integers
from embedonce.pipeline.runtimes.onnx_runtime import Session

BACKBONES = "lcnet_050,lcnet_075,mobilenetv3_small_100,mobilenetv4_conv_small,mobilenetv2_050,mobilenetv2_100"
BACKBONES += ",efficientnet_lite0,resnet10t,tiny,xxs"
INTEGER_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")  # as Linux lists them


def student_of(size: str, side: int) -> VideoStudent:
    """A student with random weights, 512 dimensions and 10 classes."""
    torch.manual_seed(0)
    return build_student(student_config(size, 512, 10, side), pretrained=False).eval()


def models_of(encoder: FrameEncoder, side: int) -> dict[str, bytes]:
    """A frame encoder as float32 and int8 ONNX files; ranges are those of random frames."""
    frames = np.random.default_rng(0).integers(0, 256, (16, 3, side, side), np.uint8)
    example = torch.from_numpy(frames[:2])
    model = to_onnx(encoder, {"frames": (example, {0: "batch"})}, ["features", "embeddings"])
    return {"fp32": model, "int8": in_8_bit_integers(model, [{"frames": frames[:8]}, {"frames": frames[8:]}])}


def latencies(models: dict[str, bytes], side: int, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of both files, and how many times as much float32 takes: of time, and of processor time.

    On a busy machine only the second says something, and only with one thread.
    """
    image = np.random.default_rng(1).integers(0, 256, (1, 3, side, side), np.uint8)
    sessions = {name: Session(model, threads) for name, model in models.items()}
    calls = {name: lambda session=session: session(frames=image) for name, session in sessions.items()}
    processor: dict[str, float] = {}
    interleaved(calls, 5)  # to warm up
    wall = interleaved(calls, rounds, processor)
    return {"wall": _compared(wall), "processor": _compared(processor)}


def _compared(seconds: dict[str, float]) -> dict[str, float]:
    rounded = {f"{name}_ms": round(taken * 1000, 3) for name, taken in seconds.items()}
    return rounded | {"ratio": round(seconds["fp32"] / seconds["int8"], 2)}


def integer_instructions() -> list[str]:
    """Which instructions for products of 8-bit integers this processor has; none are known outside of Linux."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return [name for name in INTEGER_INSTRUCTIONS if name in flags]


@click.command()
@click.option("--backbones", default=BACKBONES, show_default=True)
@click.option("--resolution", type=int, default=224, show_default=True)
@click.option("--rounds", type=int, default=60, show_default=True)
@click.option("--threads", default="1,2", show_default=True)
@click.option("--students", type=click.Path(path_type=Path), help="Folder of folders with best_student.pt.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Cache that they are judged by.")
def main(backbones: str, resolution: int, rounds: int, threads: str, students: Path | None, cache_dir: Path | None):
    click.echo(f"instructions for 8-bit integers: {', '.join(integer_instructions()) or 'none known'}")
    table: dict[str, dict] = {}
    for size in filter(None, backbones.split(",")):
        models = models_of(FrameEncoder(student_of(size, resolution)).eval(), resolution)
        found: dict = {"bytes": {name: len(model) for name, model in models.items()}}
        for count in map(int, threads.split(",")):
            found[f"{count} threads"] = latencies(models, resolution, count, rounds)
        table[size] = found
        click.echo(f"{size}: {found}")
    judged = judge(students, cache_dir) if students and cache_dir else {}
    facts = {"resolution": resolution, "rounds": rounds, "instructions": integer_instructions()}
    finish("quantization", {"table": table, "judged": judged, **facts, **machine("torch", "onnxruntime", "timm")})


if __name__ == "__main__":
    main()
