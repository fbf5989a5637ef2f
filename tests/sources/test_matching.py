"""Files of a table that are missing now: which of their clips stay with the frames that the cache has."""

import math
from pathlib import Path

import pytest

from embedonce.cache.plan import PlanPart
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.content_identity import fingerprint
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.source import Clip, Source, Video
from tests.conftest import planned_video

NAMES = ("a.mp4", "b.mp4")
UIDS = tuple(map(path_uid, NAMES))


@pytest.fixture
def cached(tmp_path) -> CachedVideos:
    """Both files as they were planned. What they hold does not matter: no file is opened as a video."""
    for name in NAMES:
        (tmp_path / name).write_text(name)
    prints = [fingerprint(tmp_path / name) for name in NAMES]
    videos = (
        planned_video(uid, source=name, fingerprint=content)
        for uid, name, content in zip(UIDS, NAMES, prints, strict=True)
    )
    return CachedVideos([PlanPart(0, tuple(videos), ())])


def source_of(root: Path, *splits: tuple[str, str]) -> Source:
    """A clip of the whole video for each (name of a file, split)."""
    uids = {name: path_uid(name) for name, _ in splits}
    videos = tuple(Video(uid, root / name, name) for name, uid in uids.items() if (root / name).exists())
    clips = (Clip(uids[name], uids[name], -math.inf, math.inf, 0, split) for name, split in splits)
    missing = tuple(uid for name, uid in uids.items() if not (root / name).exists())
    return Source(root, "manifest", videos, tuple(clips), ("cut",), missing=missing)


def split_of(source: Source) -> dict[str, str]:
    assert len({clip.video_uid for clip in source.clips}) == len(source.clips)
    return {clip.video_uid: clip.split for clip in source.clips}


def test_a_missing_file_keeps_its_clips_with_the_frames_of_the_cache_which_a_note_says(tmp_path, cached):
    (tmp_path / "a.mp4").unlink()
    matched = match_source(source_of(tmp_path, ("a.mp4", "train"), ("b.mp4", "val")), cached)
    assert split_of(matched) == {UIDS[0]: "train", UIDS[1]: "val"} and matched.missing == (UIDS[0],)
    assert matched.notes == (
        "files that are missing or not read, whose clips are kept with the frames in the cache: 1 (a.mp4)",
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_of_the_old_name_of_a_moved_file_does_not_put_the_video_into_two_splits(tmp_path, cached, order):
    (tmp_path / "a.mp4").rename(tmp_path / "moved.mp4")
    rows = (("a.mp4", "train"), ("b.mp4", "train"), ("moved.mp4", "val"))[::order]
    matched = match_source(source_of(tmp_path, *rows), cached)
    assert split_of(matched) == {UIDS[0]: "val", UIDS[1]: "train"}
    assert "because other files that the data name have their content: 1 (a.mp4 is moved.mp4 now)" in matched.notes[-1]
    assert match_source(matched, cached) == matched


def test_a_deleted_file_does_not_get_the_frames_of_the_file_it_had_swapped_names_with(tmp_path, cached):
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "b.mp4").rename(tmp_path / "a.mp4")
    matched = match_source(source_of(tmp_path, ("a.mp4", "train"), ("b.mp4", "val")), cached)
    assert split_of(matched) == {UIDS[1]: "train"}
    assert "(b.mp4 is a.mp4 now)" in matched.notes[-1]
