"""Folders of frames and single images as a source: what a folder is taken for, and what is refused."""

import os
from fractions import Fraction
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.duplicates import refuse_conflicts
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.registry import choose_source, open_sources
from tests.support.folders import touch
from tests.support.image_files import write_frames, write_image


def opened(root, **settings):
    (source,) = open_sources(root, SimpleNamespace(**settings)).values()
    return source


def error_of(root, **settings) -> str:
    with pytest.raises(InputError) as caught:
        opened(root, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def clips(tmp_path):
    for name in ("train/cut/a", "train/stir/a", "val/cut/b", "val/stir/b"):
        write_frames(tmp_path / "data" / name, [1, 2])
    return tmp_path / "data"


def test_each_folder_of_numbered_images_is_a_video(clips):
    source = opened(clips, frames_rate=29.97)
    assert source.kind == "frames" and source.classes == ("cut", "stir")
    assert [video.source for video in source.videos] == ["train/cut/a", "train/stir/a", "val/cut/b", "val/stir/b"]
    assert source.videos[0].path == ImageSequence(clips / "train/cut/a", Fraction(2997, 100))
    assert [(source.classes[clip.label], clip.split) for clip in source.clips] == [
        ("cut", "train"),
        ("stir", "train"),
        ("cut", "val"),
        ("stir", "val"),
    ]
    assert source.has_whole_videos and source.uids_from_paths
    assert source.files == "8 images in 4 folders; layout: splits/classes"
    assert source.notes == ("folders of numbered images, each of which is a video of 29.97 frames per second: 4",)
    assert opened(clips, frames_rate=5.0, layout="flat").classes == ()


def test_frames_without_a_rate_are_refused(clips):
    reason = (
        "the images in train/cut/a are numbered like the frames of a video (img_00001.jpg to img_00002.jpg), and an "
        "image has no time: give --frames-rate FPS if each such folder is a video, or --frames-layout images if each "
        "image stands for itself"
    )
    assert error_of(clips) == f"{clips}: {reason}"
    assert error_of(clips, frames_layout="sequences").endswith(
        "--frames-layout sequences needs --frames-rate FPS: an image has no time"
    )


def test_single_images_are_videos_of_a_frame(tmp_path):
    for name in ("cat/tom.jpg", "cat/kitty.png", "dog/rex.webp"):
        write_image(tmp_path / name, 1)
    source = opened(tmp_path)
    assert source.classes == ("cat", "dog") and [video.source for video in source.videos] == [
        "cat/kitty.png",
        "cat/tom.jpg",
        "dog/rex.webp",
    ]
    assert source.videos[0].path == ImageSequence(tmp_path / "cat/kitty.png")
    assert source.notes == ("images, each of which is a video of one frame: 3",)
    assert opened(tmp_path, frames_layout="images") == source


def test_numbered_images_may_stand_for_themselves(clips):
    source = opened(clips, frames_layout="images")
    assert len(source.videos) == 8 and source.videos[0].source == "train/cut/a/img_00001.jpg"
    assert source.classes == ("cut", "stir")
    message = "--frames-rate is for folders of frames, and with --frames-layout images there are none: leave one of"
    assert message in error_of(clips, frames_layout="images", frames_rate=5.0)
    with pytest.raises(ValueError, match="--frames-prefix requires --frames-rate"):
        ExtractConfig(clips, frames_layout="images", frames_prefix="img_")


def test_a_prefix_chooses_the_frames(tmp_path):
    for name in ("cut/a", "stir/b"):
        for prefix in ("flow_x_", "flow_y_", "img_"):
            write_frames(tmp_path / name, [1, 2, 3], f"{prefix}{{:05}}.jpg")
    message = error_of(tmp_path, frames_rate=25.0)
    assert message.startswith(f"{tmp_path}: none of 2 folders has the frames of one video; cut/a: its images have")
    assert "such as --frames-prefix flow_x_" in message
    assert "are numbered like the frames of a video" in error_of(tmp_path)  # not taken for photos
    source = opened(tmp_path, frames_rate=25.0, frames_prefix="img_")
    assert [video.path.prefix for video in source.videos] == ["img_", "img_"]
    assert source.videos[0].path.frames().names == tuple(f"img_0000{n}.jpg" for n in (1, 2, 3))
    assert any(
        note.startswith("images that are not named img_ and a number or") and note.endswith(": 12")
        for note in source.notes
    )
    assert "no image named rgb_ and a number" in error_of(tmp_path, frames_rate=25.0, frames_prefix="rgb_")


def test_a_folder_that_is_no_video_is_left_out_with_the_reason(clips):
    write_image(clips / "train/cut/a/img_1.jpg", 1)
    source = opened(clips, frames_rate=10.0)
    reason = "two of its images have the number 1 (img_00001.jpg and img_1.jpg): remove one"
    assert source.rejected == (("train/cut/a", reason),) and len(source.videos) == 3
    assert f"videos that cannot be used: 1 (train/cut/a: {reason})" in summarize({"": source}).lines


def test_what_lies_beside_the_images_is_counted(clips):
    touch(clips, "train/cut/a/notes.txt", "train/cut/video.mp4", "val/stir/b/img_00003.tif", "val/fold/.hidden.jpg")
    source = opened(clips, frames_rate=10.0)
    others = "1 of kind hidden or metadata file, 1 of kind image, 1 of kind text, 1 of kind video"
    assert source.files.startswith(f"8 images in 4 folders, others: {others}; layout")
    assert source.notes[1:] == (
        "video files next to the images, which are not read: 1; a table may name both",
        "images of formats other than .jpg .jpeg .png .webp .bmp, which are not read: 1",
        "1 folder without any image: val/fold",
    )


def test_the_data_folder_itself_may_be_the_video(tmp_path):
    source = opened(write_frames(tmp_path / "clip", [1, 2, 3]), frames_rate=10.0)
    (video,) = source.videos
    assert (video.uid, video.source, video.path.path) == ("clip", "clip", tmp_path / "clip")
    assert source.classes == ()


def test_a_folder_with_the_name_of_the_data_folder_does_not_take_its_place(tmp_path):
    for folder in ("clip", "clip/clip"):
        write_frames(tmp_path / folder, [1, 2, 3])
    message = error_of(tmp_path / "clip", frames_rate=10.0)
    assert "has images itself and in a folder of the same name, clip, so two videos would have this name" in message
    assert len(opened(tmp_path / "clip", frames_layout="images").videos) == 6


def test_images_that_are_no_files_are_left_out_with_the_reason(tmp_path):
    write_image(tmp_path / "cat/tom.jpg", 1)
    write_image(tmp_path / "dog/rex.jpg", 2)
    (tmp_path / "cat/broken.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "dog/pipe.jpg")
    source = opened(tmp_path)
    assert [video.source for video in source.videos] == ["cat/tom.jpg", "dog/rex.jpg"]
    reasons = [("cat/broken.jpg", "it is a broken link"), ("dog/pipe.jpg", "it is not a regular file")]
    assert list(source.rejected) == reasons
    listed = ", ".join(": ".join(pair) for pair in reasons)
    assert f"videos that cannot be used: 2 ({listed})" in summarize({"": source}).lines
    for path in ("cat/tom.jpg", "dog/rex.jpg"):
        (tmp_path / path).unlink()
    message = "none of 2 images in {} can be used; the first, cat/broken.jpg: it is a broken link"
    assert error_of(tmp_path) == message.format(tmp_path)


def test_folders_that_are_reached_twice_are_one_video(clips):
    (clips / "again").symlink_to(clips / "train" / "cut")
    source = opened(clips, frames_rate=10.0, layout="flat")
    assert len(source.videos) == 4
    assert "1 linked folder skipped, already read under another name: again is train/cut" in source.notes


def test_copies_of_a_folder_in_two_classes_are_found(tmp_path):
    for name in ("cut/a", "stir/a"):
        write_frames(tmp_path / name, [1, 2])
    source = match_source(opened(tmp_path, frames_rate=10.0), CachedVideos())
    with pytest.raises(InputError, match="cut/a and stir/a are the same video, byte for byte, but are in two classes"):
        refuse_conflicts(source, {video.uid for video in source.videos})


def test_other_sources_name_the_option_and_are_not_taken_over(clips, tmp_path):
    assert choose_source(clips).name == "frames"
    touch(clips, "README")  # which may be anything
    assert choose_source(clips).name == "folder"
    assert "images are read with --frames-rate FPS (folders of frames) or --frames-layout images" in error_of(clips)
    for name, message in (("a.zip", "unpack the archives first"), ("a.mp4.part", "skipped 1 unfinished download")):
        touch(tmp_path / name, "cover.jpg", f"folder/{name}")
        assert message in error_of(tmp_path / name)
        assert len(opened(tmp_path / name, frames_layout="images").videos) == 1
    touch(tmp_path / "videos", "cut/a.mp4", "cut/cover.jpg", "stir/b.mp4")
    assert choose_source(tmp_path / "videos").name == "folder"
    with pytest.raises(InputError, match=r"--frames-rate is for a folder of images .*EPIC.*: leave the option out"):
        touch(tmp_path / "epic", "EPIC_100_train.csv", "EPIC_100_validation.csv")
        choose_source(tmp_path / "epic", SimpleNamespace(frames_rate=10.0))
    assert "there is no image in" in error_of(tmp_path / "videos" / "stir", frames_rate=10.0)
    assert "there is no folder" in error_of(tmp_path / "none", frames_rate=10.0)
