"""ONNX and TorchScript files in commands: extraction, in processes too, and rows that are embedded again."""

from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.commands.test_cli import call, error_of
from tests.support.own_teachers import write_onnx, write_torchscript
from tests.support.videos import write_actions

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return write_actions(tmp_path_factory.mktemp("videos"), 2, 30)


@pytest.mark.integration
@pytest.mark.parametrize(("option", "processes"), [("onnx", 1), ("onnx", 2), ("torchscript", 1)])
def test_a_program_extracts_and_its_rows_are_embedded_again(option, processes, videos, tmp_path):
    write = write_onnx if option == "onnx" else write_torchscript
    path, cache = write(tmp_path / "first.bin"), tmp_path / "cache"
    size = ["--teacher-input-size", "32"]
    arguments = ["extract-teacher", "--data-dir", videos, "--cache-dir", cache, "--device", "cpu", *size]
    shown = call(*arguments, f"--teacher-{option}", path, "--teacher-processes", processes)
    assert "label set fitted: 2 classes, 4 clips" in shown
    identity = open_reader(cache).identity.teacher
    assert (identity.name, identity.input_size) == (option, 32)
    renamed = path.rename(tmp_path / "renamed.bin")
    again = ["verify-cache", "--cache-dir", cache, "--recompute", 4]
    assert "embedded 4 rows again: cosine" in call(*again, f"--teacher-{option}", renamed)
    assert f"the teacher of this cache is a file: name it with --teacher-{option} FILE" in error_of(*again)
    assert "0 to extract" in call(*arguments, f"--teacher-{option}", renamed, "--dry-run")


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("--teacher-onnx absent.onnx", "--teacher-onnx absent.onnx: there is no such file"),
        ("--teacher-torchscript absent.pt", "--teacher-torchscript absent.pt: there is no such file"),
        ("--teacher-model timm:nosuch", "timm has no model 'nosuch'"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused_before_any_video_is_listed(teacher, message, tmp_path):
    assert message in error_of("extract-teacher", "--data-dir", tmp_path / "absent", *teacher.split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"teacher_onnx": Path("a"), "teacher_torchscript": Path("b")},
            "-onnx and --teacher-torchscript both",
        ),
        (
            {"teacher_onnx": Path("a"), "teacher_module": Path("b.py")},
            "-onnx and --teacher-module both choose",
        ),
        ({"teacher_onnx": Path("a"), "teacher_weights": "b"}, "--teacher-onnx and --teacher-weights both choose"),
        ({"teacher_torchscript": Path("a"), "teacher_model": "b"}, "--teacher-torchscript and --teacher-model both"),
        (
            {"teacher_input_size": 64},
            "--teacher-input-size requires --teacher-onnx, --teacher-torchscript or --teacher-module",
        ),
    ],
)
def test_two_choices_of_a_teacher_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ExtractConfig(tmp_path, False, tmp_path / "c", **settings)


def test_a_module_may_have_a_model_and_weights(tmp_path):
    config = ExtractConfig(
        tmp_path, False, tmp_path / "c", teacher_module=Path("m.py"), teacher_weights="b", teacher_model="a"
    )
    assert (config.model, config.given_weights) == ("a", "b")
