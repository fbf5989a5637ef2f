"""The memory that is left for this process, under the limits of a container."""

from pathlib import Path

import pytest

from embedonce.pipeline.processes.memory import available_memory

GB = 1 << 30


@pytest.fixture
def available(tmp_path):
    """A function of /proc/self/cgroup's text and of files of control groups, on a machine with 8 GB left."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 * GB >> 10} kB\nMemAvailable: {8 * GB >> 10} kB\n")

    def function(own: str, files: dict[str, object]) -> int | None:
        (tmp_path / "own").write_text(own)
        for name, value in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        return available_memory(tmp_path / "meminfo", tmp_path / "groups", tmp_path / "own")

    return function


def test_without_limits_it_is_that_of_the_machine(available):
    assert available("", {}) == 8 * GB
    assert available("0::/\n", {"memory.max": "max", "memory.current": GB}) == 8 * GB


def test_a_limit_leaves_what_is_not_in_use_and_what_can_be_given_back(available):
    limited = {"memory.max": 4 * GB, "memory.current": 3 * GB}
    assert available("0::/\n", limited) == GB
    assert available("0::/\n", limited | {"memory.stat": f"anon 5\ninactive_file {2 * GB}"}) == 3 * GB
    assert available("0::/\n", {"memory.max": 16 * GB}) == 8 * GB


def test_the_strictest_group_counts_and_none_has_less_than_nothing(available):
    outer = {"a/memory.max": 2 * GB, "a/memory.current": GB}
    assert available("0::/a/b\n", outer | {"a/b/memory.max": 6 * GB, "a/b/memory.current": 0}) == GB
    assert available("0::/a/b\n", {"a/b/memory.max": GB, "a/b/memory.current": 3 * GB}) == 0


def test_version_1_of_control_groups(available):
    files = {"memory/job/memory.limit_in_bytes": 3 * GB, "memory/job/memory.usage_in_bytes": GB}
    assert available("7:cpu:/job\n6:memory:/job\n", files) == 2 * GB


def test_systems_that_do_not_tell(tmp_path):
    missing = Path(tmp_path / "none")
    assert available_memory(missing, missing, missing) is None
