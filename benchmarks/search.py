"""Searching made rows: vectors per second of search-cache's exact search, of faiss and of numpy, in turns.

    python -m benchmarks.search --work-dir results/benchmarks --rows 1000000 --peers
    python -m benchmarks.search --work-dir results/benchmarks --rows 5000000

The rows are random unit vectors around some directions, as float16 in an index file that is read through a memory map,
two a second of videos of an hour. Each contestant finds the ten best for one query. All have the file or their arrays
in memory when they are timed; the peers have float32 copies of the same values, and their results are compared with
ours. Without --peers, which need six times the memory, only ours is timed.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np

from benchmarks.measuring import finish, interleaved, machine
from embedonce.pipeline.search import brute_force
from embedonce.pipeline.search.moments import best_moments
from embedonce.pipeline.search.row_index import RowIndex, open_index
from embedonce.pipeline.search.rows import RowTable

DIM, TOP, GAP_SEC = 512, 10, 2.0
UNIT_ROWS, VIDEO_ROWS, PART_ROWS = 1 << 14, 7200, 1 << 18
REPEATS = 7


def unit_vectors(unit: str) -> np.ndarray:
    """(UNIT_ROWS, DIM) float16."""
    generator = np.random.default_rng(int(unit))
    centers = np.random.default_rng(0).standard_normal((1000, DIM), dtype=np.float32)
    rows = centers[generator.integers(0, 1000, UNIT_ROWS)]
    rows += generator.standard_normal((UNIT_ROWS, DIM), dtype=np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def make_index(folder: Path, num_rows: int) -> RowIndex:
    """An index of so many rows, rounded down to whole units."""
    units = [f"{number:06d}" for number in range(num_rows // UNIT_ROWS)]
    records = {unit: SimpleNamespace(unit=unit, sha256=unit, num_rows=UNIT_ROWS) for unit in units}
    return open_index(folder, records, DIM, unit_vectors, PART_ROWS)  # type: ignore[arg-type]


def contestants(index: RowIndex, table: RowTable, query: np.ndarray, with_peers: bool) -> dict:
    """Name -> a function that returns the ten best rows."""

    def ours() -> list[int]:
        return [row for row, _ in best_moments(brute_force.ranked(index.blocks, query), table, TOP, 0.0)]

    def our_moments() -> list[int]:
        return [row for row, _ in best_moments(brute_force.ranked(index.blocks, query), table, TOP, GAP_SEC)]

    found = {"search-cache": ours, "search-cache, moments": our_moments}
    if not with_peers:
        return found
    import faiss

    rows = np.concatenate([block.astype(np.float32) for block in index.blocks])
    flat = faiss.IndexFlatIP(DIM)
    flat.add(rows)

    def with_numpy() -> list[int]:
        scores = rows @ query
        best = np.argpartition(-scores, TOP)[:TOP]
        return best[np.argsort(-scores[best])].tolist()

    return found | {"faiss IndexFlatIP": lambda: flat.search(query[None], TOP)[1][0].tolist(), "numpy": with_numpy}


@click.command()
@click.option("--work-dir", type=click.Path(path_type=Path), required=True)
@click.option("--rows", default=1_000_000)
@click.option("--repeats", default=REPEATS)
@click.option("--peers", is_flag=True)
def main(work_dir: Path, rows: int, repeats: int, peers: bool) -> None:
    folder = work_dir / "search-index"
    try:
        index = make_index(folder, rows)
        count = index.num_rows
        numbers = np.arange(count)
        table = RowTable(
            tuple(map(str, range(-(-count // VIDEO_ROWS)))), numbers // VIDEO_ROWS, numbers % VIDEO_ROWS / 2
        )
        query = np.random.default_rng(1).standard_normal(DIM).astype(np.float32)
        query /= np.linalg.norm(query)
        calls = contestants(index, table, query, peers)
        results = {name: call() for name, call in calls.items()}  # warms up, too
        processor: dict[str, float] = {}
        seconds = interleaved(calls, repeats, processor)
        for name, sec in seconds.items():
            same = results[name] == results["search-cache"] or name.endswith("moments")
            ratio, work = sec / seconds["search-cache"], processor[name]
            click.echo(
                f"{name:24s} {sec:7.3f} s  {count / sec / 1e6:6.1f} M vectors/s  {ratio:5.2f}x  processor {work:6.3f} s"
                f"{'' if same else '  OTHER ROWS'}"
            )
        about = machine("numpy", "torch", "faiss-cpu")
        finish(
            "search",
            {"rows": count, "dim": DIM, "repeats": repeats, "seconds": seconds, "processor_sec": processor, **about},
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
