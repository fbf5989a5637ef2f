"""Walking and listing a folder: kinds of files by name and content, links, cycles, skipped files."""

import os

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder.file_kinds import (
    ARCHIVE,
    AUDIO,
    HIDDEN,
    IMAGE,
    OTHER,
    TEXT,
    UNFINISHED,
    VIDEO,
    kind_of_bytes,
    kind_of_name,
)
from embedonce.pipeline.sources.folder.listing import find_videos
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import open_sources
from tests.support.folders import touch
from tests.support.videos import write_video

MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0" * 64


def fill(root, **files: bytes):
    for name, content in files.items():
        touch(root, name)
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (MP4, VIDEO),
        (b"\0\0\0\x08wide\0\0\0\0mdat", VIDEO),
        (b"\0\0\0\x1cftypheic", IMAGE),
        (b"\0\0\0\x1cftypavif", IMAGE),
        (b"\0\0\0\x1cftypM4A ", AUDIO),
        (b"\x1a\x45\xdf\xa3\x01", VIDEO),
        (b"RIFF\0\0\0\0AVI LIST", VIDEO),
        (b"RIFF\0\0\0\0WAVEfmt ", AUDIO),
        (b"RIFF\0\0\0\0WEBPVP8 ", IMAGE),
        (b"FLV\x01\x05", VIDEO),
        ((b"\x47" + bytes(187)) * 4, VIDEO),
        ((bytes(4) + b"\x47" + bytes(187)) * 4, VIDEO),
        (b"\0\0\x01\xba\x44", VIDEO),
        (b"\0\0\0\x01\x67\x64\0\x1f", VIDEO),
        (b"\0\0\0\x01\x40\x01\x0c", VIDEO),
        (b"OggS\0\2" + bytes(22) + b"\x80theora", VIDEO),
        (b"OggS\0\2" + bytes(22) + b"\x01vorbis", AUDIO),
        (b"YUV4MPEG2 W64", VIDEO),
        (b"GIF89a", IMAGE),
        (b"\xff\xd8\xff\xe0", IMAGE),
        (b"PK\x03\x04", ARCHIVE),
        ("naïve text".encode(), TEXT),
        (b"G", TEXT),
        (b"The free software", TEXT),
        (b"BMW drivers, turning", TEXT),
        (b"BM\x36\x10\0\0\0\0\0\0\x36", IMAGE),
        (b"\x00\x01\x02", OTHER),
        (b"", OTHER),
    ],
)
def test_first_bytes(head, kind):
    assert kind_of_bytes(head) == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.MP4", VIDEO), ("a.Mov", VIDEO), ("a.insv", None), ("a.LRV", None), ("a", None), ("a.JPG", IMAGE),
     ("a.gif", IMAGE), ("a.csv", TEXT), ("a.zip", ARCHIVE), ("._a.mp4", HIDDEN), (".DS_Store", HIDDEN),
     ("Thumbs.db", HIDDEN), ("a.mp4.part", UNFINISHED), ("a.mp4.crdownload", UNFINISHED), ("a.mp4~", UNFINISHED),
     ("a.mp4:Zone.Identifier", HIDDEN)],
)  # fmt: skip
def test_names(name, kind):
    assert kind_of_name(name) == kind


def test_every_file_is_counted_in_the_summary(tmp_path):
    fill(tmp_path, **{"a/1.mp4": b"", "a/2.MOV": b"", "b/x.insv": MP4, "b/noext": MP4, "b/clip.LRV": MP4})
    fill(tmp_path, **{"a/p.jpg": b"", "a/q.gif": b"GIF89a", "notes": b"text", "labels.csv": b"", "blob": b"\0\1"})
    fill(tmp_path, **{"b/._x.mp4": b"", ".DS_Store": b"", "a/Thumbs.db": b"", "b/z.mp4.part": MP4, "set.zip": b"PK"})
    fill(tmp_path, **{"a/@eaDir/1.mp4": b"", "__MACOSX/1.mp4": b"", "a/.git/1.mp4": b"", "s.m4a": b""})
    found = find_videos(tmp_path)
    assert found.usable == ("a/1.mp4", "a/2.MOV", "b/clip.LRV", "b/noext", "b/x.insv")
    assert found.summary == (
        "5 videos (3 by content: b/clip.LRV, b/noext, b/x.insv), 2 images (.jpg, .gif), 1 audio file (.m4a), "
        "2 texts (.csv, no suffix), 1 archive (.zip), 1 other file (no suffix); skipped 3 hidden or metadata files, "
        "3 hidden or metadata folders (__MACOSX, a/.git, a/@eaDir), 1 unfinished download or backup (b/z.mp4.part)"
    )
    assert folder_source(tmp_path).files == f"{found.summary}; layout: classes"


