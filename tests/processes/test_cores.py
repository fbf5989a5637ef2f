"""The cores that this process may use, under the limits of a container."""

import os
from pathlib import Path

import pytest

from embedonce.pipeline.processes.cores import usable_cores


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def _cores(tmp_path: Path, own: str, **files: str) -> int:
    """usable_cores() where /proc/self/cgroup has this text and these files of control groups exist."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name.replace("__", "/").replace("_of_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return usable_cores(tmp_path / "groups", tmp_path / "own")


def test_without_limits_all_cores_of_the_process_count(tmp_path, eight_cores):
    assert _cores(tmp_path, "0::/\n", cpu_of_max="max 100000\n") == 8
    assert usable_cores(tmp_path / "none", tmp_path / "no such file") == 8


def test_a_quota_limits_the_cores(tmp_path, eight_cores):
    assert _cores(tmp_path, "0::/\n", cpu_of_max="250000 100000\n") == 3
    assert _cores(tmp_path, "0::/\n", cpu_of_max="50000 100000\n") == 1
    assert _cores(tmp_path, "0::/\n", cpu_of_max="3200000 100000\n") == 8


def test_the_smallest_quota_of_all_groups_around_the_process_counts(tmp_path, eight_cores):
    own = "0::/outer/inner\n"
    assert _cores(tmp_path, own, outer__cpu_of_max="200000 100000", outer__inner__cpu_of_max="400000 100000") == 2


def test_a_group_that_only_the_host_sees_leaves_the_one_at_the_top(tmp_path, eight_cores):
    assert _cores(tmp_path, "0::/host/container\n", cpu_of_max="400000 100000\n") == 4


def test_version_1_of_control_groups(tmp_path, eight_cores):
    own = "5:cpuset:/\n4:cpu,cpuacct:/job\n0::/\n"
    folder = tmp_path / "groups" / "cpu,cpuacct" / "job"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("300000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert _cores(tmp_path, own) == 3
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert _cores(tmp_path, own) == 8
