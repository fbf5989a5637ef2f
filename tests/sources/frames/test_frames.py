"""Folders of frames from end to end: numbers shown in the images verify which of them is at which time."""

import io
import itertools
import json
import math

import numpy as np
import pytest
from PIL import Image

from embedonce.cache.store import open_reader
from embedonce.pipeline.frames.canonical_frame import encode_canonical
from tests.commands.test_cli import call, error_of, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.sources.ego4d.test_frames import numbers
from tests.support.image_files import write_image

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATE, SAMPLED = 25, 10  # images and requested times per second


@pytest.fixture
def data(tmp_path):
    """Clips whose images have numbers that no other clip has."""
    root = tmp_path / "data"
    for start, split, label in ((1, "train", "cut"), (101, "train", "stir"), (201, "val", "cut"), (301, "val", "stir")):
        for number in range(1, 41):
            write_image(root / split / label / "clip" / f"frame_{number:010}.jpg", start + number - 1, shift=start)
    return root


def command(data, tmp_path, *more):
    return [
        *("extract-teacher", "--data-dir", data, "--cache-dir", tmp_path / "cache", "--frames-rate", RATE),
        *("--fps", SAMPLED, "--decode-workers", "1", *more),
    ]


def all_numbers(cache) -> dict[str, list[int]]:
    reader = open_reader(cache)
    planned = {video.uid: video.source for part in reader.plan() for video in part.videos}
    return {planned[uid]: numbers(reader, uid, -np.inf, np.inf) for uid in reader.video_uids}


def shown(start: int, count: int = 40) -> list[int]:
    return [start + math.floor(k * RATE / SAMPLED) for k in range(math.ceil(count * SAMPLED / RATE))]


def test_every_image_is_a_frame_of_its_time(data, tmp_path):
    output = call(*command(data, tmp_path))
    assert "listed 4 videos = 4 committed" in output and "64 ok, 0 corrupt" in output
    starts = {"train/cut/clip": 1, "train/stir/clip": 101, "val/cut/clip": 201, "val/stir/clip": 301}
    assert all_numbers(tmp_path / "cache") == {name: shown(start) for name, start in starts.items()}
    labels = open_reader(tmp_path / "cache").label_set(None)
    assert labels.classes == ("cut", "stir")
    assert sorted((clip.split, clip.label) for clip in labels.clips) == [
        ("train", 0),
        ("train", 1),
        ("val", 0),
        ("val", 1),
    ]


def test_rows_are_the_pixels_of_the_images(tmp_path):
    root = tmp_path / "data"
    for number in (1, 2):  # of the size of canonical frames: nothing is resized
        write_image(root / "cut" / f"{number}.png", number)
        write_image(root / "stir" / f"{number}.png", number + 10, exif=_turned())
    call(*command(root, tmp_path, "--canonical-short-side", "64", "--jpeg-quality", "95"))
    reader = open_reader(tmp_path / "cache")
    for uid, folder, rotation in (("cut", root / "cut", 0), ("stir", root / "stir", 90)):
        timeline = reader.timeline(uid)
        stored = [reader.frames(timeline.unit[i]).jpeg(int(timeline.row[i])) for i in range(len(timeline.row))]
        images = [np.asarray(Image.open(folder / f"{number}.png")) for number in (1, 2)]
        expected = [encode_canonical(image, rotation, 95) for image in images]
        assert stored == expected[:1]  # at 0 s; the next time, 0.1 s, is past the end at 0.08 s
        upright = Image.open(io.BytesIO(stored[0])).size
        assert upright == ((160, 64) if not rotation else (64, 160))


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_lost_damaged_and_odd_images_are_accounted_for(data, tmp_path, caplog):
    cut, stir = data / "train/cut/clip", data / "val/stir/clip"
    (cut / "frame_0000000006.jpg").unlink()  # displayed at 0.2 s
    (cut / "frame_0000000011.jpg").write_bytes((cut / "frame_0000000011.jpg").read_bytes()[:900])  # at 0.4 s
    Image.new("RGB", (64, 64)).save(cut / "frame_0000000016.jpg")  # at 0.6 s
    Image.new("RGB", (320, 128)).save(cut / "frame_0000000021.jpg")  # at 0.8 s, of the same shape: resized
    for path in stir.iterdir():
        path.write_bytes(b"no image")
    (data / "val/cut/clip/frame_1.jpg").write_bytes(b"the same number")
    output = call(*command(data, tmp_path), code=3)
    assert "listed 4 videos = 2 committed + 2 quarantined" in output
    assert "29 ok, 2 corrupt, 0 redacted, 0 missing, 1 reshaped" in output
    kept = all_numbers(tmp_path / "cache")["train/cut/clip"]
    assert kept == [0 if number == 21 else number for number in shown(1) if number not in (6, 11, 16)]
    assert "one image is missing, after frame_0000000005.jpg: nothing is displayed at that time" in caplog.text
    reader = open_reader(tmp_path / "cache")
    remarks = [text for r in reader.records.values() for text in r.provenance["remarks"].get("train_2Fcut_2Fclip", ())]
    assert remarks[0].startswith("its frames change at 0.600 s from 160x64 to 64x64 (another upright shape")
    assert remarks[-1].startswith(
        "1 of its 15 requested images cannot be decoded, such as frame_0000000011.jpg: image f"
    )
    reasons = {record.source: record.reason for record in reader.quarantined().values()}
    assert reasons["val/cut/clip"].startswith("two of its images have the number 1 (frame_0000000001.jpg and frame_1")
    assert reasons["val/stir/clip"].startswith("none of its 40 images can be decoded (frame_0000000001.jpg: it is not")


