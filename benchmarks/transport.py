"""Rows of images from one process to another: through shared memory, and pickled through a pipe.

    python -m benchmarks.transport

A message has 8 rows, as the decode processes send them: each a JPEG of 30 kB and the teacher's crops. Both processes
only send and receive; their processor time is counted for each, and every round runs both ways in turn.
"""

from collections.abc import Callable

import click
import numpy as np

from benchmarks.measuring import finish, interleaved, machine
from benchmarks.transport_rows import ROWS, send_rows
from embedonce.pipeline.engines.child_process import ChildProcess
from embedonce.pipeline.processes.allocator import keep_freed_memory
from embedonce.pipeline.processes.shared_memory import SharedMemory

SHARED_BYTES = 16 << 20
CROPS = ((9, 224), (1, 224), (9, 64), (1, 64))  # views, pixels


def measured(views: int, size: int, count: int, repeats: int) -> dict[str, dict[str, float]]:
    """way -> messages per second, and microseconds of processor time per row of either process."""
    memory = SharedMemory(SHARED_BYTES)
    child = ChildProcess(send_rows, (views, size), to_parent=memory)
    sending: dict[str, list[float]] = {"pipe": [], "shared memory": []}

    def through(way: str) -> Callable[[], None]:
        def run() -> None:
            child.channel.send((way == "pipe", count))
            receive = child.channel.pipe.recv if way == "pipe" else child.channel.receive
            for _ in range(count):
                receive()
            sending[way].append(child.channel.receive())

        return run

    calls = {way: through(way) for way in sending}
    for call in calls.values():
        call()
    receiving: dict[str, float] = {}
    seconds = interleaved(calls, repeats, receiving)
    child.close()
    memory.close()
    per_row = 1e6 / (count * ROWS)
    return {
        way: {
            "messages/s": round(count / seconds[way]),
            "sender, µs a row": round(float(np.median(sending[way][1:])) * per_row),
            "receiver, µs a row": round(receiving[way] * per_row),
        }
        for way in calls
    }


@click.command()
@click.option("--messages", type=click.IntRange(1), default=100, show_default=True, help="Messages in each round.")
@click.option("--repeats", type=click.IntRange(1), default=7, show_default=True, help="Rounds.")
def main(messages: int, repeats: int):
    """Measure, print a table, and end with one line of JSON."""
    keep_freed_memory()
    figures = {}
    click.echo("| 8 rows of | way | messages/s | sender, µs a row | receiver, µs a row |\n|---|---|---|---|---|")
    for views, size in CROPS:
        name = f"{views} × {size}² × 3"
        figures[name] = measured(views, size, messages, repeats)
        for way, found in figures[name].items():
            click.echo(f"| {name} | {way} | {' | '.join(map(str, found.values()))} |")
    finish("transport", {"machine": machine("numpy"), **figures})


if __name__ == "__main__":
    main()
