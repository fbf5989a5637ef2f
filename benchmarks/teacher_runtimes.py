"""What runs a teacher's image tower fastest on a CPU: PyTorch, torch.compile or ONNX Runtime; float32 or bfloat16.

    python -m benchmarks.teacher_runtimes --models demo-clip,ViT-B-32-quickgelu --threads 1

From normalized images to embeddings, all contestants in turns. Weights are random but for the demo teacher; speed does
not depend on them. The distances are those of unit-length embeddings from PyTorch's in float32. Needs a C++ compiler.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import click
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measuring import finish, interleaved, machine
from embedonce.models.device import autocast
from embedonce.models.names import SHIPPED_WEIGHTS
from embedonce.models.teachers.weights import build
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.runtimes.onnx_files import to_onnx

CPU = torch.device("cpu")
REFERENCE = "PyTorch, float32"
Encode = Callable[[Tensor], Tensor]  # (B, 3, S, S) float32 -> (B, D)


class _ImageTower(nn.Module):
    """Images to embeddings, as the forward() that compilers and exporters take."""

    def __init__(self, clip):
        super().__init__()
        self.visual = clip.visual

    def forward(self, images: Tensor) -> Tensor:
        return self.visual(images)


@dataclass(frozen=True)
class Contestant:
    """A way to embed; ready_sec: what it takes to compile or export the tower and embed the first batch."""

    encode: Encode
    ready_sec: float


def in_precision(tower: Encode, dtype: str) -> Encode:
    """The tower under autocast."""

    def encode(images: Tensor) -> Tensor:
        with torch.inference_mode(), autocast(CPU, dtype):
            return tower(images).float()

    return encode


def in_channels_last(tower: nn.Module) -> Encode:
    """The tower with its weights and images in the layout that is faster for many convolutions."""
    encode = in_precision(tower.to(memory_format=torch.channels_last), "float32")
    return lambda images: encode(images.contiguous(memory_format=torch.channels_last))


def in_onnx_runtime(tower: nn.Module, example: Tensor, threads: int) -> Encode:
    """The tower exported in float32, with all of ONNX Runtime's optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = to_onnx(tower, {"images": (example[:2], {0: "batch"})}, ["embeddings"])
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def contestants(model: str, images: Tensor, threads: int) -> dict[str, Contestant]:
    """By name; each has embedded the images once."""
    clip, _, _ = build(model, SHIPPED_WEIGHTS.get(model, "random"), None, 0, None, None)
    tower = _ImageTower(clip.eval().requires_grad_(False)).eval()
    made: dict[str, Callable[[], Encode]] = {
        REFERENCE: lambda: in_precision(tower, "float32"),
        "PyTorch, float32, channels last": lambda: in_channels_last(copy.deepcopy(tower)),
        "PyTorch, bfloat16": lambda: in_precision(tower, "bfloat16"),
        "torch.compile, float32": lambda: in_precision(torch.compile(copy.deepcopy(tower)), "float32"),
        "torch.compile, bfloat16": lambda: in_precision(torch.compile(copy.deepcopy(tower)), "bfloat16"),
        "ONNX Runtime, float32": lambda: in_onnx_runtime(tower, images, threads),
    }
    found = {}
    for name, make in made.items():
        start = time.perf_counter()
        encode = make()
        encode(images)
        found[name] = Contestant(encode, time.perf_counter() - start)
        click.echo(f"{model}, {name}: ready in {found[name].ready_sec:.1f} s", err=True)
    return found


def test_images(count: int, size: int) -> Tensor:
    """(B, 3, S, S): from flat to fine noise, in the range of normalized images."""
    generator = torch.Generator().manual_seed(0)
    cells = [2**number for number in range(8)]
    coarse = [torch.rand(1, 3, cells[i % 8], cells[i % 8], generator=generator) * 4 - 2 for i in range(count)]
    return torch.cat([functional.interpolate(grid, (size, size), mode="bilinear") for grid in coarse])


def distance(encode: Encode, exact: Encode, images: Tensor) -> float:
    """The largest of the images."""
    ours, theirs = (functional.normalize(one(images).double(), dim=-1) for one in (encode, exact))
    return float((ours - theirs).norm(dim=-1).max())


def compare(model: str, size: int, batch_sizes: tuple[int, ...], threads: int, repeats: int) -> dict[str, dict]:
    """contestant -> figures, by batch size."""
    figures: dict[str, dict] = {}
    for batch_size in batch_sizes:
        torch.compiler.reset()
        images = test_images(batch_size, size)
        found = contestants(model, images, threads)
        processor: dict[str, float] = {}
        calls = {name: partial(one.encode, images) for name, one in found.items()}
        wall = interleaved(calls, repeats, processor)
        for name, one in found.items():
            figures.setdefault(name, {})[batch_size] = {
                "wall_ms": round(1e3 * wall[name] / batch_size, 2),
                "cpu_ms": round(1e3 * processor[name] / batch_size, 2),
                "ready_sec": round(one.ready_sec, 1),
                "distance": float(f"{distance(one.encode, found[REFERENCE].encode, images):.1e}"),
            }
    return figures


def rows(figures: dict[str, dict]) -> list[str]:
    """A table: for each contestant and batch size, processor and wall milliseconds per image."""
    sizes = list(figures[REFERENCE])
    heads = [f"{size} images: processor ms | wall ms" for size in sizes]
    lines = [f"| | {' | '.join(heads)} | distance | ready, s |"]
    for name, by_size in figures.items():
        cells = [f"{by_size[size]['cpu_ms']} | {by_size[size]['wall_ms']}" for size in sizes]
        worst = max(one["distance"] for one in by_size.values())
        lines.append(f"| {name} | {' | '.join(cells)} | {worst:.0e} | {by_size[sizes[0]]['ready_sec']} |")
    return lines


@click.command()
@click.option("--models", default="demo-clip,ViT-B-32-quickgelu", show_default=True)
@click.option("--batch-sizes", default="16,64", show_default=True)
@click.option("--threads", type=int, default=1, show_default=True, help="Of PyTorch and of ONNX Runtime.")
@click.option("--repeats", type=int, default=5, show_default=True, help="Rounds.")
def main(models: str, batch_sizes: str, threads: int, repeats: int):
    """Measure, and end with one line of JSON."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    figures: dict = {"machine": machine("torch", "open_clip_torch", "onnxruntime"), "threads": threads}
    sizes = tuple(int(size) for size in batch_sizes.split(","))
    for model in models.split(","):
        side = 128 if model in SHIPPED_WEIGHTS else 224
        figures[model] = compare(model, side, sizes, threads, repeats)
        click.echo("\n".join([f"{model}, {threads} threads:", *rows(figures[model])]), err=True)
    finish("teacher_runtimes", figures)


if __name__ == "__main__":
    main()
