"""How many images a teacher should embed at once on a CPU: milliseconds, page faults and time in the kernel per image.

    python -m benchmarks.teacher_batches --models demo-clip,ViT-B-32-quickgelu

One process keeps freed memory as extract-teacher does, and gives the teacher images in batches of every size, in turns.
Weights are random but for the demo teacher; speed does not depend on them.
"""

import os
import resource
import time
from dataclasses import dataclass

import click
import numpy as np
import torch

from benchmarks.measuring import finish, machine
from embedonce.models.names import SHIPPED_WEIGHTS
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import Teacher, TeacherOptions

SIZES = (1, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Cost:
    """Of one image: milliseconds by the clock, of processor time, of it in the kernel; page faults."""

    wall_ms: float
    cpu_ms: float
    kernel_ms: float
    faults: float


def measured(teacher: Teacher, images: np.ndarray, size: int) -> Cost:
    """Embed all images in batches of this size."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for first in range(0, len(images), size):
        teacher.embed(images[first : first + size])
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    kernel = after.ru_stime - before.ru_stime
    cpu = kernel + after.ru_utime - before.ru_utime
    values = (1e3 * wall, 1e3 * cpu, 1e3 * kernel, after.ru_minflt - before.ru_minflt)
    return Cost(*(value / len(images) for value in values))


def compare(model: str, num_images: int, rounds: int) -> dict[int, Cost]:
    """batch size -> medians of the rounds, after one to warm up."""
    weights = None if model in SHIPPED_WEIGHTS else "random"
    teacher = loader_of(model).load(TeacherOptions(model, weights, device="cpu"))
    size = teacher.identity.input_size
    images = np.random.default_rng(0).integers(0, 256, (max(num_images, *SIZES), size, size, 3), np.uint8)
    costs: dict[int, list[Cost]] = {count: [] for count in SIZES}
    for turn in range(1 + rounds):
        for count in SIZES[turn % len(SIZES) :] + SIZES[: turn % len(SIZES)]:
            found = measured(teacher, images[: max(num_images, count)], count)
            costs[count] += [found] if turn else []
    names = Cost.__dataclass_fields__
    return {
        count: Cost(*(round(float(np.median([getattr(one, name) for one in found])), 2) for name in names))
        for count, found in costs.items()
    }


@click.command()
@click.option("--models", default="demo-clip,ViT-B-32-quickgelu", show_default=True)
@click.option("--images", type=int, default=128, show_default=True, help="Of every size in every round, at least.")
@click.option("--rounds", type=int, default=5, show_default=True)
@click.option("--threads", type=int, help="Of torch.  [default: as a user has it]")
def main(models: str, images: int, rounds: int, threads: int | None):
    """Measure, and end with one line of JSON."""
    kept = keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    figures: dict = {"machine": machine("torch", "open_clip_torch"), "threads": torch.get_num_threads()}
    figures |= {"freed memory is kept": kept, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
    for model in models.split(","):
        found = compare(model, images, rounds)
        click.echo(f"{model}:\n| images at once | ms | processor ms | in the kernel, ms | page faults |", err=True)
        for count, cost in found.items():
            line = f"| {count} | {cost.wall_ms:.2f} | {cost.cpu_ms:.2f} | {cost.kernel_ms:.2f} | {cost.faults:.0f} |"
            click.echo(line, err=True)
        figures[model] = {count: vars(cost) for count, cost in found.items()}
    finish("teacher_batches", figures)


if __name__ == "__main__":
    main()
