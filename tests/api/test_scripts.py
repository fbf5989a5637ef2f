"""Programs that use the library without `if __name__ == "__main__"`: no process that they start runs them again.

Also where the main module is no file: a command of the interpreter, and standard input.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.videos import write_video

ROOT = Path(__file__).parents[2]
LIMIT_SEC = 300  # a run takes a tenth of this; processes that run the program again have taken minutes
EXTRACTING = """
print("begun", flush=True)
import embedonce
found = embedonce.extract(data_dir="videos", cache_dir="cache", teacher_size="demo", fps=1, decode_workers=2)
print(found.committed, "of", found.listed, flush=True)
"""
EVERYTHING = """
print("begun", flush=True)
import multiprocessing
multiprocessing.set_start_method("spawn")  # as on macOS; by default, Linux forks the processes of loaders
import embedonce
options = {"cache_dir": "cache", "num_workers": 1}
embedonce.extract(use_synthetic=True, num_samples=12, cache_dir="cache", teacher_size="demo", fps=1, decode_workers=2)
student = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "frames_per_clip": 1}
trained = embedonce.train(output_dir="run", epochs=1, batch_size=2, **options, **student)
checkpoint = trained.students[0].checkpoint
evaluated = embedonce.evaluate(output_dir="run", student_checkpoint=checkpoint, batch_size=2, **options)
print(evaluated.results.num_clips, "clips", flush=True)
"""


def run_python(folder: Path, arguments: list[str], stdin: str = "") -> str:
    """What a program printed."""
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT_SEC,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in "ab":
        write_video(tmp_path / "videos" / f"{name}.mp4", 30)
    return tmp_path


@pytest.mark.integration
def test_a_script_extracts(folder):
    (folder / "script.py").write_text(EXTRACTING)
    assert run_python(folder, ["script.py"]) == "begun\n2 of 2\n"


@pytest.mark.slow
def test_a_command_of_the_interpreter_extracts(folder):
    assert run_python(folder, ["-c", EXTRACTING]) == "begun\n2 of 2\n"


@pytest.mark.slow
def test_standard_input_extracts(folder):
    assert run_python(folder, [], stdin=EXTRACTING) == "begun\n2 of 2\n"


@pytest.mark.slow
def test_a_script_extracts_trains_and_evaluates_with_spawned_processes(folder):
    (folder / "script.py").write_text(EVERYTHING)
    printed = run_python(folder, ["script.py"])
    assert printed.startswith("begun\n") and printed.count("begun") == 1 and printed.endswith("6 clips\n")
