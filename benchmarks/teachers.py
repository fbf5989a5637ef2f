"""Images a second of one teacher in this process, and of several teacher processes.

    python -m benchmarks.teachers --processes 2

All compute with one thread each, so that N processes can be at most N times as fast. Batches are made beforehand; what
is measured is what extract-teacher does with them, from handing them over to having the embeddings in order.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

from collections.abc import Callable, Sequence

import click
import numpy as np

from benchmarks.measuring import finish, interleaved, machine
from embedonce.models.names import TEACHER_SIZES
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import start_group
from embedonce.pipeline.teachers.lanes import Lanes, Member
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import TeacherOptions


def embedding(members: Sequence[Member], batches: list[list[np.ndarray]]) -> Callable[[], None]:
    """A call that embeds all batches."""

    def run() -> None:
        with Lanes(members, BusyTime()) as lanes:
            for batch in batches:
                lanes.submit(batch)
                list(lanes.pop())
            list(lanes.pop(is_last=True))

    return run


@click.command()
@click.option("--teacher-size", type=click.Choice(tuple(TEACHER_SIZES)), default="base", show_default=True)
@click.option("--processes", type=click.IntRange(1), multiple=True, default=(1, 2), show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True)
@click.option("--batches", type=click.IntRange(1), default=8, show_default=True, help="Batches in each round.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Rounds.")
def main(teacher_size: str, processes: tuple[int, ...], batch_size: int, batches: int, repeats: int):
    """Measure, and end with one line of JSON."""
    keep_freed_memory()
    weights = "demo" if teacher_size == "demo" else "random"
    options = TeacherOptions(TEACHER_SIZES[teacher_size], weights, device="cpu")
    teacher = loader_of(options.model).load(options)
    size = teacher.identity.input_size
    generator = np.random.default_rng(0)
    made = [list(generator.integers(0, 256, (batch_size, size, size, 3), np.uint8)) for _ in range(batches)]
    groups = {f"{count} processes": start_group(None, options, ("cpu",) * count, batch_size) for count in processes}
    members: dict[str, Sequence[Member]] = {"this process": BatchedTeacher(teacher, batch_size).members}
    members |= {name: group.members for name, group in groups.items()}
    calls: dict[str, Callable[[], object]] = {name: embedding(some, made) for name, some in members.items()}
    calls["main thread"] = lambda: [teacher.embed(np.stack(batch)) for batch in made]
    for call in calls.values():
        call()
    seconds = interleaved(calls, repeats)
    for group in groups.values():
        group.close()
    speed = {name: round(batches * batch_size / found, 1) for name, found in seconds.items()}
    ratios = {name: round(seconds["main thread"] / found, 2) for name, found in seconds.items()}
    finish("teachers", {"machine": machine("torch"), "images/s": speed, "ratio": ratios})


if __name__ == "__main__":
    main()
