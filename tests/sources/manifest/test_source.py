"""A manifest as a source: videos, clips, splits and notes, and which names are the same video."""

import errno
import math
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.duplicates import refuse_conflicts
from embedonce.pipeline.sources.manifest.line_problems import LineProblems
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.registry import choose_source, open_sources, read_sources
from embedonce.pipeline.sources.source import UNLABELED, Clip, OpenRequest
from embedonce.pipeline.splits.assignment import split_by_hash
from tests.sources.manifest.test_problems import opened
from tests.support.folders import touch
from tests.support.remote_runs import new_run

INF = math.inf


@pytest.fixture
def folder(tmp_path) -> Path:
    return touch(tmp_path / "data", "a.mp4", "b.mp4", "sub/c.mp4")


def test_rows_become_clips_in_their_order(folder):
    source = opened(
        folder,
        "start,label,video,end,split,text,uid,camera",
        "0:01.5,stir,b.mp4,3,val,#C C stirs,u1,left",
        ",cut,sub/c.mp4,,training,,u2,left",
        "2,stir,b.mp4,,validation,,u3,",
    )
    assert source.clips == (
        Clip("u1", "b_2Emp4", 1.5, 3.0, 1, "val", "#C C stirs"),
        Clip("u2", "sub_2Fc_2Emp4", -INF, INF, 0, "train"),
        Clip("u3", "b_2Emp4", 2.0, INF, 1, "val"),
    )
    assert source.classes == ("cut", "stir") and not source.splits_by_hash
    assert [(v.uid, v.source, v.path) for v in source.videos] == [
        ("b_2Emp4", "b.mp4", folder / "b.mp4"),
        ("sub_2Fc_2Emp4", "sub/c.mp4", folder / "sub/c.mp4"),
    ]
    assert source.files == "clips.csv lists 3 clips of 2 videos"
    assert source.notes == (
        "columns of clips.csv that are not used: camera",
        "1 of 3 clips have a narration (text), which --embed-texts makes targets of",
    )


def test_clips_without_uids_are_named_after_their_windows(folder):
    rows = ["a.mp4,0.25,1:00", "a.mp4,,", "a.mp4,1,", "a.mp4,,7", "b.mp4,,"]
    source = opened(folder, "video,start,end", *rows)
    names = ["a_2Emp4:0.25-60", "a_2Emp4", "a_2Emp4:1-", "a_2Emp4:-7", "b_2Emp4"]
    assert [clip.clip_id for clip in source.clips] == names
    shuffled = opened(folder, "video,start,end", *rows[::-1])
    assert {clip.clip_id: clip for clip in shuffled.clips} == {clip.clip_id: clip for clip in source.clips}
    same = opened(folder, "video,start,end,label", "a.mp4,1,2,x", "a.mp4,1,2,y", "b.mp4,1,2,z", "a.mp4,1,2,z")
    assert [clip.clip_id for clip in same.clips] == ["a_2Emp4:1-2", "a_2Emp4:1-2:2", "b_2Emp4:1-2", "a_2Emp4:1-2:3"]


def test_clips_of_several_classes_make_all_clips_of_the_table_multi_label(folder):
    rows = ("a.mp4,1,2,stir|cut", "a.mp4,2,3,wash", "b.mp4,1,2,cut|stir", "b.mp4,3,4,cut")
    source = opened(folder, "video,start,end,label", *rows)
    assert source.classes == ("cut", "stir", "wash") and source.is_multi_label
    assert [(clip.label, clip.labels) for clip in source.clips] == [
        (UNLABELED, (0, 1)),
        (UNLABELED, (2,)),
        (UNLABELED, (0, 1)),
        (UNLABELED, (0,)),
    ]
    single = opened(folder, "video,start,end,label", *rows[1:2], *rows[3:])
    assert [(clip.label, clip.labels) for clip in single.clips] == [(1, None), (0, None)]
    with pytest.raises(InputError, match="1 problem"):
        opened(folder, "video,start,end,label", "a.mp4,1,2,stir|cut", "a.mp4,1,2,cut|stir")


def test_without_labels_and_splits(folder):
    source = opened(folder, "video", "a.mp4", "b.mp4", "sub/c.mp4")
    assert source.classes == () and source.splits_by_hash and source.no_classes_reason
    assert [(c.label, c.split) for c in source.clips] == [(UNLABELED, split_by_hash(c.video_uid)) for c in source.clips]
    (folder / "names.txt").write_text("one\ntwo\n")
    given = opened(folder, "video,label", "a.mp4,x|y", "b.mp4,", classes=folder / "names.txt")
    assert given.classes == ("one", "two") and {clip.label for clip in given.clips} == {UNLABELED}


