"""All students in one table: parameters, multiply-adds, and latency in ONNX Runtime beside ViT-B/32's image tower.

    python -m benchmarks.students
    python -m benchmarks.students --sizes lcnet075,mnv4s100 --sides 128,224 --threads 1 --rounds 31

One image to its embedding, batch 1, random weights (speed does not depend on them): students at each resolution, in
float32 and in 8-bit integers, the tower at 224 px in float32. All of them, with each number of threads, take turns in
one run; in each round a graph runs twice, and the second time counts, as others have been in the caches. Factors are
the tower's median by the student's, both with the same number of threads. Multiply-adds are half of what PyTorch's
FlopCounterMode counts: those of convolutions, matrix products and attention.

Building all files takes some minutes, timing them one; --models keeps the files for another run.
"""

from functools import partial
from pathlib import Path

import click
import torch

from benchmarks.latency import REFERENCE
from benchmarks.measuring import finish, interleaved, machine
from benchmarks.quantization import integer_instructions
from benchmarks.student_graphs import PRECISIONS, Graph, reference, student_graphs
from embedonce.models.names import STUDENT_SIZES
from embedonce.pipeline.runtimes.onnx_runtime import Session

SIDES = (128, 160, 192, 224)
CLOCKS = {"wall": "wall_ms", "processor": "processor_ms"}


def measure(graphs: list[Graph], threads: list[int], rounds: int) -> list[dict]:
    """A row for each graph and number of threads: its facts, bytes, and median milliseconds of both clocks."""
    runs = {f"{number}, {count} threads": (graph, count) for number, graph in enumerate(graphs) for count in threads}
    calls = {name: partial(Session(graph.model, count), **graph.facts.image()) for name, (graph, count) in runs.items()}
    processor: dict[str, float] = {}
    wall = interleaved(calls, rounds, processor, untimed=1)
    return [
        {
            "name": graph.facts.name,
            "pixels": graph.facts.pixels,
            "precision": graph.precision,
            "threads": count,
            "parameters": graph.facts.parameters,
            "macs": graph.facts.macs,
            "bytes": len(graph.model),
            "wall_ms": round(1000 * wall[name], 3),
            "processor_ms": round(1000 * processor[name], 3),
        }
        for name, (graph, count) in runs.items()
    ]


def with_factors(rows: list[dict], clock: str) -> list[dict]:
    """The rows with `factor`: how many times as long the reference takes by this clock, with as many threads."""
    slowest = {row["threads"]: row[CLOCKS[clock]] for row in rows if row["name"] == REFERENCE}
    return [row | {"factor": round(slowest[row["threads"]] / row[CLOCKS[clock]], 1)} for row in rows]


def table(rows: list[dict], clock: str) -> list[str]:
    """The lines of a Markdown table: milliseconds and, in brackets, factors; a line for each name and resolution."""
    columns = list(dict.fromkeys((row["threads"], row["precision"]) for row in rows))
    found = {(row["name"], row["pixels"], row["threads"], row["precision"]): row for row in rows}
    heads = [f"{precision}, {count} thread{'s' if count > 1 else ''}" for count, precision in columns]
    lines = [
        f"| {' | '.join(['student, pixels', 'parameters', 'multiply-adds', *heads])} |",
        "|---" * (len(heads) + 3) + "|",
    ]
    for name, pixels in dict.fromkeys((row["name"], row["pixels"]) for row in rows):
        cells = [_cell(found.get((name, pixels, *column)), clock) for column in columns]
        first = next(row for row in rows if (row["name"], row["pixels"]) == (name, pixels))
        facts = f"{first['parameters']:,} | {first['macs'] / 1e6:,.0f} M"
        lines.append(f"| `{name}`, {pixels} | {facts} | {' | '.join(cells)} |")
    return lines


def _cell(row: dict | None, clock: str) -> str:
    return "" if row is None else f"{row[CLOCKS[clock]]:.2f} ({row['factor']:.1f})"


@click.command()
@click.option("--sizes", default=",".join(STUDENT_SIZES), show_default=True)
@click.option("--sides", default=",".join(map(str, SIDES)), show_default=True, help="Pixels.")
@click.option("--precisions", default=",".join(PRECISIONS), show_default=True)
@click.option("--threads", default="1,2", show_default=True, help="Of each graph.")
@click.option("--rounds", type=int, default=21, show_default=True)
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--models", type=click.Path(path_type=Path), help="Keeps the ONNX files; delete it when code changes.")
def main(sizes: str, sides: str, precisions: str, threads: str, rounds: int, clock: str, models: Path | None):
    """Print a Markdown table, and end with one line of JSON.

    On a busy machine, --clock processor with one thread still says something: waiting for a core does not count.
    """
    torch.set_num_threads(1)
    graphs = [reference()]
    for size in sizes.split(","):
        for side in map(int, sides.split(",")):
            built = student_graphs(size, side, models)
            graphs += [graph for graph in built if graph.precision in precisions.split(",")]
            click.echo(f"{size} at {side} px is built", err=True)
    rows = with_factors(measure(graphs, list(map(int, threads.split(","))), rounds), clock)
    click.echo("\n".join(table(rows, clock)))
    facts = {"clock": clock, "rounds": rounds, "instructions": integer_instructions()}
    finish("students", facts | {"rows": rows} | machine("torch", "onnxruntime", "timm", "open-clip-torch"))


if __name__ == "__main__":
    main()
