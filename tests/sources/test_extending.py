"""The source of docs/extending.md, as it is printed there: registered, opened by the commands, and conforming."""

import json

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.sources import registry
from tests.commands.test_cli import call, error_of, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.conformance.source import SourceConformance
from tests.support.documentation import ROOT, code_blocks
from tests.support.videos import write_video

(EXAMPLE,) = code_blocks(ROOT / "docs" / "extending.md", "Source")
FIRST = [{"segment": [0, 1], "label": "cut bread"}, {"segment": [1, 2], "label": "stir pot"}]
VIDEOS = {
    "a": {"subset": "training", "annotations": FIRST},
    "b": {"subset": "validation", "annotations": [{"segment": [0, 2.0], "label": "stir pot"}]},
    "not downloaded": {"subset": "testing", "annotations": []},
}


def documented_source():
    namespace = {"__name__": "activity_net"}
    exec(compile(EXAMPLE, "docs/extending.md", "exec"), namespace)
    return namespace["ActivityNetSource"]()


class TestDocumentedSource(SourceConformance):
    def make_source(self):
        return documented_source()

    def make_data(self, root):
        for name in ("a.mp4", "b.mp4"):
            (root / name).touch()
        (root / "a.json").write_text(json.dumps({"database": VIDEOS}))
        return {"activitynet": root / "a.json"}


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "SOURCES", list(registry.SOURCES))
    registry.register(documented_source())


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "data" / name, 60)
    (tmp_path / "a.json").write_text(json.dumps({"database": VIDEOS}))
    return tmp_path / "data"


def test_the_example_is_short():
    assert len(EXAMPLE.splitlines()) <= 40


@pytest.mark.usefixtures("forked_workers", "registered")
@pytest.mark.integration
def test_the_example_is_extracted_and_relabeled_through_the_command_line(data, tmp_path):
    cache, table = tmp_path / "cache", tmp_path / "a.json"
    shared = ["--data-dir", data, "--activitynet", table, "--cache-dir", cache]
    assert "frames: 8 to extract" in call("extract-teacher", *shared, "--dry-run")
    call("extract-teacher", *shared, "--label-set", "first", "--device", "cpu")
    reader = open_reader(cache)
    labels = reader.label_set("first")
    assert reader.num_rows == 8 and labels.classes == ("cut bread", "stir pot") and labels.has_logits
    named = [(clip.start_sec, clip.end_sec, labels.classes[clip.label], clip.split) for clip in labels.clips]
    assert sorted(named) == [(0, 1, "cut bread", "train"), (0, 2, "stir pot", "val"), (1, 2, "stir pot", "train")]
    for path in data.iterdir():
        path.unlink()
    table.write_text(table.read_text().replace("stir pot", "stir"))
    call("relabel", *shared, "--teacher-head", "none", "--label-set", "second")
    assert open_reader(cache).label_set("second").classes == ("cut bread", "stir")
    saved = cache / "extract_config.yaml"
    assert f"activitynet: {table}" in saved.read_text()
    assert "none of the 2 videos of" in error_of("extract-teacher", "--config", saved)


@pytest.mark.usefixtures("registered")
def test_the_options_of_the_example_are_in_the_help():
    assert "--activitynet" in call("extract-teacher", "--help") and "--activitynet" in call("relabel", "--help")


def test_without_registration_the_option_does_not_exist(data, tmp_path):
    message = error_of("extract-teacher", "--data-dir", data, "--activitynet", tmp_path / "a.json")
    assert "No such option" in message and "--activitynet" in message