def test_moved_folders_keep_their_rows_and_replaced_ones_are_extracted_again(data, tmp_path):
    call(*command(data, tmp_path))
    (data / "train/cut/clip").rename(data / "train/cut/other name")
    for number in range(1, 41):
        write_image(data / f"train/stir/new/{number}.png", 400 + number)
    assert "listed 5 videos = 5 committed" in call(*command(data, tmp_path))
    assert open_reader(tmp_path / "cache").num_rows == 80  # those of the new folder were added
    write_image(data / "train/cut/other name/frame_0000000001.jpg", 999)
    output = call(*command(data, tmp_path))
    reader = open_reader(tmp_path / "cache")
    assert reader.num_rows == 96 and "listed 5 videos = 5 committed" in output
    assert all_numbers(tmp_path / "cache")["train/cut/other name"] == [999, *shown(1)[1:]]


def at_rate(arguments: list, rate: int) -> list:
    position = arguments.index("--frames-rate") + 1
    return [*arguments[:position], rate, *arguments[position + 1 :]]


def test_another_rate_is_another_video(data, tmp_path, caplog):
    call(*command(data, tmp_path))
    assert "changed since they were planned" not in caplog.text
    call(*at_rate(command(data, tmp_path), 50))
    assert "files or folders whose content or frame rate changed since they were planned:" in caplog.text
    reader = open_reader(tmp_path / "cache")
    clips = reader.label_set(None).clips
    assert all("__" in clip.video_uid for clip in clips)
    assert numbers(reader, clips[0].video_uid, -np.inf, np.inf) == [1, 6, 11, 16, 21, 26, 31, 36]


def test_single_images_are_one_row_each_and_train_a_student(tmp_path):
    root = tmp_path / "data"
    folders = ("train/cut", "train/stir", "val/cut", "val/stir")
    for number, (folder, name) in enumerate(itertools.product(folders, ("ann", "bob", "cy", "di", "ed", "flo"))):
        write_image(root / folder / f"{name}.jpg", number)
    shared = ["--cache-dir", tmp_path / "cache", "--output-dir", tmp_path / "out"]
    output = call("extract-teacher", "--data-dir", root, *shared[:2], "--fps", "4", "--decode-workers", "1")
    assert "listed 24 videos = 24 committed" in output and "24 ok, 0 corrupt" in output
    small = ["--student-size", "tiny", "--student-resolution", "128", "--frames-per-clip", "2", "--num-workers", "0"]
    call("train-student", *shared, *small, "--epochs", "1", "--device", "cpu")
    call("evaluate", *shared, "--student-checkpoint", tmp_path / "out/best_student.pt", "--device", "cpu")
    results = json.loads((tmp_path / "out" / "evaluation_results.json").read_text())
    assert (results["split"], results["num_clips"], results["num_videos"]) == ("val", 12, 12)