def test_all_names_of_a_file_are_one_video_named_without_links(folder):
    os.link(folder / "b.mp4", folder / "hard.mp4")
    (folder / "0-link.mp4").symlink_to(folder / "a.mp4")
    (folder / "0-sub").symlink_to(folder / "sub")
    names = [
        "0-link.mp4",
        "./a.mp4",
        f"{folder}/a.mp4",
        "sub/../a.mp4",
        "hard.mp4",
        "b.mp4",
        "0-sub/c.mp4",
        "sub//c.mp4",
    ]
    rows = [f"{name},{number}" for number, name in enumerate(names)]
    for ordered in (rows, rows[::-1]):
        source = opened(folder, "video,start", *ordered)
        assert [video.source for video in source.videos] == ["a.mp4", "b.mp4", "sub/c.mp4"]
        assert len(source.clips) == 8 and len({clip.video_uid for clip in source.clips}) == 3
        assert any(
            note.startswith("videos that are named in several ways, and are one each: 3") for note in source.notes
        )


def test_paths_are_relative_to_the_table_or_to_the_data_folder(folder, tmp_path):
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "t.tsv"
    table.write_text("video\nsub/c.mp4\n")
    source = read_sources(folder, SimpleNamespace(manifest=table))[""]
    assert source.root == folder and [video.source for video in source.videos] == ["sub/c.mp4"]
    table.write_text(f"video\n../data/a.mp4\n{folder}/b.mp4\n")
    source = read_sources(None, SimpleNamespace(manifest=table))[""]
    assert source.root == table.parent
    assert [video.source for video in source.videos] == ["../data/a.mp4", f"{folder}/b.mp4"]
    assert all(video.path.samefile(source.root / video.source) for video in source.videos)
    assert f"videos outside of {table.parent}: 2 (../data/a.mp4, {folder}/b.mp4)" in source.notes


def test_missing_videos_are_left_out_on_demand_and_those_of_the_cache_keep_their_clips(folder):
    rows = ("video,label", "a.mp4,x", "gone.mp4,y", "old.mp4,z")
    source = opened(folder, *rows, skip_missing=True)
    assert [clip.video_uid for clip in source.clips] == ["a_2Emp4"] and source.classes == ("x", "y", "z")
    assert "videos that do not exist, whose rows are left out: 2 (gone.mp4, old.mp4)" in source.notes
    settings = SimpleNamespace(manifest=folder / "clips.csv", skip_missing=True)
    cached = read_sources(None, settings, cached_uids=("old_2Emp4",))[""]
    assert [clip.video_uid for clip in cached.clips] == ["a_2Emp4", "old_2Emp4"]
    assert [video.uid for video in cached.videos] == ["a_2Emp4"] and "old_2Emp4" in cached.missing
    relabeled = read_sources(
        None, SimpleNamespace(manifest=folder / "clips.csv"), cached_uids=("old_2Emp4",), needs_files=False
    )
    assert [clip.video_uid for clip in relabeled[""].clips] == ["a_2Emp4", "old_2Emp4"]


def test_a_video_that_cannot_be_reached_now_is_counted_and_does_not_stop_the_others(folder, monkeypatch):
    real = Path.stat

    def stat(path, **options):
        if path.name == "c.mp4":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    source = opened(folder, "video", "a.mp4", "sub/c.mp4")
    assert source.rejected == (("sub/c.mp4", "it cannot be reached: Permission denied"),) and len(source.clips) == 1


def test_which_source_opens_what(folder):
    settings = SimpleNamespace(manifest=folder / "clips.csv")
    assert choose_source(None, settings).name == choose_source(folder, settings).name == "manifest"
    with pytest.raises(InputError, match=r"--layout is for a folder .*this is a table of clips"):
        choose_source(None, SimpleNamespace(manifest=folder / "clips.csv", layout="flat"))
    with pytest.raises(InputError, match=r"--manifest is for a table of clips .*this is synthetic data"):
        choose_source(None, SimpleNamespace(manifest=folder / "clips.csv", use_synthetic=True))


def test_rows_of_any_table_become_a_source(folder):
    rows = [ManifestRow(1, "a.mp4", -0.5, 2.0, "cut", "train"), ManifestRow(3, "b.mp4", 4.0, 5.0, "cut", "val")]
    source = source_of_rows(iter(rows), OpenRequest(folder, None), LineProblems("x.csv"), kind="other")
    assert [clip.start_sec for clip in source.clips] == [-0.5, 4.0] and source.kind == "other"
    wrong = [
        ManifestRow(1, "a.mp4", math.nan, 2.0),
        ManifestRow(2, "a.mp4", -INF, 0.0),
        ManifestRow(9, "b.mp4", 2.0, 2.0),
    ]
    with pytest.raises(InputError, match=r"^3 problems in x.csv") as caught:
        source_of_rows(wrong, OpenRequest(folder, None), LineProblems("x.csv", "entry"), kind="other")
    assert caught.value.details[1] == "  entry 2: end: expected a time after the start, 0 s, got 0 s"


