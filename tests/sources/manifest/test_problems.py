"""What is wrong with a manifest: all of it in one list, by line, with what was expected."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest import row_checks
from embedonce.pipeline.sources.registry import open_sources
from tests.support.folders import touch

TIME = "expected seconds (12.5) or a timecode (HH:MM:SS.sss, MM:SS)"


@pytest.fixture
def folder(tmp_path) -> Path:
    return touch(tmp_path, "a.mp4", "b.mp4", "c.mp4", "sub/d.mp4")


def opened(folder: Path, *rows: str, name: str = "clips.csv", **options):
    (folder / name).write_text("\n".join(rows) + "\n")
    return open_sources(None, SimpleNamespace(manifest=folder / name, **options))[""]


def error_of(folder: Path, *rows: str, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(folder, *rows, **options)
    assert caught.value.exit_code == 2
    return caught.value


def problems(folder: Path, *rows: str, **options) -> list[str]:
    error = error_of(folder, *rows, **options)
    number = len(error.details)
    assert error.sentence == f"{number} problem{'s' * (number > 1)} in {folder / options.get('name', 'clips.csv')}:"
    return [line.strip() for line in error.details]


def test_all_problems_are_in_one_list_by_line(folder):
    rows = (
        "video,start,end,label,split",
        "a.mp4,nan,1,cut,train",
        "b.mp4,3,2,cut,foo",
        "b.mp4,3,2,cut,val",
        "gone.mp4,,,cut,train",
        "a.mp4,1,inf,cut||stir,train",
        "a.mp4,1,2,,train",
        ",1,2,cut,train",
        "a.mp4,2,3,cut,train,more",
        "a.mp4,-1,3,cut,train",
    )
    assert problems(folder, *rows) == [
        f"line 2: start: {TIME}, got 'nan'",
        "line 3: split: expected train, val or test, got 'foo'",
        "line 4: end: expected a time after the start, 3 s, got 2 s",
        "line 5: video: gone.mp4: there is no such file",
        f"line 6: end: {TIME}, got 'inf'",
        "line 6: label: expected a class, or different ones with | between them, got 'cut||stir'",
        "line 7: label: expected a class name, got nothing, while other rows have one",
        "line 8: video: expected a path or a URL, got nothing",
        "line 9: expected 5 cells, as in the header line, got 6: quote text that contains the delimiter",
        f"line 10: start: {TIME}, got '-1'",
    ]


def test_only_the_first_problems_are_shown_and_all_are_counted(folder):
    error = error_of(folder, "video,end", "a.mp4,1", *["a.mp4,x"] * 10_000)
    assert error.sentence == f"10000 problems in {folder / 'clips.csv'}, first 20 shown:"
    assert list(error.details) == [f"  line {line}: end: {TIME}, got 'x'" for line in range(3, 23)]


@pytest.mark.parametrize("column", ["label", "split", "uid"])
def test_a_column_that_some_rows_lack_is_refused_and_an_empty_one_is_none(folder, column):
    value = {"label": "cut", "split": "val", "uid": "u1"}[column]
    found = problems(folder, f"video,{column}", "a.mp4,", f"b.mp4,{value}", "c.mp4, ")
    assert [line.partition(":")[0] for line in found] == ["line 2", "line 4"]
    assert all(line.endswith("got nothing, while other rows have one") for line in found)
    assert len(opened(folder, f"video,{column}", "a.mp4,", "b.mp4,").clips) == 2


def test_a_video_is_in_one_split_whatever_it_is_called(folder):
    os.link(folder / "a.mp4", folder / "hard.mp4")
    (folder / "link").symlink_to(folder / "sub")
    rows = (
        "video,split,start",
        "a.mp4,train,1",
        "hard.mp4,val,2",
        "sub/d.mp4,val,3",
        "link/../link/d.mp4,test,4",
        "./a.mp4,training,5",
    )
    rule = "all clips of a video must be in one split"
    assert problems(folder, *rows) == [
        f"line 3: split: 'hard.mp4' is in 'val' here and in 'train' on line 2; {rule}",
        f"line 5: split: 'link/../link/d.mp4' is in 'test' here and in 'val' on line 4; {rule}",
    ]


def test_class_names_that_are_alike(folder):
    found = problems(folder, "video,label", "a.mp4,cut bread", "b.mp4,Cut bread", "c.mp4,cut_bread", "sub/d.mp4,stir")
    same = (
        "differs from 'cut bread' (line 2) only in case, accents or how words are joined: write one of them everywhere"
    )
    assert found == [f"line 3: label: 'Cut bread' {same}", f"line 4: label: 'cut_bread' {same}"]


def test_clips_that_are_there_twice(folder):
    twice = problems(
        folder, "video,start,end,label", "a.mp4,1,2,cut", "b.mp4,1,2,cut", "./a.mp4,1.0,00:02,cut", "a.mp4,1,2,x"
    )
    assert twice == ["line 4: the same clip as on line 2: remove one of them, or give each a uid"]
    same = ("video,start,text,uid", "a.mp4,1,x,u", "a.mp4,1,x,v", "b.mp4,2,y,u")
    assert problems(folder, *same) == ["line 4: uid: 'u' is the uid of line 2, too; every clip needs its own"]
    assert len(opened(folder, *same[:3]).clips) == 2
    assert len(opened(folder, "video,text", "a.mp4,one", "a.mp4,two").clips) == 2


def test_files_that_are_no_videos(folder):
    os.mkfifo(folder / "pipe.mp4")
    (folder / "broken.mp4").symlink_to(folder / "nowhere")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    names = ("sub", "pipe.mp4", "broken.mp4", "loop.mp4", "a.mp4/b.mp4", "x" * 300, "sub\\d.mp4", "ftp://host/a.mp4")
    found = problems(folder, "video", "a.mp4", *names)
    assert [line.rpartition(": ")[2] for line in found[:6]] == [
        "it is a folder, not a video file; folders of frames need --frames-rate FPS",
        "it is not a regular file",
        "there is no such file",
        "it is a link to itself",
        "there is no such file",
        "the name is too long",
    ]
    assert found[6] == "line 9: video: sub\\d.mp4: there is no such file; write its path with forward slashes"
    assert found[7].startswith("line 10: video: ftp://host/a.mp4: videos cannot be read from ftp://, only from local")
    assert problems(folder, '{"video": "a\\u0000b"}', '{"video": "\\ud800"}', name="c.jsonl") == [
        "line 1: video: no file can have the name 'a\\x00b'",
        "line 2: video: no file can have the name '\\ud800'",
    ]


def test_decimal_commas_and_a_second_header_line_have_a_remedy(folder):
    rows = ("video;start;label", "a.mp4;0,5;cut", "Video; start;label", "a.mp4;0.5;cut")
    assert problems(folder, *rows) == [
        f"line 2: start: {TIME}, got '0,5': write a decimal point",
        "line 3: expected a row, got the header line again: remove it",
    ]
    assert len(opened(folder, "video", "a.mp4").clips) == 1


def test_a_table_in_utf_16_without_a_mark_is_told(folder):
    assert problems(folder, "v\0i\0d\0e\0o\0", "a.mp4") == [
        "line 1: expected text, got a NUL byte: save the table as UTF-8"
    ]


@pytest.mark.parametrize("line", ["sep=;", "sep=;\r", "sep=,"])
def test_a_line_for_excel_before_the_header_is_passed_over(folder, line):
    assert opened(folder, line, "video;label", "a.mp4;cut").classes == ("cut",)
    assert problems(folder, line, "video;label", "a.mp4;cut", "b.mp4;")[0].startswith("line 4: label: ")
    assert problems(folder, "sep=;;", "video;label", "a.mp4;cut")[0].startswith("line 1: expected a column named video")


@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("path,label", "got 'path', 'label': rename 'path'"),
        ("Name;Video_Path", "got 'Name', 'Video_Path': rename 'Video_Path'"),
        ("a.mp4", "got 'a.mp4': the columns of a manifest are video, start, end, label, split, text, uid"),
    ],
)
def test_a_missing_column_is_named_with_what_may_be_meant(folder, header, remedy):
    assert problems(folder, "", header, "x;y")[0] == f"line 2: expected a column named video, {remedy}"


def test_a_table_without_rows(folder):
    assert problems(folder, "video,label") == ["line 2: expected rows of clips, got none"]
    columns = "the columns of a manifest are video, start, end, label, split, text, uid"
    assert problems(folder, "label") == [f"line 1: expected a column named video, got 'label': {columns}"]
    assert problems(folder, "", name="c.jsonl")[0].startswith("line 1: expected a column named video, got nothing")


def test_if_no_video_exists_one_sentence_gives_the_folder(folder):
    error = error_of(folder, "video", "x/a.mp4", "x/b.mp4")
    assert str(error) == (
        f"none of the 2 videos of {folder / 'clips.csv'} exists, such as x/a.mp4 (line 2); paths are relative to "
        f"{folder}: give another folder with --data-dir, or correct the paths"
    )


def test_reading_ends_where_the_text_does_and_earlier_problems_are_kept(folder):
    (folder / "clips.csv").write_bytes(b"video,end\na.mp4,x\n" + b"\n" * 29_999 + b"b.mp4,\xff\n")
    with pytest.raises(InputError) as caught:
        open_sources(None, SimpleNamespace(manifest=folder / "clips.csv"))
    assert [line.partition(",")[0] for line in caught.value.details] == [
        "  line 2: end: expected seconds (12.5) or a timecode (HH:MM:SS.sss",
        "  line 30002: expected UTF-8 text (or UTF-16 with a byte order mark)",
    ]


def test_more_classes_than_a_label_set_can_have(folder, monkeypatch):
    rows = ["a.mp4,one", "a.mp4,two", "a.mp4,three", "a.mp4,one"]
    assert len(opened(folder, "video,label", *rows[:3]).classes) == 3
    monkeypatch.setattr(row_checks, "MAX_CLASSES", 2)
    assert problems(folder, "video,label", *rows[:3]) == ["line 4: label: expected at most 2 classes, got 3"]


def test_a_table_given_as_the_data_folder(folder):
    (folder / "clips.tsv").write_text("video\na.mp4\n")
    with pytest.raises(InputError, match=r"clips.tsv is a table: give it with --manifest .*clips.tsv$"):
        open_sources(folder / "clips.tsv")
