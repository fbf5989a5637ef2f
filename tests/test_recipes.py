"""The recipes for several machines: they parse, are short, stand in docs/scale.md, and use options that exist."""

import itertools
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from embedonce import cli
from embedonce.pipeline.extraction.parts import Part

ROOT = Path(__file__).parents[1]
SCRIPTS = ("slurm.sh", "ray.sh")
PARTS = ("slurm.sh", "kubernetes.yaml")
RECIPES = (*PARTS, "ray.sh")
MAX_LINES = 15


def text_of(name: str) -> str:
    return (ROOT / "examples" / name).read_text()


def job() -> dict:
    return yaml.safe_load(text_of("kubernetes.yaml"))


def shell_text(name: str) -> str:
    """What a shell runs of a recipe."""
    if name in SCRIPTS:
        return text_of(name)
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["sh", "-c"]
    return container["command"][2]


def arguments(name: str, **variables: object) -> list[str]:
    """The arguments of extract-teacher in a recipe, as a shell passes them where these variables are set."""
    script = re.sub(r"^\S*python cli.py", "printf '%s\\\\n'", shell_text(name), flags=re.MULTILINE)
    environment = {key: str(value) for key, value in variables.items()}
    shell = "bash" if name == "slurm.sh" else "sh"
    ran = subprocess.run([shell, "-euc", script], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_short_and_stand_in_the_document(name):
    assert len(text_of(name).splitlines()) <= MAX_LINES
    assert text_of(name) in (ROOT / "docs" / "scale.md").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_parse(name):
    shell = re.match(r"#!/bin/(bash|sh)\n", text_of(name))[1]
    subprocess.run([shell, "-n"], input=text_of(name), text=True, check=True)


@pytest.mark.parametrize("name", PARTS)
def test_recipes_use_options_that_exist(name):
    command, *words = arguments(name, SLURM_ARRAY_TASK_ID=1, JOB_COMPLETION_INDEX=0)
    context = cli.main.commands[command].make_context(command, words)
    assert command == "extract-teacher" and context.params["cache_dir"]
    documented = (ROOT / "docs" / "options.md").read_text()
    assert [word for word in words if word.startswith("--") and f"`{word}" not in documented] == []


def test_the_array_has_every_part_once():
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", text_of("slurm.sh")).groups())
    parts = [part_of(arguments("slurm.sh", SLURM_ARRAY_TASK_ID=number)) for number in range(first, last + 1)]
    assert parts == [Part(number, len(parts)) for number in range(1, len(parts) + 1)]


def test_the_indexed_job_has_every_part_once():
    specification = job()["spec"]
    assert specification["completionMode"] == "Indexed"
    count = specification["completions"]
    parts = [part_of(arguments("kubernetes.yaml", JOB_COMPLETION_INDEX=index)) for index in range(count)]
    assert parts == [Part(number, count) for number in range(1, count + 1)]


def part_of(words: list[str]) -> Part:
    return Part.parse(dict(itertools.pairwise(words))["--part"])


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("code, status", [(0, 0), (3, 0), (2, 1), (5, 1)])
def test_a_part_with_quarantined_videos_is_not_run_again(name, code, status):
    script = re.sub(r"^\S*python cli.py", f"run() {{ return {code}; }}; run", shell_text(name), flags=re.MULTILINE)
    environment = {"SLURM_ARRAY_TASK_ID": "1", "JOB_COMPLETION_INDEX": "0"}
    assert subprocess.run(["bash", "-c", script], env=environment, check=False).returncode == status
