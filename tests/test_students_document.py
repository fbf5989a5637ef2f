"""docs/students.md: its tables list exactly the sizes of the program, with their parameters and weights."""

import shlex

import pytest
import timm

from embedonce import cli
from embedonce.models.backbones import timm_name
from embedonce.models.deploy import deployed_parameters
from embedonce.models.names import PRETRAINED_SIZES, STUDENT_SIZES, TEACHER_SIZES
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from tests.support.documentation import ROOT, section, table_rows

STUDENTS = ROOT / "docs" / "students.md"
SIZES, LATENCY, ADVICE = (table_rows(section(STUDENTS, name)) for name in ("All sizes", "Latency", "At a glance"))


def test_the_tables_list_all_sizes():
    assert sorted(size for size, *_ in SIZES) == sorted(STUDENT_SIZES)
    assert {name.split(",")[0] for name, *_ in LATENCY} == {*STUDENT_SIZES, TEACHER_SIZES["base"]}


@pytest.mark.parametrize("row", ADVICE, ids=lambda row: row[0])
def test_advice_is_a_command_of_the_program_that_trains_what_the_row_says(row):
    _, sizes, pixels, _, command = row
    program, *words = shlex.split(command.split(" (")[0])
    given = cli.main.commands[program].make_context(program, words).params
    if given["student_size"] is not None:  # else the defaults of a CPU
        assert given["student_size"] == sizes.replace(" ", "") and given["student_resolution"] == int(pixels)


@pytest.mark.parametrize("row", SIZES, ids=lambda row: row[0])
def test_parameters_and_weights_are_those_of_the_program(row):
    size, _, *counted, budget, weights = row
    for classes, expected in zip((10, 119), counted, strict=True):
        student = build_student(student_config(size, 512, classes, 128), pretrained=False).eval()
        assert f"{deployed_parameters(student):,}" == expected
        assert deployed_parameters(student) <= float(budget.removesuffix(" M")) * 1e6
    if size in PRETRAINED_SIZES:
        assert f"timm/{weights}" == timm.get_pretrained_cfg(timm_name(size)).hf_hub_id
    else:
        assert weights == "none"
