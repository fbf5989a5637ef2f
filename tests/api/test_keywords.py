"""Keyword arguments of the functions are the options of the commands, by name, type and default."""

import inspect
import re
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import embedonce
from embedonce.pipeline.api import option_types, write_option_types
from embedonce.pipeline.api.keywords import settings_from
from embedonce.pipeline.api.python_terms import in_terms_of
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.training.settings import TrainConfig

SETTINGS = {"extract": ExtractConfig, "train": TrainConfig, "evaluate": EvaluateConfig, "export": ExportConfig}


@pytest.mark.parametrize("name, settings", SETTINGS.items())
def test_signatures_have_the_options_and_their_defaults(name, settings):
    parameters = dict(inspect.signature(getattr(embedonce, name)).parameters)
    assert parameters.pop("on_progress").default is None
    assert {one.name: one.default for one in settings.options()} == {n: p.default for n, p in parameters.items()}
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    page = getattr(embedonce, name).__doc__
    for option in settings.options():
        assert f"    {option.name}: {in_terms_of(settings.options(), option.help)}" in page
    assert "--" not in page and "    device: " in embedonce.train.__doc__
    assert "One of 'auto', 'cuda', 'mps', 'cpu'. Default: 'auto'." in embedonce.train.__doc__


def test_the_types_for_editors_are_up_to_date():
    command = "python -m embedonce.pipeline.api.write_option_types"
    assert write_option_types.FILE.read_text() == write_option_types.text(), f"run `{command}`"
    hints = get_type_hints(option_types.ExtractOptions)
    assert hints["fps"] is float and hints["batch_size"] == int | str and hints["cache_dir"] == Path | str
    assert hints["store_logits"] == bool | None


@pytest.mark.parametrize("settings", SETTINGS.values())
def test_what_is_not_given_has_its_default(settings):
    assert settings_from(settings, "f", {}) == settings.from_options({o.name: o.default for o in settings.options()})


def test_values_are_kept_as_the_commands_keep_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "classes.txt").write_text("a\n")
    given = {
        "data_dir": "s3://bucket/videos/",
        "cache_dir": "~/cache",
        "classes": str(tmp_path / "classes.txt"),
        "teacher_model": Path("model.json"),
        "views": np.int64(2),
        "batch_size": "auto",
        "fps": np.int64(1),
        "video_timeout": np.float32(2.5),
        "embed_texts": np.bool_(True),
    }
    config = settings_from(ExtractConfig, "extract", given)
    assert (config.data_dir, config.cache_dir) == ("s3://bucket/videos", tmp_path / "cache")
    assert (config.classes, config.teacher_model) == (tmp_path / "classes.txt", "model.json")
    assert type(config.views) is int and config.views == 2 and config.batch_size == "auto"
    assert (config.fps, config.video_timeout, config.embed_texts) == (1.0, 2.5, True)
    assert {type(value) for value in (config.fps, config.video_timeout)} == {float}


WRONG = [
    ("extract", {"teacher_sise": "demo"}, "extract() has no argument 'teacher_sise'; did you mean 'teacher_size'?"),
    ("extract", {"num_classes": 3}, "extract() has no argument 'num_classes'; did you mean 'num_actions'?"),
    ("train", {"feature_weight": 1.0}, "train() has no argument 'feature_weight'; did you mean 'alpha'?"),
    ("train", {"zzz": 1}, "train() has no argument 'zzz'"),
    ("extract", {"fps": "2"}, "fps must be a number, got '2'"),
    ("extract", {"fps": None}, "fps must be a number, got None"),
    ("train", {"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
    ("train", {"epochs": True}, "epochs must be a whole number, got True"),
    ("extract", {"batch_size": "big"}, "batch_size must be a whole number or 'auto', got 'big'"),
    ("extract", {"use_synthetic": 1}, "use_synthetic must be True or False, got 1"),
    ("evaluate", {"cache_dir": 3}, "cache_dir must be a str or a Path, got 3"),
    ("export", {"formats": ["fp32", "fp16"]}, "formats must be text (formats='fp32,fp16'), got ['fp32', 'fp16']"),
    ("extract", {"fps": -2}, "fps must be greater than 0, got -2"),
    ("extract", {"fps": 10**400}, "fps must be at most 1000, got inf"),
    ("extract", {"frames_prefix": "a"}, "frames_prefix requires frames_rate"),
    ("extract", {"classes": "nowhere.csv"}, "classes: there is no file nowhere.csv"),
    ("evaluate", {"runtime": "onnx", "device": "cuda"}, "device must be cpu (or auto) with runtime onnx, got 'cuda'"),
    ("train", {"output_dir": "s3://a/b"}, "output_dir: 's3://a/b' is a URL"),
    ("train", {"on_progress": 3}, "on_progress must be a function that takes a ProgressEvent, got 3"),
    ("export", {"formats": "fp33"}, "formats must be one or more of fp32"),
]


@pytest.mark.parametrize("function, options, message", WRONG, ids=[message for *_, message in WRONG])
def test_wrong_arguments_are_errors_before_any_work(function, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}") as raised:
        getattr(embedonce, function)(**options)
    assert "--" not in str(raised.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("give --cache-dir, or --no-x", "give cache_dir, or no_x"),
        ("lower --feature-weight", "lower alpha"),
        (
            "make it with: python cli.py plan --data-dir X; choose --fps",
            "make it with: python cli.py plan --data-dir X; choose fps",
        ),
        ("a -- b, c--d and ---e stay", "a -- b, c--d and ---e stay"),
    ],
)
def test_messages_name_keywords_but_for_those_in_commands(text, expected):
    assert in_terms_of(TrainConfig.options(), text) == expected
