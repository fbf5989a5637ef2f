"""Extractions of parts of a folder, on several machines, merged: the same as one extraction, which goes on with it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.errors import StorageError
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.frames.canonical_frame import replayed_crc32
from tests.commands.test_cli import call
from tests.extraction.test_runner import check_same_rows, content
from tests.support.remote_runs import Teacher
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

HALVES = (("cut/a.mp4", "stir/c.mp4"), ("cut/b.mp4", "stir/d.mp4"))
NUM_FRAMES = {"cut/a.mp4": 60, "cut/b.mp4": 90, "stir/c.mp4": 120, "stir/d.mp4": 45}


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("merged") / "videos"
    for name, num_frames in NUM_FRAMES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / name, num_frames)
    return root


def extract(data_dir: Path, cache_dir: Path, backend: str = "hdf5", code: int = 0) -> str:
    words = ["--data-dir", data_dir, "--cache-dir", cache_dir, "--backend", backend, "--decode-workers", "2"]
    return call("extract-teacher", *words, "--fps", "4", "--views", "1", "--shard-frames", "6", code=code)


def half(videos: Path, place: Path, names) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(videos / name, place / name)
    return place


@pytest.fixture
def halves(videos, tmp_path) -> list[Path]:
    """Caches of the halves of the folder, as two machines make them."""
    caches = []
    for number, (names, backend) in enumerate(zip(HALVES, ("hdf5", "webdataset"), strict=True)):
        extract(half(videos, tmp_path / f"data-{number}", names), tmp_path / f"half-{number}", backend)
        caches.append(tmp_path / f"half-{number}")
    return caches


def check_equal(found: Path, expected: Path) -> None:
    check_same_rows(content(found), content(expected))
    mine, theirs = open_reader(found), open_reader(expected)
    assert mine.label_sets() == theirs.label_sets() != ()
    for name in mine.label_sets():
        assert set(mine.label_set(name).clips) == set(theirs.label_set(name).clips)
        np.testing.assert_allclose(*(_logits(reader, name) for reader in (mine, theirs)), atol=0.05)
    for uid in theirs.video_uids:
        a, b = mine.timeline(uid), theirs.timeline(uid)
        assert np.array_equal(a.k, b.k) and np.array_equal(a.frame_sec, b.frame_sec)
    report = verify(found, replayed_crc32)
    assert report.problems == [] and not report.unfinished and report.extra == []


def _logits(reader, name: str) -> np.ndarray:
    """(rows, V, C) in order of keys."""
    rows = {
        key: logits
        for unit, record in reader.records.items()
        for key, logits in zip(record.keys, reader.all_logits(name, unit), strict=True)
    }
    return np.stack([rows[key] for key in sorted(rows)])


def test_merged_halves_equal_the_extraction_of_the_whole_folder_which_finds_nothing_to_do(videos, halves, tmp_path):
    extract(videos, tmp_path / "whole")
    call("merge", *halves, tmp_path / "into")
    check_equal(tmp_path / "into", tmp_path / "whole")
    before = content(tmp_path / "into")
    text = extract(videos, tmp_path / "into")
    assert "listed 4 videos = 4 committed + 0 quarantined + 0 pending" in text
    assert content(tmp_path / "into") == before
    check_equal(tmp_path / "into", tmp_path / "whole")


def test_an_extraction_that_was_stopped_is_merged_and_goes_on_in_the_merged_cache(
    videos, halves, tmp_path, monkeypatch
):
    commit, count = CacheWriter.commit_frames, []

    def stops(writer, *arguments):
        count.append(arguments)
        if len(count) > 1:
            raise StorageError("the disk is full")
        return commit(writer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CacheWriter, "commit_frames", stops)
        extract(half(videos, tmp_path / "data", HALVES[0]), tmp_path / "stopped", code=5)
    assert len(open_reader(tmp_path / "stopped").records) == 1
    text = call("merge", tmp_path / "stopped", halves[1], tmp_path / "into")
    assert "not extracted completely" in text and f": not in {tmp_path / 'stopped'}, so videos" in text
    assert "listed 4 videos = 4 committed + 0 quarantined + 0 pending" in extract(videos, tmp_path / "into")
    extract(videos, tmp_path / "whole")
    check_equal(tmp_path / "into", tmp_path / "whole")
