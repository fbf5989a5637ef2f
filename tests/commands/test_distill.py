"""distill: one command from videos to an exported student, whose steps are skipped where they are done."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from embedonce import cli
from embedonce.pipeline.distillation import distill as distilling
from embedonce.pipeline.distillation.steps import SETTINGS, DistillOptions
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction import teacher_loading
from tests.commands.test_cli import call, error_of
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_actions

pytestmark = pytest.mark.usefixtures("forked_workers")
STEPS = ("extract-teacher", "train-student", "evaluate", "export-student")
SMALL = {
    "extract-teacher": {"decode_workers": 1},
    "train-student": {"batch-size": 4},
    "export-student": {"num_samples": 2, "calibration_frames": 2},
}


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch):
    class Teacher(FakeTeacher):
        def drop_text_tower(self):
            self.class_text = None

    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: Teacher())


def write_config(folder: Path, **sections) -> Path:
    path = folder / "steps.yaml"
    path.write_text(yaml.safe_dump(SMALL | sections))
    return path


@pytest.fixture
def arguments(tmp_path) -> list:
    """Of a distillation that takes seconds."""
    (tmp_path / "videos").mkdir()
    videos = write_actions(tmp_path / "videos", 5, 60)
    small = ["--student-size", "tiny", "--student-resolution", 128, "--frames-per-clip", 2, "--epochs", 1]
    places = ["--data-dir", videos, "--output-dir", tmp_path / "out", "--config", write_config(tmp_path)]
    return ["distill", *places, *small, "--formats", "fp32", "--num-workers", 0, "--device", "cpu"]


def ran(output: str) -> list[str]:
    """The steps that were run, by the command lines that were printed."""
    return re.findall(r"^\$ python cli\.py (\S+)", output, re.MULTILINE)


def skipped(output: str) -> list[str]:
    return re.findall(r"^(\S+): skipped, ", output, re.MULTILINE)


@pytest.mark.slow
def test_one_command_makes_everything_and_repeats_nothing(arguments, tmp_path):
    output, out = call(*arguments), tmp_path / "out"
    assert ran(output) == list(STEPS) and skipped(output) == []
    for name in ("teacher_cache/manifest.json", "best_student.pt", "report.html", "export/frames.fp32.onnx"):
        assert (out / name).exists(), name
        assert name.startswith("teacher_cache") or str(out / name.split("/")[0]) in output
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = call(*arguments)
    assert ran(again) == [] and skipped(again) == list(STEPS)
    assert "best student of 1 epochs" in again
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == files

    # what changed is done again, and nothing else
    config = arguments[arguments.index("--config") + 1]
    write_config(tmp_path, evaluate={"split": "train"})
    output = call(*arguments)
    assert ran(output) == ["evaluate"] and "evaluate: --split changed" in output and config.exists()
    arguments[arguments.index("--formats") + 1] = "fp16"
    output = call(*arguments)
    assert ran(output) == ["export-student"] and "export-student: --formats changed" in output
    assert not (out / "export" / "frames.fp32.onnx").exists()

    # another student never replaces this one unasked
    arguments[arguments.index("--epochs") + 1] = 2
    student = (out / "best_student.pt").read_bytes()
    assert "holds another training run (epochs: 1 -> 2)" in error_of(*arguments)
    assert (out / "best_student.pt").read_bytes() == student
    output = call(*arguments, "--overwrite")
    assert ran(output) == list(STEPS[1:]) and "the last evaluation is of another student" in output
    again = call(*arguments, "--overwrite")  # which is no order to train the same student again
    assert ran(again) == []

    # new videos are extracted, and the student that has not seen them stays
    shutil.copy(next((tmp_path / "videos").rglob("*.mp4")), tmp_path / "copy.mp4")
    (tmp_path / "videos" / "stir pot" / "torn.mp4").write_bytes(b"not a video")
    output = call(*arguments, code=3)
    assert ran(output) == ["extract-teacher"] and "1 new videos" in output
    again = call(*arguments, code=3)
    assert ran(again) == [] and "1 of which cannot be used" in again


@pytest.fixture
def requested(monkeypatch):
    """A function of arguments that returns the request made of them; nothing is run."""
    found = []

    class GotError(Exception):
        pass

    def handed_over(request, commands):
        found.append(request)
        raise GotError

    monkeypatch.setattr(distilling, "distill", handed_over)

    def request(*arguments):
        with pytest.raises(GotError):
            call("distill", *arguments)
        return found[-1]

    return request


def step_lines(request) -> dict[str, list[str]]:
    """Name of each step -> the words that it is run with."""
    return {step.name: shlex.split(step.line)[3:] for step in request.steps()}


def test_options_reach_their_steps_and_nothing_else_is_given(requested):
    lines = step_lines(requested("--data-dir", "my videos", "--epochs", 3, "--formats", "fp16", "--seed", 4))
    cache, student = ["--cache-dir", "results/teacher_cache"], ["--student-checkpoint", "results/best_student.pt"]
    assert lines == {
        "extract-teacher": ["--data-dir", "my videos", "--seed", "4", *cache],
        "train-student": ["--epochs", "3", "--seed", "4", *cache, "--output-dir", "results"],
        "evaluate": ["--seed", "4", *cache, *student, "--output-dir", "results"],
        "export-student": ["--formats", "fp16", "--seed", "4", *cache, *student, "--output-dir", "results/export"],
    }


def test_switches_are_given_as_they_were_chosen(requested):
    chosen = ["--no-student-pretrained", "--no-store-logits", "--strict", "--device", "cpu", "--num-workers", 1]
    lines = step_lines(requested("--manifest", "m.csv", *chosen))
    assert "--no-student-pretrained" in lines["train-student"]
    assert {"--no-store-logits", "--strict"} <= set(lines["extract-teacher"])
    takers = {name for name, words in lines.items() if "--device" in words}
    assert takers == {"extract-teacher", "train-student", "evaluate"}
    assert {name for name, words in lines.items() if "--num-workers" in words} == {"train-student", "evaluate"}


def test_every_option_belongs_to_a_step_that_has_it():
    declared = {name: {option.name for option in kind.options()} for name, kind in SETTINGS.items()}
    for option in DistillOptions.options():
        takers = [name for name, given in distilling_steps(option.name).items() if given]
        assert takers and all(option.name in declared[name] for name in takers), option.name
    unset = {param.name for param in cli.main.commands["distill"].params} - {o.name for o in DistillOptions.options()}
    assert unset == {"output_dir", "cache_dir", "overwrite", "dry_run", "sections", "verbose", "debug"}


def distilling_steps(name: str) -> dict[str, dict]:
    from embedonce.pipeline.distillation.steps import by_step

    return by_step({name: 1})


def test_sections_set_what_the_command_line_does_not(requested, tmp_path):
    sections = {"train-student": {"epochs": 7, "lr": "1e-2"}, "evaluate": {"split": "test"}}
    lines = step_lines(requested("--data-dir", "d", "--epochs", 3, "--config", write_config(tmp_path, **sections)))
    assert shlex.join(lines["train-student"]).count("--epochs") == 1 and "1e-2" in lines["train-student"]
    assert "--split test" in shlex.join(lines["evaluate"])


MISTAKES = {
    "an unknown section": ({"evalute": {}}, "the section evalute; there are: extract-teacher, train-student"),
    "an unknown option": ({"train-student": {"epoch": 3}}, "sets epoch, which train-student does not have; did you"),
    "a place": ({"evaluate": {"output-dir": "x"}}, "sets output_dir, which distill decides"),
    "a dry run": ({"extract-teacher": {"dry_run": True}}, "sets dry_run, which distill decides"),
    "another file": ({"train-student": {"config": "x.yaml"}}, "sets config, which train-student does not have"),
    "help": ({"train-student": {"help": True}}, "sets help, which train-student does not have"),
    "another type": ({"train-student": {"epochs": 1.5}}, "sets epochs to 1.5, not a whole number"),
    "no section": ({"evaluate": 3}, "must hold `option: value` lines, not '3'"),
    "an impossible value": ({"train-student": {"student_resolution": 100}}, "a multiple of 32"),
    "an impossible format": ({"export-student": {"formats": "pdf"}}, "--formats must be one or more of"),
    "twice": ({"evaluate": {"num-samples": 1, "num_samples": 2}}, "twice"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_sections_are_found_before_anything_runs(tmp_path, monkeypatch, mistake):
    monkeypatch.chdir(tmp_path)
    sections, message = MISTAKES[mistake]
    path = write_config(tmp_path, **sections)
    assert message in error_of("distill", "--data-dir", tmp_path, "--config", path)
    assert list(tmp_path.iterdir()) == [path]


def test_other_mistakes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no input" in error_of("distill")
    (tmp_path / "list.yaml").write_text("[1]")
    assert "must hold `option: value` lines" in error_of("distill", "--config", "list.yaml")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "only train-student under torchrun" in error_of("distill", "--data-dir", tmp_path)


@pytest.mark.integration
def test_a_dry_run_prints_the_commands_and_writes_nothing(arguments, tmp_path):
    output = call(*arguments, "--dry-run", "--teacher-size", "demo")
    assert ran(output) == list(STEPS) and "videos: 10 listed = 10 new + 0 known" in output
    assert not (tmp_path / "out").exists()
    for line in re.findall(r"^\$ python cli\.py (.*)", output, re.MULTILINE):
        name, *words = shlex.split(line)
        cli.main.commands[name].make_context(name, words)
    assert "there is nothing to survey yet" in call("distill", "--use-synthetic", "--dry-run")


def test_a_step_that_fails_ends_the_distillation_with_its_exit_code(arguments, monkeypatch):
    def failing(config):
        error = PipelineError("the disk is on fire")
        error.exit_code = 4
        raise error

    monkeypatch.setattr("embedonce.pipeline.extraction.extract_teacher.run", failing)
    output = call(*arguments, code=4)
    assert "distill: extract-teacher failed; the same command continues there" in output
    assert "Error: the disk is on fire" in output and ran(output) == ["extract-teacher"]


def test_an_interrupt_in_a_step_ends_the_distillation(arguments, monkeypatch):
    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("embedonce.pipeline.extraction.extract_teacher.run", interrupted)
    output = call(*arguments, code=130)
    assert "run the same command again to continue" in output and ran(output) == ["extract-teacher"]
