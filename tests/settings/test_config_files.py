"""Configuration files and other files from users: malformed ones are refused at once, in one sentence."""

import os

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.parsing import json_stream
from embedonce.pipeline.sources.ego4d.parsing.json_stream import entries
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.folder.class_files import read_classes
from tests.commands.test_cli import error_of
from tests.support.hostile_cache import bounded

DEEP = 5000
TEXTS = {
    "seed: 1.5": "seed to 1.5, not a whole number",
    "seed: true": "seed to True, not a whole number",
    "seed: [1]": "seed to a list of 1 entries, not a whole number",
    "views: true": "views to True, not a whole number",
    "views: 2001-01-01": "views to a date, not a whole number",
    "epochs: 0x" + "f" * 300: "epochs to a number of 1200 bits, not a whole number",
    "lr: [0.1]": "lr to a list of 1 entries, not a number",
    "lr: {a: 1}": "lr to a dict of 1 entries, not a number",
    "lr: false": "lr to False, not a number",
    "amp: 1": "amp to 1, not true or false",
    'amp: "yes"': "not true or false",
    "label_set: no": "label_set to False, not text",
    "label_set: 7": "label_set to 7, not text",
    'label_set: "\\ud800"': "label_set to '\\ud800', not text",
    "cache_dir: [a, b]": "cache_dir to a list of 2 entries, not text",
    "device: {cpu: 1}": "device to a dict of 1 entries, not text",
    "seed: 1\nseed: 2": "it sets seed twice",
    "batch-size: 1\nbatch_size: 2": "it sets batch_size twice",
    "a: &a 1\nseed: *a": "aliases",
    "? [a]\n: 1": "cannot be read as YAML",
    "[" * DEEP: "cannot be read as YAML",
    "a: " + "{b: " * DEEP: "cannot be read as YAML",
    "- 1": "not a list",
    "7": "not a int",
    "!!python/object/apply:os.system [ls]": "cannot be read as YAML",
    "seed: 1" + "0" * 5000: "cannot be read as YAML",
    "!!timestamp x": "cannot be read as YAML",
    "seed: !!int x": "cannot be read as YAML",
    "seed: !!float x": "cannot be read as YAML",
    "seed: !!binary 7": "cannot be read as YAML",
    "x" * 70_000: "more than the limit of 65536",
    "\x00": "cannot be read as YAML",
    "lerning: 1": "lerning, which train-student does not have",
    "? {a: 1}\n: 2": "cannot be read as YAML",
    "<<: {seed: 1}\nseed: 1.5": "seed to 1.5",
}


@pytest.mark.parametrize("text", ["[1]", "true", "1.5"])
def test_a_number_or_a_word_is_named_if_the_value_is_neither(tmp_path, text):
    (tmp_path / "c.yaml").write_text(f"batch_size: {text}")
    message = error_of("extract-teacher", "--config", tmp_path / "c.yaml", code=2)
    assert "batch_size to " in message and message.rstrip().endswith("not a whole number or auto")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:24])
@pytest.mark.integration
def test_values_of_the_wrong_type_are_refused_in_one_sentence(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with bounded(seconds=20):
        message = error_of("train-student", "--config", tmp_path / "c.yaml", code=2)
    assert TEXTS[text] in message and len(message) < 1500


def test_a_file_that_is_not_utf8_is_refused_in_one_sentence(tmp_path):
    for data in (b"label_set: \xe9\xe8", b"\xff\xfea\x00:\x00 \x001\x00", b"\xed\xa0\x80: 1"):
        (tmp_path / "c.yaml").write_bytes(data)
        assert "not UTF-8" in error_of("train-student", "--config", tmp_path / "c.yaml", code=2)


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with bounded(seconds=20):
            message = error_of("train-student", "--config", tmp_path / name, code=2)
            assert "is a pipe, a socket or a device" in message, message
            with pytest.raises(InputError, match=f"cannot read class names from .*{name}: it is a pipe or a device"):
                read_classes(tmp_path / name)
            problems = Problems()
            assert list(entries(tmp_path / name, "videos", name, problems)) == []
            assert "is a pipe or a device" in str(vars(problems))


@pytest.mark.parametrize("part", ["[],", '{"a":{}},', "0,"])
def test_an_annotation_with_too_many_values_is_refused_before_it_is_parsed(tmp_path, part, monkeypatch):
    monkeypatch.setattr(json_stream, "MAX_ENTRY_PARTS", 200_000)
    (tmp_path / "n.json").write_text('{"videos": [{"a": [' + part * 1_000_000 + "0]}]}")
    problems = Problems()
    with bounded():
        assert list(entries(tmp_path / "n.json", "videos", "n.json", problems)) == []
    assert "one entry of more than 200000 values" in problems.wrong_files[0]


def test_numbers_that_yaml_reads_as_text_are_accepted(tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 1e-3\nalpha: 0\nseed: '7'\nlabel_set: null\ncache-dir: nowhere\n")
    assert "nowhere" in error_of("train-student", "--config", tmp_path / "c.yaml", code=4)


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '["\\ud800"]', '["' + "x" * 2000 + '"]', "[" + "[]," * (1 << 22) + "[]]"]
)
def test_malformed_class_files_are_refused(tmp_path, body):
    (tmp_path / "c.json").write_text(body)
    with bounded(megabytes=128, seconds=20), pytest.raises(InputError, match=r"c\.json"):
        read_classes(tmp_path / "c.json")
