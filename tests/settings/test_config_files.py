"""Files of defaults and other files that users name: strange ones are refused in one sentence, and nobody waits."""

import os

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d import streams
from embedonce.pipeline.sources.ego4d.problems import Problems
from embedonce.pipeline.sources.ego4d.streams import entries
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
    "x" * 70_000: "more than the 65536",
    "\x00": "cannot be read as YAML",
    "lerning: 1": "lerning, which train-student does not have",
    "? {a: 1}\n: 2": "cannot be read as YAML",
    "<<: {seed: 1}\nseed: 1.5": "seed to 1.5",
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:24])
def test_values_that_an_option_cannot_have_are_told_in_one_sentence(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with bounded(seconds=20):
        said = error_of("train-student", "--config", tmp_path / "c.yaml", code=2)
    assert TEXTS[text] in said and len(said) < 1500


def test_text_in_another_encoding_is_told_in_one_sentence(tmp_path):
    for data in (b"label_set: \xe9\xe8", b"\xff\xfea\x00:\x00 \x001\x00", b"\xed\xa0\x80: 1"):
        (tmp_path / "c.yaml").write_bytes(data)
        assert "not UTF-8" in error_of("train-student", "--config", tmp_path / "c.yaml", code=2)


def test_what_is_no_file_is_refused_and_nobody_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with bounded(seconds=20):
            said = error_of("train-student", "--config", tmp_path / name, code=2)
            assert "is a pipe, a socket or a device" in said, said
            with pytest.raises(InputError, match=f"{name} is not a list of class names: it is a pipe or a device"):
                read_classes(tmp_path / name)
            problems = Problems()
            assert list(entries(tmp_path / name, "videos", name, problems)) == []
            assert "is a pipe or a device" in str(vars(problems))


@pytest.mark.parametrize("part", ["[],", '{"a":{}},', "0,"])
def test_one_annotation_of_too_many_parts_is_refused_before_it_is_parsed(tmp_path, part, monkeypatch):
    monkeypatch.setattr(streams, "MAX_ENTRY_PARTS", 200_000)
    (tmp_path / "n.json").write_text('{"videos": [{"a": [' + part * 1_000_000 + "0]}]}")
    problems = Problems()
    with bounded():
        assert list(entries(tmp_path / "n.json", "videos", "n.json", problems)) == []
    assert "one entry of more than 200000 values" in problems.wrong_files[0]


def test_numbers_may_be_written_as_yaml_takes_for_text(tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 1e-3\nalpha: 0\nseed: '7'\nlabel_set: null\ncache-dir: nowhere\n")
    assert "nowhere" in error_of("train-student", "--config", tmp_path / "c.yaml", code=4)


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '["\\ud800"]', '["' + "x" * 2000 + '"]', "[" + "[]," * (1 << 22) + "[]]"]
)
def test_class_files_that_break_their_readers_are_refused(tmp_path, body):
    (tmp_path / "c.json").write_text(body)
    with bounded(megabytes=128, seconds=20), pytest.raises(InputError, match=r"c\.json"):
        read_classes(tmp_path / "c.json")
