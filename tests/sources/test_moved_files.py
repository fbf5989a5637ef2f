"""Files that are moved, copied, replaced or deleted between two runs with the same cache, and their labels."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.layout import FILE_FINGERPRINTS
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import decode_tasks, teacher_loading
from embedonce.pipeline.extraction.upright import PlannedShape
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.sources import known_files
from embedonce.pipeline.sources.content_identity import (
    WHOLE_BYTES,
    are_equal,
    fingerprint,
    fingerprint_of,
    whole_fingerprint,
)
from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.splits.assignment import split_by_hash
from embedonce.pipeline.video.geometry import SQUARE, Geometry
from embedonce.pipeline.video.orientation import UPRIGHT
from tests.commands.test_cli import call, error_of
from tests.conftest import second_backend_slow
from tests.extraction.test_runner import StoppingTeacher, make_source, run
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


class Teacher(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for name in ("cut/1", "cut/2", "stir/1", "stir/2"):
        (root / name).parent.mkdir(exist_ok=True)
        write_video(root / f"{name}.mp4", 30)
    return root


@pytest.fixture
def videos(originals, tmp_path) -> Path:
    return shutil.copytree(originals, tmp_path / "v")


def extract(videos: Path, *options, code: int = 0) -> str:
    arguments = ["--data-dir", videos, "--cache-dir", videos.parent / "c", "--decode-workers", "1"]
    return call("extract-teacher", *arguments, *options, code=code)


def refused(videos: Path, *options, code: int) -> str:
    return error_of("extract-teacher", "--data-dir", videos, "--cache-dir", videos.parent / "c", *options, code=code)


def labels(videos: Path, name: str | None = None) -> dict[str, tuple[str, str]]:
    """uid -> (class, split) of the clips of a label set."""
    found = open_reader(videos.parent / "c").label_set(name)
    return {clip.video_uid: (found.classes[clip.label], clip.split) for clip in found.clips}


def shards(videos: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (videos.parent / "c" / "frames").iterdir()}


def is_sound(videos: Path) -> bool:
    return not verify(videos.parent / "c", canonical_frame.replayed_crc32).problems


# -- labels follow the files -----------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_moved_file_keeps_its_rows_and_gets_the_label_of_its_new_folder(videos, caplog):
    extract(videos)
    before, old = shards(videos), labels(videos)
    shutil.move(videos / "cut/1.mp4", videos / "stir/moved.mp4")
    output = extract(videos)
    assert "listed 4 videos = 4 committed" in output and shards(videos) == before
    new = labels(videos)
    assert new.keys() == old.keys()
    assert {uid for uid in new if new[uid] != old[uid]} == {"cut_2F1_2Emp4"}
    assert new["cut_2F1_2Emp4"] == ("stir", old["cut_2F1_2Emp4"][1])  # a split by hash stays with the video
    assert (
        "files that were moved since they were planned and keep their frames: 1 (cut/1.mp4 -> stir/moved.mp4)"
        in caplog.text
    )
    assert "videos whose clips changed: 1 (cut/1.mp4: cut -> stir)" in caplog.text
    assert is_sound(videos)
    again = sorted((videos.parent / "c" / "labels").rglob("*.json"))
    extract(videos)
    assert sorted((videos.parent / "c" / "labels").rglob("*.json")) == again  # nothing is left to revise


@pytest.mark.integration
def test_two_files_that_swap_folders_swap_their_labels(videos):
    extract(videos)
    before = shards(videos)
    (videos / "cut/1.mp4").rename(videos / "x")
    (videos / "stir/1.mp4").rename(videos / "cut/1.mp4")
    (videos / "x").rename(videos / "stir/1.mp4")
    extract(videos)
    found = {uid: name for uid, (name, _) in labels(videos).items()}
    assert found == {"cut_2F1_2Emp4": "stir", "cut_2F2_2Emp4": "cut", "stir_2F1_2Emp4": "cut", "stir_2F2_2Emp4": "stir"}
    assert shards(videos) == before


@pytest.mark.integration
def test_clips_of_deleted_files_are_removed_and_return_with_the_files(videos, caplog):
    extract(videos)
    before = shards(videos)
    (videos / "stir/2.mp4").rename(videos.parent / "aside.mp4")
    output = extract(videos)
    assert labels(videos).keys() == {"cut_2F1_2Emp4", "cut_2F2_2Emp4", "stir_2F1_2Emp4"}
    assert (
        "2 classes, 3 clips" in output
        and "videos whose clips are removed, because their files are gone or" in caplog.text
        and "stir/2" in caplog.text
    )
    assert shards(videos) == before
    (videos.parent / "aside.mp4").rename(videos / "stir/back.mp4")
    extract(videos)
    assert labels(videos)["stir_2F2_2Emp4"][0] == "stir" and shards(videos) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_folder_keeps_its_labels(videos):
    extract(videos)
    old = labels(videos)
    (videos / "stir").chmod(0)
    try:
        call("extract-teacher", "--data-dir", videos, "--cache-dir", videos.parent / "c", code=3)
    finally:
        (videos / "stir").chmod(0o755)
    assert labels(videos) == old


@pytest.mark.integration
def test_a_new_split_of_the_data_reaches_the_label_set_and_no_student_is_evaluated_on_training_videos(videos, caplog):
    for split in ("train", "val"):
        for name in ("cut", "stir"):
            (videos / split / name).mkdir(parents=True)
    for name in ("cut", "stir"):
        (videos / name / "1.mp4").rename(videos / "train" / name / "1.mp4")
        (videos / name / "2.mp4").rename(videos / "val" / name / "2.mp4")
        (videos / name).rmdir()
    out, small = videos.parent / "out", ["--student-size", "tiny", "--student-resolution", "128", "--epochs", "1"]
    here = ["--cache-dir", videos.parent / "c", "--output-dir", out, "--num-workers", "0", "--device", "cpu"]
    extract(videos)
    call("train-student", *here, *small, "--frames-per-clip", "1")
    (videos / "train/cut/1.mp4").rename(videos / "val/cut/1.mp4")
    extract(videos)
    assert labels(videos)["train_2Fcut_2F1_2Emp4"] == ("cut", "val")
    output = call("evaluate", *here, "--student-checkpoint", out / "best_student.pt")
    assert "2 val clips" in output  # of three
    assert "1 clips are left out: the student was trained on their recordings" in caplog.text
    assert "holds another training run" in error_of("train-student", *here, *small, "--frames-per-clip", "1")


@pytest.mark.integration
def test_training_labels_of_a_fitted_head_cannot_change(videos, monkeypatch):
    for number in range(3, 9):
        write_video(videos / "cut" / f"{number}.mp4", 30)
    extract(videos, "--teacher-head", "fitted")
    old = labels(videos)
    uid = next(uid for uid, (name, split) in old.items() if (name, split) == ("cut", "train"))
    name = uid.removeprefix("cut_2F").removesuffix("_2Emp4")
    (videos / "cut" / f"{name}.mp4").rename(videos / "stir/x.mp4")
    monkeypatch.setattr(
        teacher_loading, "load_teacher", lambda config, cached=None: pytest.fail("the teacher was loaded")
    )
    output = refused(videos, "--teacher-head", "fitted", code=4)
    assert f"was fitted to training labels that have changed (cut/{name}.mp4: cut -> stir)" in output
    assert labels(videos) == old


# -- the same video twice --------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_copies_in_two_classes_are_refused_before_extraction(videos, monkeypatch):
    monkeypatch.setattr(
        teacher_loading, "load_teacher", lambda config, cached=None: pytest.fail("the teacher was loaded")
    )
    shutil.copy(videos / "cut/1.mp4", videos / "stir/copy.mp4")
    output = refused(videos, code=2)
    assert (
        "cut/1.mp4 and stir/copy.mp4 are the same video, byte for byte, but are in two classes (cut and stir)" in output
    )
    assert "same video" in refused(videos, "--dry-run", code=2) and not (videos.parent / "c").exists()


@pytest.mark.integration
def test_copies_in_two_splits_are_refused_with_an_existing_cache_too(videos):
    for split in ("train", "test"):
        shutil.copytree(videos, videos.parent / "s" / split, ignore=lambda folder, names: ["2.mp4"])
    for path in (videos.parent / "s/test").rglob("1.mp4"):
        write_video(path, 45)
    split = videos.parent / "s"
    extract(split)
    shutil.copy(split / "train/cut/1.mp4", split / "test/cut/9.mp4")
    assert "but are in two splits (test and train): remove one" in refused(split, code=2)


@pytest.mark.integration
def test_copies_with_the_same_label_count_as_one_video(videos, caplog):
    shutil.copy(videos / "cut/1.mp4", videos / "cut/a copy.mp4")
    assert "listed 4 videos = 4 committed" in extract(videos)
    assert "identical copies of other files, which count once: 1 (cut/a copy.mp4 = cut/1.mp4)" in caplog.text or (
        "cut/1.mp4 = cut/a copy.mp4" in caplog.text
    )
    assert len(labels(videos)) == 4


@pytest.mark.integration
def test_identical_unusable_files_are_quarantined_separately(videos):
    for name in ("cut/x.mp4", "stir/x.mp4"):
        (videos / name).write_bytes(b"<html>404</html>")
    for name in ("cut/y.mp4", "stir/y.mp4"):
        (videos / name).touch()
    output = extract(videos, code=3)
    assert "quarantined cut/x.mp4" in output and "quarantined stir/y.mp4" in output and "4 quarantined" in output


# -- replaced files --------------------------------------------------------------------------------------------------


def numbers(reader, uid: str) -> list[int]:
    """The numbers in the stored frames of a video."""
    timeline = reader.timeline(uid)
    rows = zip(timeline.unit, timeline.row, strict=True)
    return [
        read_number(np.asarray(canonical_frame.decode_jpeg(reader.frames(unit).jpeg(int(row))))) for unit, row in rows
    ]


@pytest.mark.integration
def test_a_replaced_file_is_extracted_as_a_new_video(videos, caplog):
    extract(videos)
    before, times = shards(videos), (videos / "cut/1.mp4").stat()
    write_video(videos / "cut/1.mp4", 60, rate=10)
    os.utime(videos / "cut/1.mp4", ns=(times.st_atime_ns, times.st_mtime_ns))
    extract(videos)
    reader = open_reader(videos.parent / "c")
    assert len(labels(videos)) == 4 and "cut_2F1_2Emp4" not in labels(videos)
    (uid,) = [uid for uid in labels(videos) if uid.startswith("cut_2F1_2Emp4__")]
    assert numbers(reader, uid) == list(range(0, 60, 5)) and numbers(reader, "cut_2F1_2Emp4") == [0, 15]
    assert "cut/1.mp4" in caplog.text and "files whose content changed since they were planned" in caplog.text
    assert before.items() <= shards(videos).items() and is_sound(videos)
    assert "listed 4 videos = 4 committed" in extract(videos)
    assert [clip.video_uid for clip in reader.label_set().clips].count(uid) == 1


@second_backend_slow
@pytest.mark.integration
def test_frames_of_a_file_replaced_after_an_interrupted_run_are_never_mixed_with_old_ones(videos, backend):
    root, cache = videos / "cut", videos.parent / "cut-short"
    write_video(root / "2.mp4", 120)
    source = make_source(root, ["2", "1"])
    settings = {"backend": backend, "fps": 10.0, "shard_frames": 5, "decode_workers": 1}
    with pytest.raises(KeyboardInterrupt):
        run(source, cache, teacher=StoppingTeacher(), **settings)
    assert 0 < len(open_reader(cache).records) < 8
    write_video(root / "2.mp4", 120, size=(64, 192))
    result, reader, _ = run(source, cache, **settings)
    assert (result.committed, result.pending, result.quarantined) == (2, 0, {})
    prints = {}
    for record in reader.records.values():
        for segment in record.segments:
            prints.setdefault(segment.video_uid, set()).add(segment.fingerprint)
    assert (
        all(len(found) == 1 for found in prints.values()) and not verify(cache, canonical_frame.replayed_crc32).problems
    )
    (new,) = [uid for uid in prints if uid.startswith("2__")]
    assert prints[new] == {fingerprint(root / "2.mp4")} and len(reader.timeline(new).k) == 40
    shapes = {
        uid: {
            np.asarray(canonical_frame.decode_jpeg(reader.frames(unit).jpeg(int(row)))).shape
            for unit, row in zip(reader.timeline(uid).unit, reader.timeline(uid).row, strict=True)
        }
        for uid in ("2", new)
    }
    assert len(shapes["2"]) == len(shapes[new]) == 1 and shapes["2"] != shapes[new]


@second_backend_slow
@pytest.mark.integration
def test_rows_of_a_file_other_than_the_planned_one_are_damage(videos, backend):
    import dataclasses

    from tests.cache.test_verify import damage

    source = make_source(videos / "cut", ["1"])
    cache = videos.parent / "c"
    run(source, cache, backend=backend, shard_frames=1)

    def of_another_file(batch):
        segments = tuple(dataclasses.replace(segment, fingerprint="a" * 64) for segment in batch.segments)
        return dataclasses.replace(batch, segments=segments)

    damage(cache, "000001", of_another_file)
    (problem,) = verify(cache).problems
    assert "the rows of 1 come from another file than the one that was planned" in problem.message


@pytest.mark.integration
def test_a_file_that_changes_before_its_turn_is_reported_and_extracted_by_the_next_run(videos):
    class Changing(FakeTeacher):
        def embed(self, crops):
            if not self.images_seen:
                write_video(videos / "stir/2.mp4", 90)
            return super().embed(crops)

    source = make_source(videos / "stir", ["1", "2"])
    settings = {"batch_size": 1, "decode_workers": 1, "shard_frames": 1}
    cache = videos.parent / "c"
    while_scanned = FakeTeacher()
    write_video(videos / "stir/1.mp4", 90)
    result, reader, _ = run(source, cache, teacher=Changing(), fps=10.0, **settings)
    if result.quarantined:
        assert result.quarantined == {"2.mp4": decode_tasks.CHANGED}
    result, reader, _ = run(source, cache, teacher=while_scanned, fps=10.0, **settings)
    assert result.quarantined == {} and result.committed == 2
    assert any(uid.startswith("2__") and len(reader.timeline(uid).k) == 30 for uid in reader.video_uids)


def test_a_decoder_process_refuses_a_file_other_than_the_planned_one(videos):
    path = videos / "cut/1.mp4"
    shape = PlannedShape((256, 640), Geometry((64, 160), SQUARE, UPRIGHT), SQUARE)
    views = np.array([[0, 192, 256, 256, 0, 3]], np.int32)
    fields = ("u", path, "software", np.array([0]), np.array([0]), False, shape, 90, views, 32, 1.0)
    (rows,) = (
        message for message in decode_tasks.decode_video(decode_tasks.DecodeTask(*fields)) if isinstance(message, list)
    )
    assert len(rows) == 1
    task = decode_tasks.DecodeTask(*fields, fingerprint="f" * 64)
    with pytest.raises(decode_tasks.VideoError, match="changed after it was planned"):
        list(decode_tasks.decode_video(task))


def test_rows_of_a_file_that_was_replaced_during_decoding_are_discarded(videos, monkeypatch):
    shape = PlannedShape((256, 640), Geometry((64, 160), SQUARE, UPRIGHT), SQUARE)
    views, prints = np.array([[0, 192, 256, 256, 0, 3]], np.int32), iter(["f" * 64, "0" * 64])
    fields = ("u", videos / "cut/1.mp4", "software", np.array([0]), np.array([0]), False, shape, 90, views, 32, 1.0)
    monkeypatch.setattr(decode_tasks, "fingerprint", lambda path: next(prints))  # before and after
    monkeypatch.setattr(decode_tasks, "whole_fingerprint", lambda path: "1" * 64)
    with pytest.raises(decode_tasks.VideoError, match="changed after it was planned"):
        list(decode_tasks.decode_video(decode_tasks.DecodeTask(*fields, fingerprint="f" * 64)))


@pytest.mark.integration
def test_other_videos_are_finished_if_a_file_is_deleted_and_it_is_planned_again_when_it_returns(videos):
    root, cache = videos / "cut", videos.parent / "c"
    write_video(root / "3.mp4", 75)
    source = make_source(root, ["1", "2", "3"])
    settings = {"fps": 10.0, "shard_frames": 8, "decode_workers": 1}
    with pytest.raises(KeyboardInterrupt):
        run(source, cache, teacher=StoppingTeacher(), **settings)
    (root / "3.mp4").rename(videos / "aside.mp4")
    result, _, _ = run(make_source(root, ["1", "2"]), cache, **settings)
    assert (result.committed, result.pending) == (2, 0)
    (videos / "aside.mp4").rename(root / "3.mp4")
    result, reader, _ = run(source, cache, **settings)
    assert (result.committed, result.pending, result.quarantined) == (3, 0, {})
    whole = [uid for uid in reader.video_uids if uid.startswith("3") and len(reader.timeline(uid).k) == 25]
    assert len(whole) == 1 and not verify(cache).problems


@pytest.mark.integration
def test_a_converted_cache_has_the_labels_of_the_last_revision(videos):
    extract(videos)
    convert(videos.parent / "c", videos.parent / "before", "webdataset")
    shutil.move(videos / "cut/1.mp4", videos / "stir/moved.mp4")
    extract(videos)
    for target in ("before", "after"):  # one that was converted before, and a new one
        convert(videos.parent / "c", videos.parent / target, "webdataset")
        assert (
            open_reader(videos.parent / target).label_set().clips == open_reader(videos.parent / "c").label_set().clips
        )


# -- fingerprints ----------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_second_run_hashes_no_file_again_and_removed_videos_are_not_named(videos, monkeypatch):
    hashed = []
    monkeypatch.setattr(known_files, "SETTLED_SEC", -1e9)  # the files of this test are new
    monkeypatch.setattr(known_files, "fingerprint_of", lambda file: hashed.append(file) or fingerprint_of(file))
    extract(videos)
    kept = videos.parent / "c" / FILE_FINGERPRINTS
    assert len(hashed) == 4 and kept.read_text().count(".mp4") == 4 and is_sound(videos)
    before = kept.read_bytes()
    shutil.move(videos / "cut/1.mp4", videos / "cut/moved.mp4")
    extract(videos)
    assert len(hashed) == 5 and kept.read_bytes() != before
    call("remove", "--cache-dir", videos.parent / "c", "--video", "cut_2F1_2Emp4", "--yes")
    assert not kept.exists()
    extract(videos)
    assert kept.read_text().count(".mp4") == 3 and "moved" not in kept.read_text()


def test_fingerprints_cover_every_byte_of_small_files_and_samples_of_large_ones(tmp_path):
    small, large = np.zeros(5000, np.uint8), np.zeros(3 * WHOLE_BYTES, np.uint8)
    seen = set()
    for position in range(0, 5000, 499):
        small[:] = 0
        small[position] = 1
        (tmp_path / "s").write_bytes(small.tobytes())
        seen.add(fingerprint(tmp_path / "s"))
    assert len(seen) == 11
    (tmp_path / "a").write_bytes(large.tobytes())
    for position in (0, len(large) // 2, len(large) - 1):
        large[:] = 0
        large[position] = 1
        (tmp_path / "b").write_bytes(large.tobytes())
        assert fingerprint(tmp_path / "b") != fingerprint(tmp_path / "a") or position == len(large) // 2
        assert whole_fingerprint(tmp_path / "b") != whole_fingerprint(tmp_path / "a")
        assert not are_equal(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b").write_bytes(bytes(len(large) + 1))
    assert fingerprint(tmp_path / "b") != fingerprint(tmp_path / "a")
    assert fingerprint(tmp_path / "nowhere") == "" and are_equal(tmp_path / "a", tmp_path / "a")


@pytest.mark.integration
def test_splits_by_hash_depend_on_the_uid_alone(videos):
    extract(videos)
    assert all(split == split_by_hash(uid) for uid, (_, split) in labels(videos).items())


def test_large_files_that_differ_outside_the_samples_are_two_videos(tmp_path, monkeypatch):
    from embedonce.pipeline.sources import duplicates, matching
    from embedonce.pipeline.sources.folder.video_source import folder_source

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "1.mp4", 30)
    monkeypatch.setattr(known_files, "fingerprint_of", lambda file: "e" * 64)
    matched = matching.match_source(folder_source(tmp_path), matching.CachedVideos())
    assert len(matched.videos) == 2 and len({video.fingerprint for video in matched.videos}) == 2
    duplicates.refuse_conflicts(matched, {video.uid for video in matched.videos})
    with pytest.raises(InputError, match="same video"):
        shutil.copy(tmp_path / "a/1.mp4", tmp_path / "b/1.mp4")
        matched = matching.match_source(folder_source(tmp_path), matching.CachedVideos())
        duplicates.refuse_conflicts(matched, {video.uid for video in matched.videos})
