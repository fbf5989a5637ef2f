"""How much faster a student is than ViT-B/32, and what of it comes from where: size, resolution, graph, precision.

    python -m benchmarks.latency
    python -m benchmarks.latency --students results/students --cache-dir CACHE

One image to its embedding at batch 1, every candidate and the teacher in turns, in ONNX Runtime and in PyTorch, with
random weights: speed does not depend on them. With --students, checkpoints (best_student.pt in folders) and a cache,
also what each of their exports is right about on the held-out clips.
"""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.measuring import finish, machine
from embedonce.models.deploy import FrameEncoder
from embedonce.models.names import STUDENT_SIZES, TEACHER_SIZES
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.models.teachers.open_clip import image_tower_for_latency
from embedonce.pipeline.evaluation.costs import TimedModel, multiply_accumulates, size_of
from embedonce.pipeline.processes.timing import measure_interleaved
from embedonce.pipeline.runtimes.onnx_files import in_half_precision, to_onnx
from embedonce.pipeline.runtimes.onnx_integers import in_8_bit_integers
from embedonce.pipeline.runtimes.onnx_runtime import Session

REFERENCE = TEACHER_SIZES["base"]
RESOLUTIONS = (128, 160, 192, 224, 256)
PLAIN = ("as trained", "deployed")


class _AsTrained(torch.nn.Module):
    """A student's way from image to embedding as it was trained: what exporting it naively gives."""

    def __init__(self, student):
        super().__init__()
        self.student = student

    def forward(self, frames):
        return torch.nn.functional.normalize(self.student.encode_frames(frames), dim=-1)


def candidates(size: str, side: int, forms: tuple[str, ...]) -> tuple[dict[str, Callable[[], object]], dict]:
    """Calls by form for one student, and its size and operations."""
    torch.manual_seed(0)
    student = build_student(student_config(size, 512, 10, side), pretrained=False).eval()
    encoder, frames = FrameEncoder(student).eval(), torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    image, calls = frames[:1], {}
    models = {"deployed": to_onnx(encoder, {"frames": (frames, {0: "batch"})}, ["features", "embeddings"])}
    if "as trained" in forms:
        models["as trained"] = to_onnx(_AsTrained(student).eval(), {"frames": (frames, {0: "batch"})}, ["embeddings"])
    if "fp16" in forms:
        models["fp16"] = in_half_precision(models["deployed"])
    if "int8" in forms:
        batches = [
            {"frames": np.random.default_rng(i).integers(0, 256, (8, 3, side, side), np.uint8)} for i in range(4)
        ]
        models["int8"] = in_8_bit_integers(models["deployed"], batches)
    for form, model in models.items():
        calls[f"onnx, {form}"] = _onnx_call(model, frames=image.numpy())
    calls["torch, as trained"] = _torch_call(_AsTrained(student).eval(), image)
    calls["torch, deployed"] = _torch_call(encoder, image)
    facts = size_of(encoder) | {"macs": multiply_accumulates(TimedModel(encoder, image))}
    return calls, facts | {"bytes": {form: len(model) for form, model in models.items()}}


def teacher_tower() -> tuple[TimedModel, bytes]:
    """The teacher's image tower with random weights and one image, and the tower as an ONNX file."""
    tower, side = image_tower_for_latency(REFERENCE, torch.device("cpu"))
    image = torch.rand(1, 3, side, side)
    return TimedModel(tower, image), to_onnx(tower, {"images": (image.repeat(2, 1, 1, 1), {0: "batch"})}, None)


def teacher() -> tuple[dict[str, Callable[[], object]], dict]:
    timed, model = teacher_tower()
    calls = {"onnx": _onnx_call(model, images=timed.image.numpy()), "torch": _torch_call(timed.module, timed.image)}
    return calls, size_of(timed.module) | {"macs": multiply_accumulates(timed)}


def _onnx_call(model: bytes, **inputs: np.ndarray) -> Callable[[], object]:
    session = Session(model, threads=torch.get_num_threads())
    return lambda: session(**inputs)


def _torch_call(module: torch.nn.Module, image: torch.Tensor) -> Callable[[], object]:
    def call():
        with torch.inference_mode():
            return module(image)

    return call


def ratios(ours: dict[str, Callable], theirs: dict[str, Callable], rounds: int) -> dict[str, dict]:
    """By form: p50 and p95 in ms, and how many times as long the teacher took in the same runtime and run."""
    found = {}
    for runtime, teacher_call in theirs.items():
        calls = {form: call for form, call in ours.items() if form.startswith(runtime)}
        times = measure_interleaved(calls | {f"teacher, {runtime}": teacher_call}, rounds)
        slowest = times[f"teacher, {runtime}"]["p50_ms"]
        found |= {form: taken | {"ratio": slowest / taken["p50_ms"]} for form, taken in times.items()}
    return found


@click.command()
@click.option("--sizes", default=",".join(STUDENT_SIZES), show_default=True)
@click.option("--resolutions", default=",".join(map(str, RESOLUTIONS)), show_default=True)
@click.option("--forms", default="as trained,deployed,fp16,int8", show_default=True)
@click.option("--rounds", type=int, default=30, show_default=True)
@click.option("--threads", type=int, default=torch.get_num_threads(), show_default="all cores")
@click.option("--students", type=click.Path(path_type=Path), help="Folder of folders with best_student.pt.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Cache that they are judged by.")
def main(sizes: str, resolutions: str, forms: str, rounds: int, threads: int, students: Path | None, cache_dir):
    torch.set_num_threads(threads)
    theirs, facts = teacher()
    table = {}
    click.echo(f"{REFERENCE}: {facts['parameters'] / 1e6:.2f} M, {facts['macs'] / 1e9:.2f} G multiply-adds")
    for size in sizes.split(","):
        for side in map(int, resolutions.split(",")):
            calls, found = candidates(size, side, tuple(forms.split(",")))
            found["times"] = ratios(calls, theirs, rounds)
            table[f"{size}@{side}"] = found
            told = ", ".join(
                f"{form} {t['p50_ms']:.1f} ms" + (f" ({t['ratio']:.1f}x)" if "ratio" in t else "")
                for form, t in found["times"].items()
            )
            click.echo(f"{size}@{side}: {found['macs'] / 1e6:.0f} M multiply-adds; {told}")
    judged = judge(students, cache_dir) if students and cache_dir else {}
    versions = machine("torch", "onnxruntime", "timm", "open-clip-torch")
    finish("latency", {"teacher": facts, "table": table, "judged": judged, "threads": threads, **versions})


def judge(students: Path, cache_dir: Path) -> dict[str, dict]:
    """Top-1 of each checkpoint and of its exports on the held-out clips, and what the teacher has."""
    import tempfile

    from embedonce.pipeline.export.export import export
    from embedonce.pipeline.export.settings import ExportConfig

    found = {}
    for path in sorted(students.glob("*/best_student.pt")):
        with tempfile.TemporaryDirectory() as folder:
            out = export(ExportConfig(cache_dir, path, Path(folder) / "export", num_samples=10_000))
            found[path.parent.name] = {name: parity.as_dict() for name, parity in out.parity.items()}
        click.echo(f"{path.parent.name}: {found[path.parent.name]}")
    return found


if __name__ == "__main__":
    main()
