"""Readers without the writer's lock, while a writer plans and commits: each sees a sound past state of the cache."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from embedonce.cache.inspect import summary
from embedonce.cache.labels import ClipLabel
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.verify import verify
from embedonce.cache.writer import CacheWriter
from tests.support.planned_cache import UNITS, commit_units, make_planned_cache, plan_videos

READS = ("list", "get", "open", "exists", "is_folder", "version", "digest")
FIRST = UNITS[:5]  # committed before; the writer commits the rest, and then another part


def write_more(writer: CacheWriter) -> None:
    """Everything that an extraction does: it finishes a plan, extends it, commits, and labels the new part."""
    commit_units(writer, UNITS)
    plan_videos(writer, {"f": 6})
    commit_units(writer, [unit.name for unit in writer.units])
    writer.publish_clips("main", 3, [ClipLabel("f:0", "f", 0.0, 3.0, 1, "train")])
    writer.write_manifest()


class Interruption:
    """Counts the reads of this process, and writes more into the cache at one of them."""

    def __init__(self, monkeypatch, writer: CacheWriter | None, at: int):
        self.count, self._writer, self._at, self._is_writing = 0, writer, at, False
        for name in READS:
            monkeypatch.setattr(LocalStore, name, self._interrupted(getattr(LocalStore, name)))

    def _interrupted(self, read):
        def call(store, *arguments):
            if not self._is_writing:
                if self.count == self._at and self._writer is not None:
                    self._is_writing = True
                    write_more(self._writer)
                    self._is_writing = False
                self.count += 1
            return read(store, *arguments)

        return call


def read_everything(root: Path) -> None:
    """As evaluation and training do: the clips that have frames, their times and rows."""
    with closing(open_reader(root)) as reader:
        for clip in reader.label_set("main").clips:
            if reader.shows(clip):
                assert set(reader.timeline(clip.video_uid).unit) <= set(reader.records)
        for unit, record in reader.records.items():
            assert len(reader.batch(unit).keys) == record.num_rows
        assert set(reader.records) >= set(FIRST)


def read_sound_state(root: Path) -> None:
    state = read_state(root)
    assert set(FIRST) <= set(state.reader.records) <= set(state.units)
    assert {clip.video_uid for clip in state.reader.label_set("main").clips} <= set(state.planned_videos) | {"f"}


def find_no_problem(root: Path) -> None:
    report = verify(root)
    assert [problem.message for problem in report.problems] == [] and not report.needs_plan


ACTIONS = {
    "read": read_everything,
    "state": read_sound_state,
    "verify": find_no_problem,
    "inspect": lambda root: summary(root),
}


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_readers_see_a_sound_state_whenever_a_writer_commits(tmp_path, monkeypatch, action):
    original = make_planned_cache(tmp_path / "original", committed=FIRST)
    with monkeypatch.context() as patch:
        counted = Interruption(patch, None, 0)
        ACTIONS[action](original)
    assert counted.count > 20
    for at in range(0, counted.count, 1 + counted.count // 20):
        root = shutil.copytree(original, tmp_path / str(at))
        with closing(open_writer(root, open_reader(root).identity)) as writer, monkeypatch.context() as patch:
            Interruption(patch, writer, at)
            ACTIONS[action](root)
        ACTIONS[action](root)
        assert len(open_reader(root).records) > len(UNITS)


@pytest.mark.parametrize("action", ACTIONS)
def test_reading_changes_nothing_while_a_writer_has_the_lock(tmp_path, action):
    root = make_planned_cache(tmp_path / "c", committed=FIRST)
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        (root / "frames" / f".tmp-{os.getpid()}-0123abcd").write_bytes(b"a shard that is being written")
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        ACTIONS[action](root)
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
        write_more(writer)
