"""Whether an extraction is finished, found without a teacher."""

from dataclasses import replace
from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.extraction import extract_teacher, teacher_loading
from embedonce.pipeline.extraction.completeness import completeness
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

pytestmark = [pytest.mark.usefixtures("forked_workers"), pytest.mark.integration]


class Teacher(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture
def config(tmp_path, monkeypatch) -> ExtractConfig:
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: Teacher())
    for place in ("train/cut", "train/stir", "val/cut", "val/stir"):
        folder = tmp_path / "videos" / place
        folder.mkdir(parents=True)
        write_video(folder / "1.mp4", 30 if "train" in place else 33, seed=len(place))
    return ExtractConfig(tmp_path / "videos", False, tmp_path / "cache", decode_workers=1)


def remaining(config: ExtractConfig) -> str:
    return completeness(config).remaining


def test_a_finished_extraction_has_nothing_left_to_do(config):
    assert remaining(config) == "there is no cache yet"
    extract_teacher.run(config)
    state = completeness(config)
    assert (state.remaining, state.label_sets, state.videos, state.exit_code) == ("", ("zero-shot",), 4, 0)
    assert remaining(replace(config, decode_workers=2, batch_size=7)) == ""
    assert remaining(replace(config, fps=3.0)) == "other settings than those of the cache: --fps"
    assert remaining(replace(config, label_set="mine")).endswith("--label-set")


def test_new_videos_labels_and_missing_shards_are_found(config):
    extract_teacher.run(config)
    videos = Path(config.data_dir)
    write_video(videos / "train" / "cut" / "2.mp4", 36)
    assert remaining(config) == "1 new videos"
    (videos / "train" / "cut" / "2.mp4").write_bytes(b"not a video")
    assert remaining(config) == "1 new videos"
    assert extract_teacher.run(config).extraction.exit_code == 3
    state = completeness(config)
    assert (state.remaining, state.quarantined, state.exit_code) == ("", 1, 3)
    (videos / "train" / "cut" / "1.mp4").rename(videos / "train" / "stir" / "3.mp4")
    assert remaining(config) == "label set zero-shot is to be written"
    extract_teacher.run(config)
    assert remaining(config) == ""
    reader = open_reader(config.cache_dir)
    unit = next(iter(reader.records))
    (Path(config.cache_dir) / "labels" / "zero-shot" / "records" / f"{unit}.json").unlink()
    assert remaining(config) == "label set zero-shot is to be written"


def test_texts_that_were_never_embedded_are_left_to_do(config, monkeypatch):
    extract_teacher.run(config)
    assert "--embed-texts" in remaining(replace(config, embed_texts=True))
