"""Estimates and surveys: bytes, seconds, processes and counts are computed from the right inputs."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.models.teachers import open_clip
from embedonce.pipeline.console.units import in_bytes
from embedonce.pipeline.engines.engine import TaskResult
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import estimates, plan_ego4d, planning, teacher_loading
from embedonce.pipeline.extraction.annotation_survey import short_videos, survey
from embedonce.pipeline.extraction.dry_run import DryRun, dry_run_lines
from embedonce.pipeline.extraction.estimates import Estimate, Pending, estimate, overhead_bytes_per_row
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.extraction.planning import ScanResults
from embedonce.pipeline.extraction.preflight import PreflightReport
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.ego4d.metadata import read_metadata
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.source import Clip, Source, Video
from embedonce.pipeline.teachers import teacher
from embedonce.pipeline.teachers.open_clip import OpenClipLoader
from embedonce.pipeline.teachers.teacher import CallTime
from tests.conftest import make_cache_identity
from tests.support.ego4d_files import U1, U2, U3, label, listed, moments_video, narrated, narration, write


def config_of(folder: Path, **changes) -> ExtractConfig:
    return ExtractConfig(
        folder, False, folder / "c", **({"teacher_size": "demo", "decode_workers": 3, "views": 0} | changes)
    )


def scanned(num_frames: int) -> ScanResults:
    requests = SimpleNamespace(frame_index=np.arange(num_frames), k=np.arange(num_frames))
    return ScanResults({"a": SimpleNamespace(requests=requests, timeline=SimpleNamespace(end_sec=720.0))}, {})


def test_bytes_and_seconds_per_frame_are_means_over_the_decoded_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(estimates, "_decode_samples", lambda *arguments: ([1000, 3000], 0.5, 0.375))
    beside = 400 + 3 * (2 * 512 + 4)
    found = estimate(config_of(tmp_path, views=2), SimpleNamespace(), scanned(30), Pending(10, 500.0), calibrated=True)
    assert found == Estimate(40, 2000 + beside, 0.25, decode_cpu_sec=0.1875) and found.num_bytes == 40 * (2000 + beside)
    assert overhead_bytes_per_row(config_of(tmp_path, backend="webdataset")) == 4000 + 2 * 512 + 4


def test_pending_frames_are_estimated_from_committed_ones(tmp_path, monkeypatch):
    """If none of the new ones could be decoded."""
    monkeypatch.setattr(estimates, "_decode_samples", lambda *arguments: ([], 0.0, 0.0))
    source = SimpleNamespace(classes=())
    found = estimate(config_of(tmp_path), source, scanned(0), Pending(10, 500.0), calibrated=True)
    assert found == Estimate(10, 500.0, 0.0)
    assert estimate(config_of(tmp_path), source, scanned(7), Pending(5), calibrated=False) == Estimate(12, 60_000, 0.0)


def test_a_dry_run_counts_videos_and_divides_decoding_by_processes(tmp_path):
    videos = tuple(SimpleNamespace(uid=uid, source=f"{uid}.mp4") for uid in "abcd")
    source = SimpleNamespace(videos=videos, rejected=(("gone", "unreadable"),), withdrawn=("x.mp4",))
    report = PreflightReport(source, {"b", "c", "d"}, {"c": "bad"}, scanned(100), Estimate(100, 25_000.0, 0.6))
    told = "\n".join(dry_run_lines(DryRun(config_of(tmp_path, views=1), report, CallTime(0.05, 0.0), cores=2)))
    assert "videos: 5 listed = 1 new + 2 known + 2 that cannot be used" in told
    assert "  cannot use c.mp4: bad" in told and "  cannot use gone: unreadable" in told
    assert "  1 more were removed from this cache for good and are left out" in told
    assert "frames: 100 to extract, from 0.20 hours of new video" in told
    assert "space: about 2.5 MB (25.0 kB per frame)" in told
    assert "time: about 20 s (decoding 20 s with 3 processes, teacher 10 s, in parallel)" in told


def test_the_teacher_is_timed_per_image_after_warm_up(tmp_path, monkeypatch):
    clock, rounds, seen = [0.0], iter([90.0, 3.2, 3.2, 4.8]), []

    def tower(images):
        seen.append(tuple(images.shape))
        clock[0] += next(rounds)

    monkeypatch.setattr(open_clip, "image_tower_for_latency", lambda model, device: (tower, 8))
    monkeypatch.setattr(teacher.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(teacher.time, "process_time", lambda: 2 * clock[0])
    found = teacher_loading.teacher_time(config_of(tmp_path, device="cpu"))
    assert found == CallTime(pytest.approx(3.2 / 16), pytest.approx(6.4 / 16)) and seen == [(16, 3, 8, 8)] * 4


def test_a_teacher_on_a_gpu_takes_no_processor_time_and_several_are_faster(tmp_path, monkeypatch):
    monkeypatch.setattr(OpenClipLoader, "time_per_image", lambda self, options: CallTime(0.4, 0.4))
    for places, expected in ((("cuda:0", "cuda:1"), CallTime(0.2, 0.0)), (("cpu", "cpu"), CallTime(0.4, 0.4))):
        monkeypatch.setattr(teacher_loading, "teacher_places", lambda *asked, places=places: places)
        assert teacher_loading.teacher_time(config_of(tmp_path)) == expected


@pytest.mark.parametrize(
    ("image", "needed", "text"),
    [
        ((0.05, 0.08), (0.6, 0.5), "about 33 s (decoding 20 s with 3 processes, teacher 10 s, at once on 2 cores)"),
        ((0.30, 0.30), (0.6, 0.5), "about 60 s (decoding 20 s with 3 processes, teacher 60 s, at once on 2 cores)"),
        ((0.05, 0.05), (6.0, 0.5), "about 3 min (decoding 3 min with 3 processes, teacher 10 s, at once on 2 cores)"),
        ((0.05, 0.00), (0.6, 0.5), "about 25 s (decoding 20 s with 3 processes, teacher 10 s, in parallel)"),
    ],
    ids=["both compute on the cores", "one thread of a teacher", "a slow disk", "a GPU"],
)
def test_what_decoding_and_the_teacher_compute_takes_all_cores_together(tmp_path, image, needed, text):
    estimated = Estimate(100, 1.0, needed[0], decode_cpu_sec=needed[1])
    report = PreflightReport(SimpleNamespace(videos=(), rejected=(), withdrawn=()), set(), {}, scanned(100), estimated)
    lines = dry_run_lines(DryRun(config_of(tmp_path, views=1), report, CallTime(*image), cores=2))
    assert f"time: {text}" in lines


def test_the_plan_of_a_video_records_its_rotation_and_pixel_aspect(tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"12345")
    video = Video("v", tmp_path / "v.mp4", "v.mp4", left_eye=True, fingerprint="f" * 64, replaces="old")
    told = {"codec": "hevc", "size": (100, 200), "rotation": 270, "time_base": (1, 90), "end_sec": 7.5}
    told |= {"by_order": True, "notes": ("a note",), "mirrored": True}
    told |= {"sample_aspect": Fraction(4, 3), "coded_aspect": Fraction(8, 9)}
    scan = SimpleNamespace(timeline=SimpleNamespace(**told), first_pts=11, num_frames=77)
    monkeypatch.setattr(planning, "planned_shape", lambda *asked: SimpleNamespace(canonical_size=(300, 400)))
    found = planning._planned_video(video, scan, make_cache_identity(num_views=2))
    assert (found.rotation, found.mirrored, found.decoded_size, found.codec) == (270, True, (100, 200), "hevc")
    assert (found.sample_aspect, found.coded_aspect, found.canonical_size) == ((4, 3), (8, 9), (300, 400))
    assert (found.time_base, found.first_pts, found.end_sec, found.num_frames) == ((1, 90), 11, 7.5, 77)
    assert (found.notes, found.by_order, found.left_eye) == (("a note",), True, True)
    assert (found.fingerprint, found.replaces, found.num_bytes, len(found.views)) == ("f" * 64, "old", 5, 3)


def test_a_plan_of_some_videos_contains_those_that_would_be_downloaded(tmp_path):
    """The second one has more annotations, so it is chosen first."""
    documents = {
        "moments_train.json": {"videos": [moments_video(U2, "train", [label()])]},
        "narration.json": {uid: narrated(narration(1.0)) for uid in (U1, U2)},
    }
    root = write(tmp_path / "data", documents, videos=[listed(U1), listed(U2)], on_disk=())
    metadata = read_metadata(root / "ego4d.json", "ego4d.json", Problems())
    for count, expected in ((1, {U2}), (2, {U1, U2}), (None, {U1, U2})):
        assert set(plan_ego4d._find_listed(count)(root, metadata).by_video) == expected


def test_a_survey_counts_frames_bytes_minutes_and_hours(tmp_path, monkeypatch):
    whole = Video(U1, tmp_path / "1.mp4", "1.mp4", redacted=((10.0, 40.0),), listed_sec=(0.0, 90.0))
    stereo = Video(U2, tmp_path / "2.mp4", "2.mp4", left_eye=True, listed_sec=(10.0, 100.0))
    clips = (
        Clip("a", U1, 0.0, 50.0, 0, "train"),
        Clip("b", U2, 20.0, 25.0, 1, "val"),
        Clip("c", U2, 30.1, 30.2, -1, "val"),
    )
    source = Source(tmp_path, "ego4d", (whole, stereo), clips, ("cut", "stir"), missing=(U3,), uids_from_paths=False)
    document = survey({"moments": source}, 2.0, 3, 8, {}).document()
    assert document["frames"] == 40 + 10 and (document["fps"], document["views"]) == (2.0, 3)
    assert document["bytes"] == [50 * (size + 4 * 2 * 8) for size in (20_000, 44_000)]
    assert document["videos"] == {
        **{"on_disk": 2, "missing": 1, "stereo": 1, "redacted": 1, "redacted_minutes": 0.5, "hours": 0.05},
    }
    told = document["kinds"]["moments"]
    assert (told["videos"], told["missing"], told["clips"]) == (2, 1, {"train": 1, "val": 2, "test": 0})
    assert (told["unlabelled"], told["without_frame"], told["frames"]) == (1, 1, 50)
    assert told["classes"] == {"cut": [1, 0, 0], "stir": [0, 1, 0]}
    ends = {U1: 89.6, U2: 99.4}  # half a second is within the tolerance
    monkeypatch.setattr(WorkerPool, "run", lambda pool, tasks: (TaskResult(task, ends[task.uid]) for task in tasks))
    assert short_videos(source, 1) == {U2: (99.4, 100.0)}


def test_a_plan_skips_odd_annotations_unless_strict(tmp_path):
    broken = [moments_video(U1, "train", [label()]), {"video_uid": 3}]  # invalid entries are dropped
    documents = {"moments_train.json": {"videos": broken}}
    root = write(tmp_path / "data", documents, videos=[listed(U1)], on_disk=())
    found = plan_ego4d.plan(PlanConfig(root, assume_downloaded=True))
    assert list(found.document["kinds"]) == ["moments"] and found.document["frames"] > 0
    with pytest.raises(InputError, match="omit --strict"):
        plan_ego4d.plan(PlanConfig(root, assume_downloaded=True, strict=True))


def test_bytes_are_formatted_in_units_of_a_thousand():
    assert [in_bytes(n) for n in (999, 12_345, 1_500_000, 7_250_000_000)] == ["1.0 kB", "12.3 kB", "1.5 MB", "7.2 GB"]
