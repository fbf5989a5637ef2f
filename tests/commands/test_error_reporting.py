"""How errors are explained: the hint to repair a cache is given once, by the type of the error and not by its text."""

import pytest

from embedonce.cache.errors import BusyError, DamagedError, OtherVersionError, rebuild_hint
from embedonce.pipeline.commands.error_reporting import REPAIR_HINT, explain
from embedonce.pipeline.errors import InputError


def test_damage_is_explained_with_a_hint_to_repair_it():
    explained = explain(DamagedError("shard 000001.h5 is truncated"))
    assert explained.message == f"shard 000001.h5 is truncated{REPAIR_HINT}" and explained.exit_code == 4


def test_the_hint_does_not_depend_on_the_name_of_a_folder():
    assert explain(DamagedError("/data/repair/shard is truncated")).message.endswith(REPAIR_HINT)


@pytest.mark.parametrize(
    "error", [DamagedError(f"no plan; {rebuild_hint('c')}", has_advice=True), OtherVersionError("version 9")]
)
def test_an_error_that_names_its_own_remedy_gets_no_hint(error):
    assert explain(error).message == str(error) and explain(error).exit_code == 4


def test_a_library_that_cannot_be_imported_is_a_problem_of_the_machine():
    error = ImportError("libcudart.so.13: cannot open shared object file\nsecond line", name="torch._C")
    problem = "libcudart.so.13: cannot open shared object file second line"
    assert explain(error).message == f"torch cannot be imported ({problem}): it is damaged or missing; install it again"
    assert explain(error).exit_code == 5
    assert explain(ImportError("a mistake of ours", name="embedonce.cache.nothing")) is None
    assert explain(ImportError("of nobody")) is None


def test_details_of_an_error_are_kept():
    explained = explain(InputError("no video").with_details(["a", "b"]))
    assert (explained.message, explained.details, explained.exit_code) == ("no video", ("a", "b"), 2)


def test_other_errors():
    assert explain(BusyError("busy")).message == "busy"
    assert explain(ValueError("a mistake of ours")) is None
