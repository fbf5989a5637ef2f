"""What a measured command needs includes the processes that it starts."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.process_usage import CommandError, measure

CHILD = """
import subprocess, sys, time
def work(megabytes, seconds):
    data = bytearray(megabytes << 20)
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
    time.sleep(1.5)
"""
PARENT = CHILD + "process = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); work(50, 0.3); process.wait()"


def test_processor_time_and_memory_of_all_processes_count(tmp_path):
    found = measure([sys.executable, "-c", PARENT, CHILD + "work(150, 0.5)"], dict(os.environ), Path(tmp_path))
    assert found.cpu_sec >= 0.8 and found.wall_sec >= 1.5
    assert 50 < found.parent_mb < 150 < found.child_mb < found.all_mb


def test_a_command_that_fails_is_an_error_with_its_last_line(tmp_path):
    with pytest.raises(CommandError, match="no such model"):
        measure([sys.executable, "-c", "import sys; sys.exit('no such model')"], dict(os.environ), Path(tmp_path))
