"""Freed memory is kept where glibc can do that, by the commands that compute, and not against the user's settings."""

import os
import platform
import subprocess
import sys

import pytest

from embedonce.pipeline.commands import extract_teacher, train_student
from embedonce.pipeline.processes.allocator import keep_freed_memory
from tests.commands.test_cli import error_of

IS_GLIBC = platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
from embedonce.pipeline.processes.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(11):
    b"x" * (64 << 20)
    first = locals().get("first") or resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first)
"""


def faults_of_ten_buffers(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not IS_GLIBC, reason="not glibc")
def test_a_buffer_of_the_same_size_again_needs_no_new_pages():
    """64 MiB are 16,384 pages of 4 KiB."""
    assert faults_of_ten_buffers("keep") < 1000 < 10 * 16384 * 0.9 < faults_of_ten_buffers("leave")


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_environment_of_the_user_has_precedence(monkeypatch, name):
    monkeypatch.setenv(name, "")
    assert not keep_freed_memory()


def test_other_libraries_are_left_alone(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()


@pytest.mark.parametrize(
    "module, command, code",
    [
        (extract_teacher, ("extract-teacher", "--data-dir", "nowhere", "--cache-dir"), 2),
        (train_student, ("train-student", "--cache-dir"), 4),
    ],
)
def test_commands_that_compute_keep_it(monkeypatch, tmp_path, module, command, code):
    calls = []
    monkeypatch.setattr(module, "keep_freed_memory", lambda: calls.append(command[0]))
    error_of(*command, tmp_path / "none", code=code)
    assert calls == [command[0]]