def test_previews_of_listed_recordings_are_skipped(tmp_path):
    fill(
        tmp_path, **{"GX010001.MP4": MP4, "GL010001.LRV": MP4, "GL010002.LRV": MP4, "DJI_1.MP4": MP4, "DJI_1.LRF": MP4}
    )
    fill(tmp_path, **{"VID_7_00_001.insv": MP4, "LRV_7_11_001.insv": MP4})
    found = find_videos(tmp_path)
    assert found.usable == ("DJI_1.MP4", "GL010002.LRV", "GX010001.MP4", "VID_7_00_001.insv")
    assert "3 low-resolution copies of recordings" in found.summary


def test_linked_folders_are_followed_and_cycles_end(tmp_path):
    touch(tmp_path, "store/deep/x.mp4", "data/cut/1.mp4", "data/stir/2.mp4")
    data = tmp_path / "data"
    (data / "wave").symlink_to(tmp_path / "store")
    (data / "cut" / "up").symlink_to(data)
    (tmp_path / "store" / "deep" / "round").symlink_to(tmp_path / "store")
    (data / "self").symlink_to(data / "self")
    source = folder_source(data)
    assert [video.source for video in source.videos] == ["cut/1.mp4", "stir/2.mp4", "wave/deep/x.mp4"]
    assert source.classes == ("cut", "stir", "wave")
    notes = " ".join(source.notes)
    assert "1 linked folder followed: wave" in notes
    assert (
        "2 linked folders skipped, already read under another name: cut/up is the data folder, wave/deep/round" in notes
    )


def test_videos_are_named_after_real_folders_before_links(tmp_path):
    touch(tmp_path, "z/1.mp4", "y/2.mp4")
    (tmp_path / "y" / "again").symlink_to(tmp_path / "y")
    (tmp_path / "z" / "a.mp4").symlink_to("1.mp4")
    os.link(tmp_path / "z" / "1.mp4", tmp_path / "z" / "b.mp4")
    found = find_videos(tmp_path)
    assert found.usable == ("y/2.mp4", "z/1.mp4")
    assert set(found.aliases) == {("z/a.mp4", "z/1.mp4"), ("z/b.mp4", "z/1.mp4")}
    assert "2 second names of videos (z/a.mp4, z/b.mp4)" in found.summary.replace(
        "z/b.mp4, z/a.mp4", "z/a.mp4, z/b.mp4"
    )


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize(("first", "second"), [("train/a", "val/a"), ("train/a", "train/b")])
def test_a_link_into_another_split_or_class_is_refused(tmp_path, first, second, is_folder):
    touch(tmp_path, f"{first}/1.mp4", "train/c/3.mp4", "val/c/4.mp4")
    link = tmp_path / second if is_folder else tmp_path / second / "1.mp4"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / first / ("" if is_folder else "1.mp4"))
    with pytest.raises(InputError, match=f"second class or split .{second}/1.mp4 is {first}/1.mp4.*--layout flat"):
        folder_source(tmp_path)
    assert len(folder_source(tmp_path, "flat").videos) == 3


def test_a_folder_without_videos_is_refused_with_a_summary_of_its_files(tmp_path):
    fill(tmp_path, **{"a.zip": b"PK", "b.gif": b"GIF8", ".c.mp4": b""})
    with pytest.raises(InputError, match=r"found: 1 image .*1 archive .*skipped 1 hidden .*unpack the archives"):
        find_videos(tmp_path)


def test_folders_without_videos_are_named(tmp_path):
    touch(tmp_path, "cut/1.mp4", "stir/deep/frame.jpg", "stir/other/x.txt", "wave/notes.txt")
    (tmp_path / "fold").mkdir()
    assert "3 folders without any video: fold, stir, wave" in find_videos(tmp_path).notes


def test_pipes_of_any_name_are_not_opened(tmp_path):
    touch(tmp_path, "1.mp4")
    os.mkfifo(tmp_path / "pipe")
    found = find_videos(tmp_path)
    assert found.usable == ("1.mp4",) and "1 file of unknown kind cannot be read: pipe" in found.notes


@pytest.mark.parametrize(
    "name", ["写字/視頻.mp4", "мыть/видео.mp4", "🏊/🎬.mp4", "a/" + "視" * 83 + ".mp4", "a/" + "x" * 251 + ".mp4"]
)
def test_file_names_of_any_script_and_length_are_accepted(tmp_path, name):
    (tmp_path / name).parent.mkdir()
    write_video(tmp_path / name, 4)
    touch(tmp_path, "other/1.mp4")
    source = open_sources(tmp_path)[""]
    assert name in {video.source for video in source.videos} and source.rejected == ()
    assert name.split("/")[0] in source.classes