def test_a_copy_with_other_clips_is_refused_with_the_reason(folder):
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(b"the same")
    source = match_source(opened(folder, "video,end,split", "a.mp4,1,train", "b.mp4,2,train"), CachedVideos())
    with pytest.raises(
        InputError, match=r"a.mp4 and b.mp4 are the same video, .* but have different clips: name one of"
    ):
        refuse_conflicts(source, {"a_2Emp4", "b_2Emp4"})
    same = match_source(opened(folder, "video,end,split", "a.mp4,1,train", "b.mp4,1,train"), CachedVideos())
    assert [clip.video_uid for clip in same.clips] == ["a_2Emp4"]


def test_a_row_takes_little_memory(folder):
    rows = (ManifestRow(i, "ab"[i % 2] + ".mp4", float(i), i + 0.5, f"class {i % 9}", "train") for i in range(2000))
    tracemalloc.start()
    source = source_of_rows(rows, OpenRequest(folder, None), LineProblems("x"), kind="x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(source.clips) == 2000 and peak / 2000 < 450  # bytes


# -- remote files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(tmp_path):
    memory = fsspec.filesystem("memory")
    with new_run(tmp_path / "copies"):
        for name in ("a.mp4", "sub/b.mp4", "other.mp4"):
            memory.pipe_file(f"/manifest/{name}", name.encode())
        yield "memory://manifest"
    memory.rm("/manifest", recursive=True)


def test_urls_in_rows(folder, bucket):
    source = opened(folder, "video,label", f"{bucket}/a.mp4,x", "a.mp4,y", f"{bucket}/sub/b.mp4,x")
    remote = [video for video in source.videos if video.source != "a.mp4"]
    assert {video.source: video.path.open().read() for video in remote} == {
        f"{bucket}/a.mp4": b"a.mp4",
        f"{bucket}/sub/b.mp4": b"sub/b.mp4",
    }
    assert len({video.uid for video in source.videos}) == 3 and len(source.clips) == 3
    with pytest.raises(InputError) as caught:
        opened(folder, "video", "a.mp4", f"{bucket}/none.mp4")
    assert caught.value.details == (f"  line 3: video: {bucket}/none.mp4: there is no such file",)


def test_paths_relative_to_a_bucket(folder, bucket):
    (folder / "t.csv").write_text("video,label\n./sub/b.mp4,x\nother.mp4,y\n")
    source = open_sources(bucket, SimpleNamespace(manifest=folder / "t.csv"))[""]
    assert [(v.uid, v.source) for v in source.videos] == [("other_2Emp4", "other.mp4"), ("sub_2Fb_2Emp4", "sub/b.mp4")]
    (folder / "t.csv").write_text("video\nother.mp4\n../x.mp4\nnone.mp4\n")
    with pytest.raises(InputError) as caught:
        open_sources(bucket, SimpleNamespace(manifest=folder / "t.csv"))
    assert caught.value.details == (
        "  line 3: video: it is not below memory://manifest",
        "  line 4: video: none.mp4: there is no such file",
    )


def test_the_query_of_a_url_is_in_no_uid_and_tells_videos_apart(folder):
    (folder / "t.csv").write_text("video\nhttps://h/a.mp4?key=SECRET1\nhttps://h/v?id=1\nhttps://h/v?id=2\n")
    uids = ["https_3A_2F_2Fh_2Fa_2Emp4"]
    settings = SimpleNamespace(manifest=folder / "t.csv")
    source = read_sources(None, settings, cached_uids=uids, needs_files=False)[""]
    assert [clip.video_uid for clip in source.clips] == uids and uids[0] in source.missing
    cached = [f"https_3A_2F_2Fh_2Fv_23{digest}" for digest in ("9eb4a4b1", "0")]
    request = OpenRequest(folder, None, cached, needs_files=False)
    every = source_of_rows(
        [ManifestRow(i, f"https://h/v?id={i}") for i in (1, 2)], request, LineProblems("x"), kind="x"
    )
    assert "SECRET" not in str(source) and not every.videos
    (folder / "t.csv").write_text("video,split,start\nhttps://h/a?key=SECRET,val,1\nhttps://h/a?key=SECRET,train,2\n")
    with pytest.raises(InputError, match="'https://h/a' is in 'train' here and in 'val' on line 2") as caught:
        read_sources(None, settings, needs_files=False)
    assert "SECRET" not in str(caught.value)
