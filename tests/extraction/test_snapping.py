"""Extraction with `--sampling snap`, and everything that is done with such a cache afterwards."""

import dataclasses
import io
import json
import shutil
from contextlib import closing

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from embedonce import cli
from embedonce.cache.convert import convert
from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.inspect import summary
from embedonce.cache.labels import ClipLabel
from embedonce.cache.merging.inputs import MergeConflictError
from embedonce.cache.merging.merge import merge
from embedonce.cache.plausibility import record_problems
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.reporting.contact_sheet.sheet import contact_sheet
from embedonce.pipeline.teachers.teacher import CallTime
from tests.extraction.test_decoding import stored_numbers
from tests.extraction.test_runner import content, make_source, run
from tests.support.fake_teacher import FakeTeacher, write_zero_shot
from tests.support.format_reader import FormatReader
from tests.support.videos import write_video

pytestmark = [pytest.mark.usefixtures("forked_workers"), pytest.mark.integration]

SNAP = {"sampling": "snap", "fps": 1.0, "decode_workers": 1}
CLIPS = [(0.0, 1.2), (0.9, 2.4), (2.4, 3.1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four seconds at 30 frames per second with key frames at 0, 0.6, 1.2, … seconds."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        write_video(root / f"{name}.mp4", 120, gop=18, b_frames=2, options={"x264-params": "scenecut=0"})
    return root


def test_key_frames_answer_the_times_near_them_and_count_at_their_own(folder, tmp_path, backend):
    source = make_source(folder, ["a"], CLIPS)
    result, reader, _ = run(source, tmp_path / "c", backend=backend, **SNAP)
    assert stored_numbers(reader, "a") == [0, 30, 54, 90]  # at 1 s no key frame is in both clips of that time
    timeline = reader.timeline("a")
    np.testing.assert_allclose(timeline.t_sec, [0.0, 1.0, 1.8, 3.0])
    assert timeline.k.tolist() == [0, 1, 2, 3] and timeline.t_sec.tolist() == timeline.frame_sec.tolist()
    assert result.statuses["ok"] == 4 and not verify(tmp_path / "c").problems
    assert timeline.window(1.5, 1.9) == slice(2, 3) and timeline.window(1.95, 2.4) == slice(3, 3)
    assert "frames: 1 fps, key frames within 0.5 s if any, short side" in "\n".join(summary(tmp_path / "c"))


def test_another_tolerance_rate_or_sampling_is_another_identity(folder, tmp_path):
    source = make_source(folder, ["a"])
    run(source, tmp_path / "c", **SNAP)
    others = {
        "snap_tolerance: 0.5 -> 0.25": SNAP | {"snap_tolerance": 0.25},
        "fps: 1.0 -> 2.0; snap_tolerance: 0.5 -> 0.25": SNAP | {"fps": 2.0},
        "sampling: snap -> fps; snap_tolerance: 0.5 -> None": SNAP | {"sampling": "fps"},
    }
    for words, settings in others.items():
        with pytest.raises(IdentityMismatchError) as error:
            run(source, tmp_path / "c", **settings)
        assert f"(in the cache -> requested): {words}. Nothing was changed" in str(error.value)
    run(source, tmp_path / "c", **SNAP | {"snap_tolerance": 0.5})


def test_documents_of_other_caches_are_as_before(folder, tmp_path):
    """The field is absent, so that bytes and checksums are those of programs that do not know it."""
    for name, sampling, version in (("f", "fps", 1), ("k", "keyframe", 1), ("s", "snap", 2)):
        run(make_source(folder, ["a"]), tmp_path / name, **SNAP | {"sampling": sampling})
        document = json.loads((tmp_path / name / "cache.json").read_bytes())
        assert ("snap_tolerance" in document) == (name == "s") and document["format_version"] == version


def test_an_interrupted_run_resumes_and_later_videos_are_added(folder, tmp_path):
    class Stops(FakeTeacher):
        def embed(self, crops):
            if self.images_seen >= 3:
                raise KeyboardInterrupt
            return super().embed(crops)

    whole, part = make_source(folder, ["a", "b"]), make_source(folder, ["a"])
    settings = SNAP | {"shard_frames": 2, "batch_size": 1}
    with pytest.raises(KeyboardInterrupt):
        run(part, tmp_path / "c", teacher=Stops(), **settings)
    run(part, tmp_path / "c", **settings)
    run(whole, tmp_path / "c", **settings)
    run(whole, tmp_path / "once", **settings)
    got, expected = content(tmp_path / "c"), content(tmp_path / "once")
    assert {key: row[:2] for key, row in got.items()} == {key: row[:2] for key, row in expected.items()}
    assert [stored_numbers(open_reader(tmp_path / "c"), uid) for uid in "ab"] == [[0, 36, 54, 90]] * 2


def test_conversion_and_merging_keep_rows_and_times(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "a", **SNAP)
    run(make_source(folder, ["b"]), tmp_path / "b", **SNAP, backend="webdataset")
    convert(tmp_path / "a", tmp_path / "tars", "webdataset")
    merge([tmp_path / "tars", tmp_path / "b"], tmp_path / "all")
    reader = open_reader(tmp_path / "all")
    assert reader.identity.snap_tolerance == 0.5 and not verify(tmp_path / "all").problems
    assert {uid: stored_numbers(reader, uid) for uid in "ab"} == {"a": [0, 36, 54, 90], "b": [0, 36, 54, 90]}
    run(make_source(folder, ["a"]), tmp_path / "c", **SNAP | {"snap_tolerance": 0.4})
    with pytest.raises(IdentityMismatchError, match=r"snap_tolerance: 0.5 -> 0.4"):
        merge([tmp_path / "c"], tmp_path / "all")


def test_one_video_with_other_clips_may_have_other_frames_and_is_not_merged_then(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "whole", **SNAP)
    run(make_source(folder, ["a"], CLIPS), tmp_path / "clips", **SNAP)
    with pytest.raises(MergeConflictError, match="a: the same times are answered by other frames in"):
        merge([tmp_path / "whole", tmp_path / "clips"], tmp_path / "all")
    run(make_source(folder, ["a"], CLIPS[2:]), tmp_path / "end", **SNAP)
    merge([tmp_path / "end", tmp_path / "whole"], tmp_path / "all")
    assert stored_numbers(open_reader(tmp_path / "all"), "a") == [0, 36, 54, 90]


def test_new_clips_get_only_frames_that_lie_in_them(folder, tmp_path):
    source = make_source(folder, ["a"])
    run(source, tmp_path / "c", **SNAP)
    reader = open_reader(tmp_path / "c")
    assert not reader.shows(ClipLabel("x", "a", 0.8, 1.19, 0, "train"))  # the frame of that time is at 1.2 s
    assert reader.shows(ClipLabel("x", "a", 1.2, 1.3, 0, "train"))


def test_a_reader_written_from_the_document_finds_the_same_clips(folder, tmp_path):
    source = make_source(folder, ["a"], CLIPS)
    run(source, tmp_path / "c", **SNAP)
    with closing(open_writer(tmp_path / "c", open_reader(tmp_path / "c").identity)) as writer:
        write_zero_shot(writer, source)
    mine, reader = FormatReader(tmp_path / "c"), open_reader(tmp_path / "c")
    frames = [[int(key[-8:]) for key in mine.frames_of(clip)] for clip in mine.clips("zero-shot")]
    assert frames == [[0, 30], [30, 54], [90]]
    for clip, expected in zip(reader.label_set("zero-shot").clips, frames, strict=True):
        timeline = reader.timeline("a")
        window = timeline.window(clip.start_sec, clip.end_sec)
        assert [round(30 * t) for t in timeline.frame_sec[window]] == expected


def test_the_contact_sheet_shows_frames_at_their_own_times(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "c", **SNAP)
    sheet = contact_sheet(open_reader(tmp_path / "c"), [], None)
    assert all(f"<time>{t} s" in sheet for t in ("0.0", "1.2", "1.8", "3.0")) and "<time>2.0 s" not in sheet


def test_redacted_parts_hide_key_frames(folder, tmp_path):
    source = make_source(folder, ["a"])
    hidden = dataclasses.replace(source.videos[0], redacted=((1.19, 1.5), (2.9, 3.1)))
    result, reader, teacher = run(dataclasses.replace(source, videos=(hidden,)), tmp_path / "c", **SNAP)
    assert stored_numbers(reader, "a") == [0, 18, 54] and teacher.images_seen == 3
    assert (result.statuses["ok"], result.statuses["redacted"]) == (3, 1)


def test_a_frame_beyond_the_tolerance_is_not_plausible(folder, tmp_path):
    run(make_source(folder, ["a"]), tmp_path / "c", **SNAP)
    reader = open_reader(tmp_path / "c")
    (record,), videos = reader.records.values(), {"a": reader.plan()[0].videos[0]}
    assert not [*record_problems(record, videos, reader.identity)]
    narrower = dataclasses.replace(reader.identity, snap_tolerance=0.19)  # the time 1 s has the key frame at 1.2 s
    (problem,) = record_problems(record, videos, narrower)
    assert problem == "a time of a is answered by a frame that is shown later"


def test_a_key_frame_that_cannot_be_decoded_is_not_replaced(folder, tmp_path):
    shutil.copy(folder / "a.mp4", tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        position, size = next((p.pos, p.size) for p in container.demux(video=0) if p.size and p.pts == 54 * 512)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    data[position + size // 2 : position + size] = b"\xff" * (size - size // 2)  # its headers stay as they are
    (tmp_path / "a.mp4").write_bytes(data)
    result, reader, _ = run(make_source(tmp_path, ["a"]), tmp_path / "c", **SNAP)
    assert stored_numbers(reader, "a") == [0, 36, 90] and result.statuses["corrupt"] == 1


# -- the command -------------------------------------------------------------------------------------------------------


def call(*arguments, code: int = 0) -> str:
    ran = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert ran.exit_code == code, ran.output
    return ran.stdout if code == 0 else ran.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--snap-tolerance", "0.2"], "--snap-tolerance requires --sampling snap"),
        (["--sampling", "keyframe", "--snap-tolerance", "0.2"], "--snap-tolerance requires --sampling snap"),
        (
            ["--sampling", "snap", "--fps", "1", "--snap-tolerance", "0.6"],
            "--snap-tolerance 0.6 is more than half of the interval between times at --fps 1, so that frames could "
            "change places: give at most 0.5",
        ),
        (["--sampling", "snap", "--snap-tolerance", "0"], "--snap-tolerance must be greater than 0"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused_in_one_sentence(folder, tmp_path, options, message):
    told = call("extract-teacher", "--data-dir", folder, "--cache-dir", tmp_path / "c", *options, code=2)
    assert message in told.splitlines()[-1] and not (tmp_path / "c").exists()


def test_the_largest_tolerance_is_accepted_as_messages_print_it():
    config = ExtractConfig(use_synthetic=True, sampling="snap", fps=3.0, snap_tolerance=0.166667)
    assert config.snap_sec == 0.5 / 3 == dataclasses.replace(config, snap_tolerance=None).snap_sec
    assert dataclasses.replace(config, snap_tolerance=0.1).snap_sec == 0.1
    assert dataclasses.replace(config, sampling="fps", snap_tolerance=None).snap_sec is None


def test_the_dry_run_says_what_is_saved(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "teacher_time", lambda config: CallTime(0.01, 0.01))
    arguments = ["extract-teacher", "--data-dir", folder, "--cache-dir", tmp_path / "c", "--teacher-size", "demo"]
    arguments += ["--teacher-head", "none", "--sampling", "snap", "--fps", "1", "--dry-run"]
    told = call(*arguments)
    (line,) = (line for line in told.splitlines() if line.startswith("snap"))
    assert line.startswith("snap: 8 of 8 times have a key frame within 0.5 s; 8 frames are decoded instead of ")
    assert int(line.split()[-1]) > 20 and "frames: 8 to extract" in told
    (few,) = (one for one in call(*arguments, "--snap-tolerance", "0.1").splitlines() if one.startswith("snap"))
    assert few.startswith("snap: 4 of 8 times have a key frame within 0.1 s")
    assert "snap" not in call(*arguments, "--sampling", "fps")


def test_a_frame_is_stored_as_it_is(folder, tmp_path):
    """The stored JPEG of a key frame is the one that sampling at its own time stores."""
    run(make_source(folder, ["a"]), tmp_path / "snap", **SNAP)
    run(make_source(folder, ["a"]), tmp_path / "keys", **SNAP | {"sampling": "keyframe"})
    snapped, keys = content(tmp_path / "snap"), content(tmp_path / "keys")
    assert all(snapped[key][:2] == keys[key][:2] for key in ("a_00000036", "a_00000054", "a_00000090"))
    assert Image.open(io.BytesIO(snapped["a_00000036"][1])).size[1] == 256
