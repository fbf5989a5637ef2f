"""Repairs while the operating system's own reads fail: the short form of what benchmarks/faults.py does."""

import shutil

import pytest

from benchmarks.failing_reads import failing_repairs
from tests.cache.test_verify import cache, originals  # noqa: F401  (fixtures)


@pytest.mark.slow
def test_a_repair_under_failing_reads_removes_no_intact_file(cache, tmp_path):  # noqa: F811
    if shutil.which("gcc") is None:
        pytest.skip("the library that lets reads fail is compiled by gcc")
    figures = failing_repairs(cache, tmp_path / "failing", 27, 0)
    assert figures["whole files removed or changed"] == 0 and figures["other ends"] == {}
    assert figures["repairs under failing reads"] == 27 and figures["refused with exit code 5"] >= 20