def test_key_frames_and_snapping_treat_every_image_as_a_key_frame(data, tmp_path):
    output = call(*command(data, tmp_path, "--sampling", "keyframe"))
    assert "160 ok" in output
    cache = tmp_path / "snapped"
    arguments = command(data, tmp_path, "--sampling", "snap", "--snap-tolerance", "0.04")
    arguments[arguments.index("--cache-dir") + 1] = cache
    call(*arguments)
    assert all(len(found) in (16, 17) for found in all_numbers(cache).values())


def test_a_table_names_folders_of_frames_images_and_times(data, tmp_path):
    write_image(data / "photo.jpg", 500)
    rows = [
        *("video,start,end,label,split", "train/cut/clip,0.2,0.6,cut,train", "train/cut/clip,1.0,,stir,train"),
        *("val/stir/clip/,,,stir,val", "photo.jpg,,,cut,val"),
    ]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    output = error_of("plan", "--data-dir", data, "--manifest", tmp_path / "clips.csv")
    assert (
        "line 2: video: train/cut/clip: it is a folder, not a video file; folders of frames need --frames-rate"
        in output
    )
    arguments = command(data, tmp_path, "--manifest", tmp_path / "clips.csv")
    assert "listed 3 videos = 3 committed" in call(*arguments)
    reader = open_reader(tmp_path / "cache")
    labels = reader.label_set(None)
    found = [
        (labels.classes[clip.label], clip.split, numbers(reader, clip.video_uid, clip.start_sec, clip.end_sec))
        for clip in labels.clips
    ]
    assert sorted(found) == [
        ("cut", "train", [6, 8, 11, 13]),
        ("cut", "val", [500]),
        ("stir", "train", [26, 28, 31, 33, 36, 38]),
        ("stir", "val", shown(301)),
    ]
    assert "--frames-layout is for a folder of images" in error_of(*arguments, "--frames-layout", "images")
    call("relabel", *arguments[1:5], "--manifest", tmp_path / "clips.csv", "--teacher-head", "none", "--label-set", "b")
    assert open_reader(tmp_path / "cache").label_set("b").clips == labels.clips


def test_folders_of_two_rates_are_labeled_by_one_table(data, tmp_path, caplog):
    rows = {25: ["train/cut/clip,0.2,0.6,cut,train"], 50: ["val/stir/clip,0.2,0.4,stir,val"]}
    for name, listed in [*rows.items(), ("all", [*rows[25], *rows[50]])]:
        (tmp_path / f"{name}.csv").write_text("\n".join(["video,start,end,label,split", *listed]))
    for rate in rows:
        tables = ("--manifest", tmp_path / f"{rate}.csv", "--label-set", f"at-{rate}", "--teacher-head", "none")
        call(*at_rate(command(data, tmp_path, *tables), rate))
    arguments = command(data, tmp_path)[1:5]
    call("relabel", *arguments, "--manifest", tmp_path / "all.csv", "--teacher-head", "none", "--label-set", "both")
    assert "files that are missing or not read, whose clips are kept with the frames in the cache: 2" in caplog.text
    reader = open_reader(tmp_path / "cache")
    found = [numbers(reader, c.video_uid, c.start_sec, c.end_sec) for c in reader.label_set("both").clips]
    assert found == [[6, 8, 11, 13], [311, 316]]


def test_a_folder_whose_images_cannot_be_read_now_is_tried_again(data, tmp_path):
    unreadable = data / "val/stir/clip/frame_0000000041.jpg"
    unreadable.symlink_to(unreadable)
    assert "3 committed + 1 quarantined" in call(*command(data, tmp_path), code=3)
    (record,) = open_reader(tmp_path / "cache").quarantined().values()
    assert record.reason.startswith("it cannot be read now (Too many levels of symbolic links); run the same command")
    unreadable.unlink()
    assert "listed 4 videos = 4 committed" in call(*command(data, tmp_path))
