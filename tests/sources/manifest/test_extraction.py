"""From a manifest to a cache: numbers shown in the frames verify that every clip is on the right ones."""

import shutil
from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.frames import canonical_frame
from tests.commands.test_cli import call, error_of, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.sources.ego4d.test_frames import numbers
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATE, SAMPLED = 20, 10  # frames and sampled times per second
ROWS = (
    "video;start;end;label;split;uid",
    "a.mp4;0.5;00:01.5;cut;train;first",
    "a.mp4;1.5;;stir;train;to the end",
    "sub/b.mp4;;1;stir;val;from the start",
    "sub/b.mp4;50;60;cut;val;after the end",
    "sub/b.mp4;50;;cut;val;after the end, open",
    "c.mp4;;;cut;train;whole",
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    (root / "sub").mkdir()
    for name, num_frames in (("a.mp4", 60), ("sub/b.mp4", 40), ("c.mp4", 30)):
        write_video(root / name, num_frames, rate=RATE)
    return root


@pytest.fixture
def table(originals, tmp_path) -> Path:
    shutil.copytree(originals, tmp_path / "data")
    (tmp_path / "data" / "clips.csv").write_text("\n".join(ROWS), "utf-8-sig")
    return tmp_path / "data" / "clips.csv"


def extract(table: Path, *options) -> str:
    words = [
        "--manifest",
        table,
        "--cache-dir",
        table.parent.parent / "cache",
        "--fps",
        SAMPLED,
        "--decode-workers",
        "1",
    ]
    return call("extract-teacher", *words, *options)


def clips(table: Path, label_set: str | None = None) -> dict[str, tuple]:
    """uid of each clip -> (source of its video, class, split, first and last frame number, number of frames)."""
    reader = open_reader(table.parent.parent / "cache")
    labels, sources = reader.label_set(label_set), {v.uid: v.source for part in reader.plan() for v in part.videos}
    found = {}
    for clip in labels.clips:
        shown = numbers(reader, clip.video_uid, clip.start_sec, clip.end_sec)
        ends = (shown[0], shown[-1], len(shown)) if shown else ()
        found[clip.clip_id] = (sources[clip.video_uid], labels.classes[clip.label], clip.split, *ends)
    return found


EXPECTED = {
    "first": ("a.mp4", "cut", "train", 10, 28, 10),
    "to the end:0": ("a.mp4", "stir", "train", 30, 58, 15),
    "from the start": ("sub/b.mp4", "stir", "val", 0, 18, 10),
    "after the end": ("sub/b.mp4", "cut", "val"),
    "after the end, open:0": ("sub/b.mp4", "cut", "val"),
    "whole:0": ("c.mp4", "cut", "train", 0, 28, 15),
}


def test_every_clip_has_its_frames(table):
    output = extract(table)
    assert "listed 3 videos = 3 committed" in output and "2 classes, 6 clips; 2 have no frame in the cache" in output
    assert clips(table) == EXPECTED
    reader = open_reader(table.parent.parent / "cache")
    assert reader.num_rows == 50 and reader.identity.fps == SAMPLED  # only frames of clips
    assert not verify(table.parent.parent / "cache", canonical_frame.replayed_crc32).problems
    assert "listed 3 videos = 3 committed" in extract(table)


def test_moved_files_and_corrected_rows_need_no_extraction(table):
    extract(table)
    shards = {path: path.read_bytes() for path in (table.parent.parent / "cache" / "frames").iterdir()}
    shutil.move(table.parent / "a.mp4", table.parent / "sub" / "moved.mp4")
    text = table.read_text("utf-8-sig").replace("a.mp4;", "sub/moved.mp4;")
    table.write_text(text.replace("1.5;;stir;train", "1.5;;cut;train"))
    extract(table)
    changed = EXPECTED | {"to the end:0": ("a.mp4", "cut", "train", 30, 58, 15)}
    assert clips(table) == changed
    assert {path: path.read_bytes() for path in (table.parent.parent / "cache" / "frames").iterdir()} == shards


def test_relabeling_reads_the_table_and_follows_moved_replaced_and_missing_files(table, caplog):
    extract(table, "--label-set", "old")
    shutil.move(table.parent / "a.mp4", table.parent / "sub" / "moved.mp4")
    write_video(table.parent / "c.mp4", 40, rate=RATE)
    rows = ["video,start,end,label,split", "sub/moved.mp4,1,2,x,train", "sub/b.mp4,0,1,y,val", "c.mp4,0,2,y,train"]
    table.write_text("\n".join(rows))
    relabel = ["relabel", "--manifest", table, "--cache-dir", table.parent.parent / "cache", "--teacher-head", "none"]
    call(*relabel, "--label-set", "before")
    assert "keep their frames: 1 (a.mp4 -> sub/moved.mp4)" in caplog.text
    assert "videos that the cache does not have, whose clips are left out: 1 (c.mp4)" in caplog.text
    moved, b = ("a.mp4", "x", "train", 20, 38, 10), ("sub/b.mp4", "y", "val", 0, 18, 10)
    assert list(clips(table, "before").values()) == [moved, b]  # the cache does not have the new c.mp4
    extract(table, "--label-set", "both", "--teacher-head", "none")
    (table.parent / "c.mp4").unlink()
    call(*relabel, "--label-set", "after")
    assert sorted(clips(table, "after").values()) == [moved, ("c.mp4", "y", "train", 0, 38, 20), b]
    assert sorted(clips(table, "both").values()) == sorted(clips(table, "after").values())


def test_tables_of_other_videos_are_refused(table):
    extract(table)
    other = table.parent / "other.csv"
    other.write_text("video,label\nelsewhere.mp4,cut\n")
    cache = ["--cache-dir", table.parent.parent / "cache"]
    assert "has no clip of a video of" in error_of("relabel", "--manifest", other, *cache)
    assert "--clips-from cannot be used with --manifest" in error_of(
        "relabel", "--manifest", table, "--clips-from", "zero-shot", *cache
    )
