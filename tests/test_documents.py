"""The documents: commands run as they are printed, links lead somewhere, and maps show what is there."""

import configparser
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedonce import cli
from tests.extraction.test_runner import make_source, run
from tests.support.documentation import (
    ROOT,
    anchors,
    code_blocks,
    documents,
    links,
    section,
    shell_commands,
)
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

README = ROOT / "README.md"
COMMANDS = [
    (path, command)
    for path in documents()
    if path.name != "extending.md"  # its commands use the plug-ins that it shows; the tests of the plug-ins run them
    for command in shell_commands(path)
]
OF_OTHERS = {"torch.distributed.run"}
FILES = (
    "clip.safetensors",
    "names.csv",
    "clips.csv",
    "corrected.csv",
    "uids.txt",
    "my_actions.txt",
    "my_prompts.yaml",
    "prompts.json",
    "my_video.mp4",
    "my_photo.jpg",
    "steps.yaml",
)  # of users, in examples


def names(values) -> list[str]:
    return [f"{path.name}: {shlex.join(command)[:60]}" for path, command in values]


def check_program(words: list[str]) -> None:
    """A command of this program, given to click's own parser: every option and value is accepted."""
    command = cli.main.commands[words[0]]
    command.make_context(words[0], words[1:])


def check_module(module: str, options: list[str]) -> None:
    """A module that can be run, whose source has every option that it is given."""
    assert find_spec(module) is not None, module
    source = Path(find_spec(module).origin).read_text()
    for option in options:
        name = option.split("=")[0]
        assert not option.startswith("--") or name in source or name[2:].replace("-", "_") in source, option


def check_pip(words: list[str]) -> None:
    """An installation from the checkout: the package is on no index."""
    assert words[:2] == ["install", "-e"] and words[2].startswith("."), words
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for extra in re.findall(r"\[(.*)\]", words[2]):
        assert extra in settings["options.extras_require"], extra


@pytest.mark.parametrize("path, command", COMMANDS, ids=names(COMMANDS))
def test_every_command_is_one_that_can_be_run(path, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).write_text("one\ntwo\n")
    program, *words = command
    if program == "torchrun":
        words = words[words.index("cli.py") :]
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    elif program == "pip":
        check_pip(words)
    elif program == "source":
        assert words == [".venv/bin/activate"]
    elif words[0] == "cli.py":
        check_program(words[1:])
    elif words[0] == "-m":
        check_module(words[1], words[2:])
    else:
        assert (ROOT / words[0]).is_file()


def test_all_documents_have_been_found():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "architecture.md"} <= {path.name for path in documents()}
    assert len(COMMANDS) > 40


def run_readme(heading: str, folder: Path, monkeypatch) -> None:
    """The commands of a section of the README, one after another, in a folder."""
    monkeypatch.chdir(folder)
    for _, script, *words in shell_commands(README, heading):
        assert script == "cli.py"
        result = CliRunner().invoke(cli.main, words)
        assert result.exit_code == 0, (words, result.output)


@pytest.mark.integration
def test_the_commands_for_caches_run_as_printed(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", 30)
    run(make_source(tmp_path / "videos", ["a"]), tmp_path / "results" / "teacher_cache", decode_workers=1)
    run_readme("Caches", tmp_path, monkeypatch)
    assert (tmp_path / "sheet.html").exists() and (tmp_path / "results" / "as_tars").is_dir()
    (block,) = code_blocks(README, "Caches")
    scope = {}
    exec(compile(block, "README.md", "exec"), scope)
    assert scope["cache"].identity.backend == "hdf5"


@pytest.mark.slow
def test_the_commands_for_students_run_as_printed(tmp_path, monkeypatch):
    """Training and evaluation; what downloads weights or needs several processes is left out."""
    make_tiny_cache(tmp_path / "results" / "teacher_cache", 12)
    monkeypatch.chdir(tmp_path)
    train, *_ = shell_commands(README, "Training")
    quick = ["--no-student-pretrained", "--student-resolution", "128", "--epochs", "1", "--num-workers", "0"]
    for words in (train[2:] + quick, *(command[2:] for command in shell_commands(README, "Evaluation"))):
        result = CliRunner().invoke(cli.main, words)
        assert result.exit_code == 0, (words, result.output)
    assert (tmp_path / "results" / "comparison" / "comparison.csv").exists()


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for file, anchor in links(path):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), (file, anchor)
        assert not anchor or anchor in anchors(target), (file, anchor)


def test_the_map_shows_every_package():
    """The map in docs/architecture.md: at most 40 lines, and each package of the pipeline once."""
    block = code_blocks(ROOT / "docs" / "architecture.md", "Map", "")[0]
    assert len(block.splitlines()) <= 45
    pipeline = block.split("pipeline/\n")[1].split("tests/")[0]
    listed = re.findall(r"\b(\w+)/", "\n".join(line[:26] for line in pipeline.splitlines()))
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py"))


def test_the_glossary_has_terms_that_the_documents_use():
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[2:]
    assert len(rows) >= 20
    text = " ".join(path.read_text().lower() for path in documents() if path.name != "glossary.md")
    missing = [
        term for row in rows for term in row.strip().split(", ") if term.rstrip("s").removesuffix("@k") not in text
    ]
    assert missing == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_documents_refer_to_nothing_outside(path):
    outside = r"the mission\b|the old system|in the design\b|\.\./shared|/work/|/home/|/root/|pypi\.org"
    assert re.search(outside, path.read_text(), re.IGNORECASE) is None


def test_every_target_is_explained_by_make_help():
    targets = re.findall(r"^([a-z0-9-]+):.*?(## .+)?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name, help in targets if not help] == []


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) < 270
    assert section(README, "Try it: two commands").count("make ") >= 2
