"""Shell completion: scripts for three shells, and the answers that they ask the program for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_cli import call, error_of
from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
sys.argv = ["embedonce"]
from embedonce.cli import run
try:
    run()
finally:
    if "torch" in sys.modules:
        print("torch was imported")
"""


def completions(*words: str, folder: Path | None = None) -> list[str]:
    """What the program answers to a shell that completes the last word."""
    variables = {"_EMBEDONCE_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words))}
    variables |= {"COMP_WORDS": " ".join(["embedonce", *words])}
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(command, env=os.environ | variables, cwd=folder, capture_output=True, text=True)
    assert ran.stderr == "" and "torch" not in ran.stdout
    return [line.partition(",")[2] for line in ran.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_calls_the_program(shell):
    script = call("completion", shell)
    assert f"_EMBEDONCE_COMPLETE={shell}_complete" in script and "embedonce" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_another_shell_is_refused():
    assert "is not one of" in error_of("completion", "tcsh")


@pytest.mark.integration
def test_commands_options_and_choices_are_completed():
    assert completions("train-") == ["train-student"]
    assert {"--data-dir", "--dry-run"} <= set(completions("extract-teacher", "--d"))
    assert completions("extract-teacher", "--backend", "") == ["hdf5", "webdataset"]
    assert completions("completion", "z") == ["zsh"]


@pytest.mark.integration
def test_names_in_lists_are_completed_one_after_another():
    assert completions("export-student", "--formats", "fp32,f") == ["fp32,fp16"]
    assert completions("train-student", "--report-to", "w") == ["wandb"]
    assert set(completions("train-student", "--student-size", "tiny,x")) == {"tiny,xxs", "tiny,xs"}


@pytest.mark.integration
def test_label_sets_are_those_of_the_cache(tmp_path):
    make_tiny_cache(tmp_path / "results" / "teacher_cache", 3)
    assert completions("train-student", "--label-set", "", folder=tmp_path) == ["tiny"]
    assert completions("train-student", "--cache-dir", "results/teacher_cache", "--label-set", "t", folder=tmp_path)
    assert completions("train-student", "--cache-dir", "nothing", "--label-set", "", folder=tmp_path) == []
    assert completions("train-student", "--cache-dir", "s3://b/c", "--label-set", "", folder=tmp_path) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.integration
def test_bash_completes_with_the_script(tmp_path):
    """As bash does it, with a program of that name in front of all others."""
    program = tmp_path / "embedonce"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}")
    program.chmod(0o755)
    (tmp_path / "script").write_text(call("completion", "bash"))
    lines = (
        f"PATH={tmp_path}:$PATH; source {tmp_path}/script",
        "COMP_WORDS=(embedonce verify-cache --pix); COMP_CWORD=2",
        "_embedonce_completion embedonce --pix verify-cache",
        'echo "${COMPREPLY[@]}"',
    )
    ran = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.split() == ["--pixels"], ran.stderr
