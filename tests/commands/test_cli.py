"""The command line: whole runs, mistakes explained in one sentence with an exit code, help without torch."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.store import open_reader
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_schema import SCHEMA
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_actions

pytestmark = pytest.mark.usefixtures("forked_workers")

ROOT = Path(__file__).parents[2]


def call(*arguments, code: int = 0) -> str:
    """Run a command in this process and return its whole output, which never has a traceback."""
    result = CliRunner().invoke(cli.main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def error_of(*arguments, code: int = 2) -> str:
    """Run a command that must fail and return its error message as one line."""
    return " ".join(call(*arguments, code=code).partition("Error: ")[2].split())


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch):
    """Replace the CLIP teacher by a fake one where extraction loads it; everything else is real."""

    class Teacher(FakeTeacher):
        def drop_text_tower(self):
            self.class_text = None

    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: Teacher())


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return write_actions(tmp_path_factory.mktemp("videos"), 5, 60)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache")


SMALL = ["--student-size", "tiny", "--student-resolution", "128", "--epochs", "1", "--frames-per-clip", "2"]
HERE = ["--num-workers", "0", "--device", "cpu"]


# -- whole runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head", ["zero-shot", *(pytest.param(head, marks=pytest.mark.slow) for head in ("fitted", "none"))]
)
@pytest.mark.integration
def test_three_commands_in_a_row(videos, tmp_path, head):
    cache, out = tmp_path / "cache", tmp_path / "out"
    output = call("extract-teacher", "--data-dir", videos, "--cache-dir", cache, "--teacher-head", head)
    assert "listed 10 videos = 10 committed + 0 quarantined + 0 pending" in output
    assert f"label set {head}: 2 classes, 10 clips" in output
    labels = open_reader(cache).label_set()
    assert labels.classes == ("cut bread", "stir pot") and labels.kind == head
    assert len({(c.video_uid, c.split) for c in labels.clips}) == 10  # by video
    if head == "fitted":  # to the training videos alone, a tenth of them held out
        train = sum(len(open_reader(cache).timeline(c.video_uid).k) for c in labels.clips if c.split == "train")
        fitted, held_out = labels.facts["train_rows"], labels.facts["selection_rows"] + labels.facts["held_out_rows"]
        assert fitted + held_out == train < open_reader(cache).num_rows and 0 < held_out < fitted
    without = ["--beta", "0"] if head == "none" else []
    output = call("train-student", "--cache-dir", cache, "--output-dir", out, *SMALL, *HERE, *without)
    assert str(out / "best_student.pt") in output
    best = ["--student-checkpoint", out / "best_student.pt"]
    output = call("evaluate", "--cache-dir", cache, *best, "--output-dir", out, "--split", "train", *HERE)
    assert "mean class" in output and str(out / "evaluation_results.json") in output
    results = json.loads((out / "evaluation_results.json").read_text())
    assert results["student"]["top1"] is not None
    assert (results["teacher"]["top1"] is None) == (head == "none")
    assert (results["student"]["zero_shot_top1"] is None) == (head != "zero-shot")
    assert find_mismatch(results, SCHEMA) is None


@pytest.mark.integration
def test_the_same_command_again_has_nothing_left_to_do(videos, tmp_path):
    first = call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "cache")
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").glob("*/**/0*")}
    again = call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "cache")
    assert again.partition("listed")[2] == first.partition("listed")[2]
    assert {p: p.stat().st_mtime_ns for p in files} == files


@pytest.mark.integration
def test_an_unreadable_video_is_named_and_gives_exit_code_3(videos, tmp_path):
    shutil.copytree(videos, tmp_path / "v")
    (tmp_path / "v" / "stir pot" / "torn.mp4").write_bytes(b"not a video")
    output = call("extract-teacher", "--data-dir", tmp_path / "v", "--cache-dir", tmp_path / "cache", code=3)
    assert "listed 11 videos = 10 committed + 1 quarantined + 0 pending" in output
    assert "quarantined stir pot/torn.mp4: it cannot be read" in output


@pytest.mark.integration
def test_underscored_spellings_work(videos, tmp_path):
    call("extract_teacher", "--data_dir", videos, "--cache_dir", tmp_path / "c", "--teacher_head", "none", "--fps", "1")
    assert open_reader(tmp_path / "c").identity.fps == 1.0


@pytest.mark.integration
def test_a_saved_configuration_makes_the_same_run(videos, tmp_path):
    call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "a", "--fps", "1", "--teacher-head", "none")
    saved = tmp_path / "a" / "extract_config.yaml"
    assert yaml.safe_load(saved.read_text())["fps"] == 1.0
    call("extract-teacher", "--config", saved, "--cache-dir", tmp_path / "b")
    assert open_reader(tmp_path / "b").identity == open_reader(tmp_path / "a").identity
    call("extract-teacher", "--config", saved, "--cache-dir", tmp_path / "c", "--fps", "2")
    assert open_reader(tmp_path / "c").identity.fps == 2.0  # the command line wins


@pytest.mark.integration
def test_class_names_for_zero_shot_logits_alone(videos, tmp_path):
    (tmp_path / "names.txt").write_text("peel apple\n\nwash dishes\nclimb stairs\n")
    call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c", "--classes", tmp_path / "names.txt")
    labels = open_reader(tmp_path / "c").label_set()
    assert labels.classes == ("peel apple", "wash dishes", "climb stairs")
    assert {clip.label for clip in labels.clips} == {-1} and labels.has_logits
    assert "a first-person video frame: peel apple" in labels.prompts[0]


# -- mistakes --------------------------------------------------------------------------------------------------------


def test_missing_input_is_explained_with_examples():
    output = call("extract-teacher", code=2)
    assert output.count("python cli.py extract-teacher --") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["extract-teacher", "--data-dir", "nowhere"], 2, "nowhere"),
        (["extract-teacher", "--data-dir", "{empty}"], 2, "no video"),
        (["extract-teacher", "--data-dir", "{file}"], 2, "file"),
        (["extract-teacher", "--data-dir", "{bad}"], 2, "none of the 1 videos"),
        (["extract-teacher", "--data-dir", "{empty}", "--fps", "0"], 2, "--fps must be greater than 0, got 0.0"),
        (["extract-teacher", "--data-dir", "{empty}", "--fps", "nan"], 2, "--fps must be greater than 0, got nan"),
        (["extract-teacher", "--data-dir", "{empty}", "--backend", "zip"], 2, "hdf5"),
        (["extract-teacher", "--data-dir", "{empty}", "--jpeg-quality", "5"], 2, "--jpeg-quality must be from 90"),
        (["extract-teacher", "--data-dir", "{empty}", "--label-set", "../x"], 2, "--label-set must be letters"),
        (["extract-teacher", "--use-synthetic", "--num-samples", "3", "--cache-dir", "{new}"], 2, "12"),
        (["train-student", "--cache-dir", "nowhere"], 4, "nowhere does not exist; make a cache with: python cli.py"),
        (["train-student", "--cache-dir", "{empty}"], 4, "is not a cache"),
        (["train-student", "--student-resolution", "100"], 2, "--student-resolution must be a multiple of 32"),
        (["train-student", "--alpha", "0", "--beta", "0", "--gamma", "0"], 2, "nothing would be trained"),
        (["train-student", "--data-dir", "x"], 2, "--data-dir describes the videos"),
        (["train-student", "--use-synthetic"], 2, "run that first"),
        (["train-student", "--num-samples", "5"], 2, "extract-teacher"),
        (["train-student", "--cache-dir", "{tiny}", "--num-actions", "5"], 4, "the label set has 3 classes"),
        (["train-student", "--cache-dir", "{tiny}", "--teacher-size", "base"], 4, "was made by fake"),
        (["train-student", "--cache-dir", "{tiny}", "--label-set", "x"], 4, "no label set 'x'"),
        (["train-student", "--cache-dir", "{tiny}", "--student-size", "tiny", "--student-pretrained",
          "--output-dir", "{new}"], 2, "--no-student-pretrained"),
        (["train-student", "--cache-dir", "{tiny}", "--output-dir", "{file}"], 5, "cannot be written"),
        (["evaluate", "--cache-dir", "{tiny}", "--student-checkpoint", "nowhere.pt"], 4, "run train-student first"),
        (["evaluate", "--cache-dir", "{tiny}", "--student-checkpoint", "{file}"], 4, "not a student checkpoint"),
        (["evaluate", "--use-synthetic"], 2, "extract-teacher"),
        (["evaluate", "--split", "dev"], 2, "train"),
        (["evaluate", "--runtime", "onnx", "--device", "cuda"], 2, "must be cpu (or auto) with --runtime onnx"),
        (["export-student", "--formats", "fp64"], 2, "one or more of fp32, fp16, int8, executorch, coreml"),
        (["export-student", "--cache-dir", "{tiny}", "--student-checkpoint", "{file}"], 4, "not a student checkpoint"),
        (["export-student", "--cache-dir", "{tiny}", "--output-dir", "{file}"], 2, "is a file; name a folder"),
        (["export-student", "--cache-dir", "{tiny}", "--output-dir", "{bad}"], 2, "which no export wrote"),
        (["train-student", "--config", "{unknown}"], 2, "lerning_rate, which train-student does not have"),
        (["train-student", "--config", "{file}"], 2, "must hold `option: value` lines"),
        (["train-student", "--config", "{broken}"], 2, "cannot be read as YAML"),
    ],
)  # fmt: skip
@pytest.mark.integration
def test_every_mistake_is_one_sentence(tmp_path, tiny, arguments, code, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.mp4").write_bytes(b"no")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "unknown").write_text("lerning-rate: 3\n")
    (tmp_path / "broken").write_text("a: [")
    places = {name: tmp_path / name for name in ("empty", "file", "bad", "new", "unknown", "broken")} | {"tiny": tiny}
    before = set(tmp_path.rglob("*"))
    output = error_of(*(argument.format(**places) for argument in arguments), code=code)
    assert message in output and len(output) < 500
    assert set(tmp_path.rglob("*")) == before  # nothing half-written


@pytest.mark.integration
def test_another_teacher_is_refused_with_its_differences(videos, tmp_path):
    call("extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path / "c", "--teacher-head", "none")
    output = error_of(
        "extract-teacher",
        "--data-dir",
        videos,
        "--cache-dir",
        tmp_path / "c",
        "--teacher-head",
        "none",
        "--fps",
        "1",
        code=4,
    )
    assert "fps: 2.0 -> 1.0" in output and "another --cache-dir" in output


@pytest.mark.integration
def test_other_classes_under_the_same_name_are_refused_before_any_work(videos, tmp_path, monkeypatch):
    shutil.copytree(videos, tmp_path / "v")
    call("extract-teacher", "--data-dir", tmp_path / "v", "--cache-dir", tmp_path / "c")
    shutil.copytree(videos / "stir pot", tmp_path / "v" / "fold cloth")
    loaded = []
    monkeypatch.setattr(teacher_loading, "load_teacher", loaded.append)
    output = error_of("extract-teacher", "--data-dir", tmp_path / "v", "--cache-dir", tmp_path / "c", code=4)
    assert "'zero-shot'" in output and "--label-set" in output and loaded == []


@pytest.mark.integration
def test_a_teacher_that_cannot_embed_one_image_ends_in_one_sentence(videos, tmp_path, monkeypatch):
    class Greedy(FakeTeacher):
        def embed(self, crops):
            raise MemoryError

        def drop_text_tower(self):
            pass

    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: Greedy())
    output = error_of(
        "extract-teacher", "--data-dir", videos, "--cache-dir", tmp_path, "--teacher-head", "none", code=5
    )
    assert "out of memory: the teacher cannot embed even one image at a time" in output and "--device" in output


def test_an_interrupt_ends_with_exit_code_130_and_a_hint(tiny, tmp_path, monkeypatch):
    from embedonce.pipeline.training import trainer as train

    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    assert "run the same command again" in call("train-student", "--cache-dir", tiny, *SMALL, code=130)


# -- speed and help --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compare", "--help"],
        ["extract-teacher"],
        ["train-student", "--lr", "-1"],
        ["export-student", "--formats", "fp64"],
    ],
)
@pytest.mark.integration
def test_help_and_mistakes_load_no_torch(arguments):
    code = "import sys, cli\ntry: cli.main(sys.argv[1:])\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True, capture_output=True)


def test_every_option_is_explained():
    for command in cli.main.commands.values():
        for param in command.params:
            if isinstance(param, click.Argument):
                assert param.metavar.rstrip(".") in command.help
            else:
                assert param.hidden or param.help, f"{command.name} {param.name}"


def test_common_option_names_are_accepted():
    training = (
        "data_dir use_synthetic num_samples epochs batch_size lr weight_decay alpha beta gamma temperature "
        "teacher_size student_size num_actions frames_per_clip output_dir"
    )
    evaluation = "student_checkpoint num_samples teacher_size student_size num_actions batch_size output_dir"
    for command, names in (("train-student", training), ("evaluate", evaluation)):
        known = {option for param in cli.main.commands[command].params for option in param.opts}
        assert {"--" + name.replace("_", "-") for name in names.split()} <= known


def test_defaults_fit_together():
    defaults = {n: {p.name: p.default for p in c.params} for n, c in cli.main.commands.items()}
    follows = {"distill", "predict"}  # whose cache is in --output-dir; which need none unless one is given
    caches = {options["cache_dir"] for n, options in defaults.items() if "cache_dir" in options and n not in follows}
    assert caches == {defaults["distill"]["output_dir"] / "teacher_cache"}
    without = {name for name, options in defaults.items() if "cache_dir" not in options}
    need_none = {"completion", "download-ego4d", "info", "plan", "plan-ego4d", "pull-cache", "push-student"}
    assert without == {*need_none, "merge"}  # which names several
    assert defaults["evaluate"]["student_checkpoint"] == defaults["train-student"]["output_dir"] / "best_student.pt"


def test_commands_and_files_of_the_readme_exist():

    text = (ROOT / "README.md").read_text()
    for line in re.findall(r"^python cli\.py (.+?)(?:\s*\\)?$", text, re.M):
        command = cli.main.commands[line.split()[0]]
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", line)) <= known, line
    for path in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / path).exists(), path
