"""Messages name the program as it was started, and quote what a shell would change."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.cache.command_lines import as_argument, program, quoted


@pytest.fixture
def started(monkeypatch, tmp_path):
    """A function that says how the program was started, and what the shell finds; returns program()."""
    monkeypatch.chdir(tmp_path)

    def start(argument: str, *found: str, python: str = "bin/python") -> str:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name in found:
            (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
            (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(sys, "argv", [argument])
        monkeypatch.setattr(sys, "executable", str(tmp_path / python))
        return program()

    return start


def test_the_installed_program_is_named_as_the_shell_finds_it(started, tmp_path):
    assert started(str(tmp_path / "bin" / "embedonce"), "embedonce") == "embedonce"
    other = tmp_path / "my env" / "embedonce"
    assert shlex.split(started(str(other), "embedonce")) == [str(other)]


def test_a_script_is_run_by_the_python_that_runs_it_now(started, tmp_path):
    (tmp_path / "cli.py").touch()
    (tmp_path / "in here").mkdir()
    (tmp_path / "in here" / "cli.py").touch()
    assert started("cli.py", python="elsewhere/python3") == f"{tmp_path}/elsewhere/python3 cli.py"
    assert started("cli.py", "python3") == "python3 cli.py"
    assert started("in here/cli.py", "python") == "python 'in here/cli.py'"


def test_code_that_calls_the_program_gets_the_documented_form(started):
    for argument in ("", "-c", "/x/pytest", "/nowhere/cli.py"):
        assert started(argument) == "python cli.py"


@pytest.mark.parametrize("word", ["a b", "it's", "a\nb", "\t$HOME `id`", "a\\b", 'q"', "", "é", "\udcff", "!x", "*"])
def test_bash_reads_a_quoted_word_as_it_is(word):
    ran = subprocess.run(["bash", "-c", f"printf %s {quoted(word)}"], capture_output=True)
    assert ran.stdout == word.encode("utf-8", "surrogateescape")
    assert "\n" not in quoted(word)


def test_relative_paths_that_look_like_something_else_are_marked():
    changed = {"~me": "./~me", "-x": "./-x", "me@host:data": "./me@host:data", "s3:b": "./s3:b"}
    assert {path: as_argument(path) for path in changed} == changed
    for path in ("a b", "/~", "./-x", "../a:b", "s3://bucket/a:b", str(Path("x"))):
        assert as_argument(path) == path
