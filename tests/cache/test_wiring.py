"""What looks after a cache uses all that it is given: pixels, locks, names, limits; and documents keep their fields."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import commit, plan_documents
from embedonce.cache.convert import convert
from embedonce.cache.errors import BusyError
from embedonce.cache.heads import logits_from
from embedonce.cache.inspect import summary
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlannedVideo
from embedonce.cache.quarantine import DecodeAttempts, QuarantinedVideo, read_quarantine
from embedonce.cache.records import read_record
from embedonce.cache.repair import repair
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.timelines import build_timeline
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction import extract_teacher, teacher_loading
from embedonce.pipeline.frames.canonical_frame import replayed_crc32 as replay
from tests.cache.test_verify import damage
from tests.commands.test_cli import call
from tests.conftest import ROOT, make_batch, make_cache_identity, make_segment, planned_segment, planned_video
from tests.extraction.test_runner import check_same_rows, content, make_source, run
from tests.support.fake_teacher import FakeTeacher
from tests.support.stored import stored
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("wiring")
    for name in "ab":
        write_video(root / f"{name}.mp4", 60)
    (root / "torn.mp4").write_bytes(b"not a video")
    run(make_source(root, ["a", "b", "torn"]), root / "cache", views=1)
    return root


@pytest.fixture
def cache(original, tmp_path) -> Path:
    return shutil.copytree(original / "cache", tmp_path / "cache")


def spoil_pixels(cache: Path, unit: str) -> None:
    """All checksums are right, and what the teacher saw is something else."""
    damage(cache, unit, lambda batch: dataclasses.replace(batch, crop_crc32=batch.crop_crc32 ^ np.uint32(1)))


# -- verifying and repairing -------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_repairing_looks_at_pixels(cache):
    spoil_pixels(cache, "000001")
    assert repair(cache, None).removals == ()  # nothing but pixels is wrong
    spoiled = {path.relative_to(cache): path.read_bytes() for path in cache.glob("*/000001.*") if path.is_file()}
    spoiled = {path: data for path, data in spoiled.items() if path.parts[0] in ("frames", "records")}
    told = call("repair-cache", "--cache-dir", cache, "--yes")
    assert "unit 000001 (a): extract it again (2 files)" in told and "nothing is damaged" not in told
    assert "000001" not in open_reader(cache).records and len(open_reader(cache).records) >= 1
    folder = cache / "removed" / "000001"
    assert f"moved to {folder}" in told and len(spoiled) == 2
    assert {path: (folder / path).read_bytes() for path in spoiled} == spoiled
    assert "nothing is damaged" in call("repair-cache", "--cache-dir", cache)


def test_verifying_compares_pixels_unless_disabled(cache):
    spoil_pixels(cache, "000001")
    told = call("verify-cache", "--cache-dir", cache, code=4)
    assert "are not the pixels that the teacher saw" in told and "1 problem;" in told
    assert "sound: everything" in call("verify-cache", "--cache-dir", cache, "--no-pixels")


@pytest.mark.integration
def test_nothing_is_repaired_or_written_while_another_process_writes(original, cache):
    spoil_pixels(cache, "000001")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from embedonce.cache import commit; from embedonce.cache.layout import Layout\n"
        "lock = commit.Lock(Path(str(Layout.at(Path(sys.argv[1])).lock))); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(cache)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError):
            repair(cache, replay)
        with pytest.raises(BusyError):
            convert(original / "cache", cache, "hdf5")
        assert "000001" in open_reader(cache).records
        assert "is being written by another process" in call("repair-cache", "--cache-dir", cache, code=4)
        holder.stdin.close()
    assert len(repair(cache, replay).removals) == 1
    assert repair(cache, replay).removals == ()  # and the lock was given back


@pytest.mark.integration
def test_the_requested_rows_are_embedded_again(cache, monkeypatch):
    asked = []

    def loaded(config, cached):
        asked.append(config)
        assert cached == open_reader(cache).identity.teacher  # whose preprocessing is known
        return FakeTeacher()

    monkeypatch.setattr(teacher_loading, "load_teacher", loaded)
    command = ["verify-cache", "--cache-dir", cache, "--recompute"]
    teacher = ["--teacher-weights", "w", "--teacher-model", "m", "--teacher-activation", "gelu"]
    teacher += ["--teacher-preprocess", "p"]
    told = call(*command, 3, *teacher, "--seed", 5, "--device", "cpu")
    assert "embedded 3 rows again: cosine 1.0" in told or "embedded 3 rows again: cosine 0.9999" in told
    (config,) = asked
    assert (config.teacher_weights, config.teacher_model, config.teacher_activation) == ("w", "m", "gelu")
    assert config.teacher_preprocess == "p"
    assert (config.seed, config.device) == (5, "cpu")
    drawn, real = [], extract_teacher.choose_rows
    monkeypatch.setattr(extract_teacher, "choose_rows", lambda *a: drawn.append((a[1:], real(*a))) or drawn[-1][1])
    for seed in (0, 1):
        call(*command, 4, "--seed", seed)
    assert [arguments for arguments, _ in drawn] == [(4, 0), (4, 1)] and drawn[0][1] != drawn[1][1]
    usual = asked[-1]
    assert (usual.teacher_model, usual.teacher_weights) == ("fake", "random")  # those that the cache names


def test_recomputing_with_another_teacher_fails(cache, monkeypatch):
    class Other(FakeTeacher):
        def embed(self, crops):
            return -super().embed(crops)

    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached: Other())
    told = call("verify-cache", "--cache-dir", cache, "--recompute", 2, code=4)
    assert "a stored row has the cosine -" in told


@pytest.mark.integration
def test_a_repaired_unit_is_extracted_again_as_it_was(original, cache):
    before = content(cache)
    spoil_pixels(cache, "000001")
    assert len(repair(cache, replay).removals) == 1
    run(make_source(original, ["a", "b", "torn"]), cache, views=1)
    check_same_rows(content(cache), before)
    assert verify(cache, replay).problems == []


# -- converting and inspecting -----------------------------------------------------------------------------------------


def test_converting_copies_everything_to_the_requested_back_end(cache, tmp_path):
    for backend, suffix in (("webdataset", ".tar"), ("hdf5", ".h5")):
        target = tmp_path / backend
        call("convert-cache", "--cache-dir", cache, "--output-dir", target, "--backend", backend)
        ours, theirs = open_reader(target), open_reader(cache)
        assert ours.identity == dataclasses.replace(theirs.identity, backend=backend)
        assert {path.suffix for path in (target / "frames").iterdir()} == {suffix}
        assert content(target) == content(cache)
        for unit, record in theirs.records.items():
            assert ours.records[unit].provenance == record.provenance
        quarantined = [read_quarantine(Layout.at(root).quarantine) for root in (target, cache)]
        assert quarantined[0] == quarantined[1] and len(quarantined[0]) == 1
        assert (target / "extract_config.yaml").read_bytes() == (cache / "extract_config.yaml").read_bytes()
        assert json.loads((target / "manifest.json").read_text())["num_rows"] == theirs.num_rows
        open_writer(target, ours.identity).close()  # the lock was given back


def test_a_summary_has_the_figures_of_the_cache(cache):
    reader, text = open_reader(cache), "\n".join(summary(cache))
    num_bytes = sum(record.num_bytes for record in reader.records.values())
    for words in (
        "16-d, input 32 px, 0.00 M parameters",
        "short side 256 px, JPEG quality 90, 1 stored views",
        f"{len(reader.records)} of {len(reader.records)} units committed, {reader.num_rows} frames",
        f"{num_bytes / 1e6:.1f} MB",
        "videos: 2 planned",
        "quarantined torn.mp4",
        "3 fps",
    ):
        assert words in text


def test_a_summary_has_the_size_of_the_image_tower(tmp_path):
    identity = make_cache_identity(parameters_image=5_000_000, parameters_total=9_000_000)
    open_writer(tmp_path / "c", identity).close()
    assert "input 32 px, 5.00 M parameters" in "\n".join(summary(tmp_path / "c"))


def test_a_contact_sheet_has_the_requested_frames_and_names(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 3)
    reader = open_reader(root)
    writer = open_writer(root, reader.identity)
    writer.create_label_set(LabelSet("other", "none", ("x1", "x2", "x3"), (), None, {}), None)
    writer.publish_clips("other", 0, list(reader.label_set("tiny").clips))
    writer.close()
    pages = []
    for number, options in enumerate((["--frames", 6], ["--frames", 30], ["--frames", 30, "--label-set", "other"])):
        page = tmp_path / f"{number}.html"
        assert str(page) in call("inspect-cache", "--cache-dir", root, "--html", page, *options)
        pages.append(page.read_text())
    assert [page.count('<figure class="frame"') for page in pages] == [6, 30, 30]
    assert '<b class="label">x' in pages[2] and '<b class="label">' not in pages[1]
    call("inspect-cache", "--cache-dir", root)
    assert len(list(tmp_path.glob("*.html"))) == 3


# -- documents keep every field --------------------------------------------------------------------------------------


def test_a_planned_video_comes_back_field_by_field(tmp_path):
    video = planned_video(
        "u",
        source="s.mp4",
        num_bytes=11,
        modified_ns=22,
        codec="hevc",
        decoded_size=(100, 200),
        rotation=90,
        canonical_size=(300, 400),
        time_base=(3, 7),
        first_pts=-5,
        num_frames=77,
        end_sec=9.5,
        by_order=True,
        notes=("a", "b"),
        left_eye=True,
    )
    writer = open_writer(tmp_path / "c", make_cache_identity())
    writer.extend_plan([video], [planned_segment("u", 4)], 512)
    writer.close()
    video = dataclasses.replace(video, num_requests=4)  # counted by the plan
    (part,) = plan_documents.read_plan(Layout.at(tmp_path / "c").plan)
    (found,) = part.videos
    for field in dataclasses.fields(PlannedVideo):
        if field.name == "views":
            np.testing.assert_array_equal(found.views, video.views)
        else:
            assert getattr(found, field.name) == getattr(video, field.name), field.name
    (segment,) = part.units[0].segments
    planned = planned_segment("u", 4)
    for name in ("frame_index", "pts", "request_k", "request_row"):
        np.testing.assert_array_equal(getattr(segment, name), getattr(planned, name))


def test_an_identity_comes_back_field_by_field(tmp_path, backend):
    identity = dataclasses.replace(
        make_cache_identity(backend, 3, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), name="n", weights="w"),
        canonical_short_side=300,
        jpeg_quality=95,
        view_seed=4,
        decoder="d",
        fps=7.5,
    )
    open_writer(tmp_path / "c", identity).close()
    assert open_reader(tmp_path / "c").identity == identity


def test_records_label_sets_clips_and_attempts_come_back(tmp_path, backend):
    identity = make_cache_identity(backend)
    writer = open_writer(tmp_path / "c", identity)
    batch = make_batch(make_segment("u", 3), make_segment("w", 2, first_k=4))
    writer.commit_frames("000000", batch, {"device": "x", "more": [1, 2]})
    labels = LabelSet("l", "zero-shot", ("a", "b"), (("p", "q"), ("r", "s")), 50.0, {"k": 1.5})
    writer.create_label_set(labels, None)
    clips = (ClipLabel("i", "u", 0.25, 1.5, 1, "test"), ClipLabel("j", "w", 2.0, 3.0, -1, "train"))
    writer.publish_clips("l", 0, list(clips))
    writer.commit_logits("l", "000000", batch.keys, np.zeros((5, 2, 2), np.float32), {"who": "me"})
    writer.count_attempt("u", "it hung")
    writer.count_attempt("u", "it crashed")
    writer.quarantine("w", QuarantinedVideo("w.mp4", "bad", 3, 4))
    assert writer.attempts()["u"] == DecodeAttempts(2, "it crashed")
    assert writer.quarantined()["w"] == QuarantinedVideo("w.mp4", "bad", 3, 4)
    writer.close()
    reader = open_reader(tmp_path / "c")
    assert reader.label_set("l") == dataclasses.replace(labels, clips=clips)
    record, logits = reader.records["000000"], reader.label_records("l")["000000"]
    assert record.provenance == {"device": "x", "more": [1, 2]} and logits.provenance == {"who": "me"}
    (path,) = (tmp_path / "c" / "frames").iterdir()
    assert (record.num_bytes, record.sha256) == (path.stat().st_size, commit.sha256(path.read_bytes()))
    assert read_record(stored(tmp_path / "c" / "records" / "000000.json")).num_rows == 5
    for written, segment in zip(record.segments, batch.segments, strict=True):
        for field in dataclasses.fields(segment):
            np.testing.assert_array_equal(getattr(written, field.name), getattr(segment, field.name))


def test_the_manifest_counts_what_is_committed(cache):
    manifest, reader = json.loads((cache / "manifest.json").read_text()), open_reader(cache)
    assert manifest["num_rows"] == reader.num_rows
    assert manifest["num_bytes"] == sum(path.stat().st_size for path in (cache / "frames").iterdir())
    assert [entry["unit"] for entry in manifest["shards"]] == list(reader.records)
    assert manifest["quarantined"] == ["torn"] and manifest["label_sets"] == []


# -- what is worked out from what is stored ----------------------------------------------------------------------------


def test_logits_of_a_head_may_be_negative_and_hidden_values_may_not():
    head = {"weight_0": [[1.0], [-1.0]], "bias_0": [0.5, 0.0], "weight_1": [[-1.0, 3.0], [2.0, 0.0]], "bias_1": [0, -9]}
    tensors = {name: np.array(values, np.float32) for name, values in head.items()}
    found = logits_from(tensors, np.array([[[2.0], [-1.0]]], np.float16))
    np.testing.assert_allclose(found, [[[-2.5, -4.0], [3.0, -9.0]]])
    text = {"class_text": np.array([[1.0, 0.0], [0.0, -1.0]], np.float32), "logit_scale": np.array([50.0], np.float32)}
    np.testing.assert_allclose(logits_from(text, np.array([[[0.5, 0.25]]], np.float16)), [[[25.0, -12.5]]])


def test_a_timeline_names_for_each_time_the_frame_that_is_shown_then():
    """Two units of one video, the later one first; one frame is shown twice, one request found nothing."""
    early, late = make_segment("u", 3), make_segment("u", 2, first_k=4)
    early = dataclasses.replace(early, request_row=np.array([0, 0, 2, -1]))
    timeline = build_timeline([("late", 7, late), ("early", 5, early)], make_cache_identity())
    assert timeline.unit.tolist() == ["early"] * 3 + ["late"] * 2
    assert timeline.row.tolist() == [5, 5, 7, 7, 8] and timeline.k.tolist() == [0, 1, 2, 4, 5]
    np.testing.assert_allclose(timeline.frame_sec, [*early.t_sec[[0, 0, 2]], *late.t_sec])
    np.testing.assert_allclose(np.diff(timeline.t_sec), [0.5, 0.5, 1.0, 0.5])
    first, last = timeline.t_sec[1], timeline.t_sec[3]
    assert timeline.window(first, last) == slice(1, 3)
