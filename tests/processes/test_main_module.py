"""Processes that do not import the main module of the one that starts them."""

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.pipeline.processes.main_module import without_main
from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[2]
SCRIPT = """
print("begun", flush=True)
from pathlib import Path
from embedonce.pipeline.sources.synthetic.generate import make_synthetic
make_synthetic(Path("data"), 12, 2, 0)
print("made", flush=True)
"""
LOADING = """
print("begun", flush=True)
import multiprocessing
multiprocessing.set_start_method("spawn")
from embedonce.cache.store import open_reader
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.clips.loader import batches
reader = open_reader("cache")
labels = reader.label_set()
clips = ClipDataset(reader, labels, list(labels.clips), ClipSampling(2, 32, random=False, seed=0))
print(sum(len(batch["label"]) for batch in batches(clips, [[0, 1], [2]], 1)), flush=True)
"""


def test_other_threads_may_look_at_the_main_module_while_a_process_starts():
    """torch does while it is imported: a main module whose `__file__` is None ends that with a TypeError."""
    before = sys.modules["__main__"]
    attributes = dict(vars(before))
    with without_main():
        assert vars(before) == attributes and inspect.getmodule(len) is not None
        assert sys.modules["__main__"].__spec__ is None and not hasattr(sys.modules["__main__"], "__file__")
    assert sys.modules["__main__"] is before


def test_a_process_that_is_forked_while_another_starts_can_start_some_itself():
    with without_main():
        child = os.fork()
        if not child:
            signal.alarm(10)
            with without_main():
                os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def run_script(folder: Path, script: str) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])}
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_a_script_that_makes_synthetic_videos_does_not_begin_anew_in_their_processes(tmp_path):
    ran = run_script(tmp_path, SCRIPT)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "begun\nmade\n", "")


@pytest.mark.integration
def test_a_script_that_loads_clips_does_not_begin_anew_in_spawned_loader_processes(tmp_path):
    make_tiny_cache(tmp_path / "cache", 1)
    ran = run_script(tmp_path, LOADING)
    assert (ran.returncode, ran.stdout) == (0, "begun\n3\n"), ran.stderr
