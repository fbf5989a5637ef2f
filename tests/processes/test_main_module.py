"""Processes that do not import the main module of the one that starts them."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

from embedonce.pipeline.processes.main_module import without_main

ROOT = Path(__file__).parents[2]
SCRIPT = """
print("begun", flush=True)
from pathlib import Path
from embedonce.pipeline.sources.synthetic.generate import make_synthetic
make_synthetic(Path("data"), 12, 2, 0)
print("made", flush=True)
"""


def test_other_threads_may_look_at_the_main_module_while_a_process_starts():
    """torch does while it is imported: a main module whose `__file__` is None ends that with a TypeError."""
    before = sys.modules["__main__"]
    attributes = dict(vars(before))
    with without_main():
        assert vars(before) == attributes and inspect.getmodule(len) is not None
        assert sys.modules["__main__"].__spec__ is None and not hasattr(sys.modules["__main__"], "__file__")
    assert sys.modules["__main__"] is before


def test_a_script_that_makes_synthetic_videos_does_not_begin_anew_in_their_processes(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])}
    ran = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "begun\nmade\n", "")
