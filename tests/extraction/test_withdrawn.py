"""A later extraction leaves removed videos out, by name and by content, and says so; refreshed ones come back."""

import shutil
from pathlib import Path

import pytest

from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from tests.extraction.test_runner import check_same_rows, content, make_source, run
from tests.support.shared_units import everything_below
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def videos(tmp_path) -> Path:
    (tmp_path / "videos").mkdir()
    for number, name in enumerate(["a", "private", "c"]):
        write_video(tmp_path / "videos" / f"{name}.mp4", 60 + 30 * number)
    return tmp_path / "videos"


def test_a_removed_video_does_not_come_back_whatever_its_file_is_called(videos, tmp_path):
    root = tmp_path / "cache"
    run(make_source(videos, ["a", "private", "c"]), root)
    remove(root, videos_removal(["private"], is_withdrawal=True))
    result, reader, _ = run(make_source(videos, ["a", "private", "c"]), root)
    assert result.line == "listed 3 videos = 2 committed + 0 quarantined + 0 pending + 1 withdrawn"
    assert b"private" not in everything_below(root).replace(str(videos).encode(), b"")
    shutil.move(videos / "private.mp4", videos / "renamed.mp4")
    source = match_source(make_source(videos, ["a", "renamed", "c"]), CachedVideos.of_folder(root))
    assert source.withdrawn == ("renamed.mp4",) and {clip.video_uid for clip in source.clips} == {"a", "c"}
    assert any("removed from this cache" in note and "renamed.mp4" in note for note in source.notes)
    assert set(reader.video_uids) == {"a", "c"} and verify(root).problems == []
    run(make_source(videos, ["a", "c"]), tmp_path / "never")
    check_same_rows(content(root), content(tmp_path / "never"))


def test_a_planned_video_may_take_the_name_of_a_removed_one(videos, tmp_path):
    root = tmp_path / "cache"
    run(make_source(videos, ["a", "private"]), root)
    remove(root, videos_removal(["private"], is_withdrawal=True))
    shutil.move(videos / "a.mp4", videos / "private.mp4")
    source = match_source(make_source(videos, ["private"]), CachedVideos.of_folder(root))
    assert [video.uid for video in source.videos] == ["a"] and source.withdrawn == ()


def test_a_folder_of_removed_videos_only_is_refused(videos, tmp_path):
    root = tmp_path / "cache"
    run(make_source(videos, ["a"]), root)
    remove(root, videos_removal(["a"], is_withdrawal=True))
    with pytest.raises(InputError, match="were removed from this cache for good"):
        run(make_source(videos, ["a"]), root)


def test_a_refreshed_video_is_extracted_as_it_is_now(videos, tmp_path):
    root = tmp_path / "cache"
    run(make_source(videos, ["a", "private"]), root)
    remove(root, videos_removal(["a"], is_withdrawal=True))
    write_video(videos / "a.mp4", 90)
    remove(root, videos_removal(["a"], is_withdrawal=False))
    result, reader, _ = run(make_source(videos, ["a", "private"]), root)
    assert result.line == "listed 2 videos = 2 committed + 0 quarantined + 0 pending"
    assert {v.uid: v.num_frames for part in reader.plan() for v in part.videos} == {"private": 90, "a": 90}
    assert verify(root).problems == [] and set(open_reader(root).video_uids) == {"a", "private"}
