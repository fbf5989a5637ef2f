"""The table of all students: factors compare equal numbers of threads, and every graph has its place in the table."""

import numpy as np
import pytest

from benchmarks.latency import REFERENCE
from benchmarks.measuring import interleaved
from benchmarks.student_graphs import Facts, student_graphs
from benchmarks.students import measure, table, with_factors


def row(name: str, precision: str, threads: int, wall_ms: float, processor_ms: float = 1.0) -> dict:
    facts = {"name": name, "pixels": 224, "precision": precision, "threads": threads, "parameters": 1000}
    return facts | {"macs": 2_000_000, "bytes": 9, "wall_ms": wall_ms, "processor_ms": processor_ms}


ROWS = [
    row(REFERENCE, "fp32", 1, 100.0, 90.0),
    row(REFERENCE, "fp32", 2, 60.0, 95.0),
    row("tiny", "fp32", 1, 10.0, 9.0),
    row("tiny", "fp32", 2, 5.0, 9.5),
    row("tiny", "int8", 1, 8.0, 4.5),
    row("tiny", "int8", 2, 4.0, 5.0),
]


@pytest.mark.parametrize(
    ("clock", "expected"), [("wall", [1, 1, 10, 12, 12.5, 15]), ("processor", [1, 1, 10, 10, 20, 19])]
)
def test_factors_are_against_the_reference_with_the_same_threads(clock, expected):
    assert [one["factor"] for one in with_factors(ROWS, clock)] == expected


def test_the_table_has_a_line_for_each_student_and_a_column_for_each_kind_of_run():
    head, _, reference, student = table(with_factors(ROWS, "wall"), "wall")
    columns = ["fp32, 1 thread", "fp32, 2 threads", "int8, 1 thread", "int8, 2 threads"]
    assert head.split(" | ")[3:] == [*columns[:3], columns[3] + " |"]
    assert reference.endswith("| 100.00 (1.0) | 60.00 (1.0) |  |  |")
    assert student == "| `tiny`, 224 | 1,000 | 2 M | 10.00 (10.0) | 5.00 (12.0) | 8.00 (12.5) | 4.00 (15.0) |"


@pytest.mark.integration
def test_graphs_that_were_kept_are_those_that_were_built(tmp_path):
    built = student_graphs("lcnet050", 128, tmp_path)
    assert student_graphs("lcnet050", 128, tmp_path) == built
    facts = built[0].facts
    assert (facts.name, facts.pixels, facts.parameters) == ("lcnet050", 128, 504_298) and 1e7 < facts.macs < 3e7
    assert [graph.precision for graph in built] == ["fp32", "int8"]
    assert len(built[1].model) < 0.5 * len(built[0].model)
    assert [one["bytes"] for one in measure(built, [1], 1)] == [len(graph.model) for graph in built]


def test_images_have_the_type_that_a_graph_takes():
    students, towers = Facts("tiny", 128, 1, 1).image(), Facts(REFERENCE, 224, 1, 1, "images", "float32").image()
    assert students["frames"].dtype == np.uint8 and students["frames"].max() == 255
    assert towers["images"].dtype == np.float32 and towers["images"].max() == 1
    assert towers["images"].shape == (1, 3, 224, 224)


def test_a_call_is_warmed_up_in_each_round_before_it_is_timed():
    order: list[str] = []
    seconds = interleaved({name: lambda name=name: order.append(name) for name in "ab"}, 2, untimed=2)
    assert order == [*"aaabbb", *"bbbaaa"] and set(seconds) == {"a", "b"}
