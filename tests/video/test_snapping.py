"""Key frames near the requested times, in generated and real videos: found where they are, and exact to the bit."""

import numpy as np
import pytest

from embedonce.pipeline.extraction.scan_tasks import NOTHING_TO_SNAP, ScanTask, scan_video
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.video.container import VideoError
from tests.support.videos import sample, timeline_of, write_video
from tests.video.test_decode import MADE, WHOLE, check_exact, make, manifest, seconds_of

FIXED_OPEN = {"open GOP": {"options": {"x264-params": "open-gop=1:b-adapt=0:scenecut=0"}}}
FIXED = {"options": {"x264-params": "scenecut=0"}}


def scan_of(path, fps, snap_sec, **grid):
    *_, scan = scan_video(ScanTask("v", path, Grid(fps, snap_sec=snap_sec, **grid), "software"))
    return scan


def answers(path, fps, snap_sec):
    """(t, pts in seconds of the frame that answers it) of every time, and the timeline."""
    timeline, scan = timeline_of(path), scan_of(path, fps, snap_sec)
    first_sec = seconds_of(timeline)[0]
    pts_sec = scan.requests.pts * timeline.time_base[0] / timeline.time_base[1]
    return first_sec + scan.requests.k / fps, pts_sec[scan.requests.row], timeline


@pytest.mark.parametrize("name", MADE)
@pytest.mark.integration
def test_frames_snapped_to_are_key_frames_and_exact(tmp_path, name):
    path = make(tmp_path, **MADE[name])
    for fps in (1.0, 4.0):
        sampled = check_exact(path, fps, snap_sec=0.5 / fps)
        assert sampled.way.startswith(WHOLE.get(name, "skipping"))
        t_sec, got_sec, timeline = answers(path, fps, 0.5 / fps)
        key_sec = timeline.key_pts * timeline.time_base[0] / timeline.time_base[1]
        for t, got in zip(t_sec, got_sec, strict=True):
            near = min((abs(key - t) for key in key_sec), default=1e9)
            if name not in WHOLE and near < 0.5 / fps:
                assert abs(got - t) == pytest.approx(near, abs=2e-6) and got in key_sec
            else:
                assert got == seconds_of(timeline)[np.flatnonzero(seconds_of(timeline) <= t + 1e-3)[-1]]


@pytest.mark.parametrize("name", ["plain", "HEVC, open GOP", "VP9", "AV1", "MPEG-4", "MPEG-2", "Motion JPEG"])
@pytest.mark.integration
def test_times_with_a_key_frame_each_need_one_packet_each(tmp_path, name):
    path = make(tmp_path, **MADE[name] | {"gop": 20})
    sampled = check_exact(path, 1.0, snap_sec=0.5)
    assert sampled.way == "skipping" and sampled.num_fed == len(sampled.requests.pts) == 3
    assert set(sampled.requests.pts.tolist()) <= set(sampled.timeline.key_pts.tolist())


@pytest.mark.parametrize("file", ["v.mp4", "v.mkv"])
def test_a_time_before_and_one_after_a_key_frame_share_its_row(tmp_path, file):
    path = write_video(tmp_path / file, 90, gop=45, b_frames=0, **FIXED)
    requests = scan_of(path, 1.0, 0.5).requests
    assert requests.frame_index.tolist() == [0, 45] and requests.row.tolist() == [0, 1, 1]
    assert [read_number(rgb) for rgb in sample(path, 1.0, snap_sec=0.5).rgb.values()] == [0, 45]
    assert scan_of(path, 1.0, 0.4).requests.frame_index.tolist() == [0, 30, 60]


@pytest.mark.parametrize("name", ["intra refresh", "open GOP"])
def test_recovery_points_that_containers_mark_as_key_frames_are_not_snapped_to(tmp_path, name):
    path = make(tmp_path, **MADE[name] | FIXED_OPEN.get(name, {}))
    sampled = check_exact(path, 2.0, snap_sec=0.25)
    assert sampled.timeline.key_pts.tolist() == [0] and sampled.timeline.index.is_key.sum() > 1
    assert sampled.requests.frame_index.tolist() == [0, 15, 30, 45, 60, 75]


@pytest.mark.parametrize("name", ["AVI", "ASF"])
def test_a_video_that_is_decoded_completely_gives_the_frames_shown_and_says_so(tmp_path, name):
    path = make(tmp_path, **MADE[name])
    scan = scan_of(path, 2.0, 0.25)
    assert scan.timeline.notes[-1] == NOTHING_TO_SNAP
    assert scan.requests.frame_index.tolist() == sample(path, 2.0).requests.frame_index.tolist()
    assert (scan.saving.times, scan.saving.near) == (6, 0) and scan.saving.decoded == scan.saving.without > 70


def test_what_is_saved_is_counted_in_packets(tmp_path):
    path = write_video(tmp_path / "v.mp4", 150, gop=60, b_frames=0, **FIXED)  # key frames at 0, 2 and 4 s
    saving = scan_of(path, 0.5, 1.0).saving
    assert (saving.times, saving.near, saving.decoded, saving.without) == (3, 3, 3, 3)
    saving = scan_of(path, 1.0, 0.5).saving
    assert (saving.times, saving.near, saving.decoded, saving.without) == (5, 3, 31 + 31 + 1, 63)
    saving = scan_of(path, 0.4, 1.25).saving  # 0 and 2.5 s: both have a key frame nearby
    assert (saving.times, saving.near, saving.decoded, saving.without) == (2, 2, 2, 1 + 16)
    redacted = scan_of(path, 0.4, 1.25, redacted=((1.9, 2.1),)).saving
    assert (redacted.times, redacted.near, redacted.decoded) == (2, 1, 17)
    assert scan_of(path, 0.4, None).saving is None


@pytest.mark.parametrize("fps", [0.5, *(pytest.param(fps, marks=pytest.mark.slow) for fps in (1.0, 3.0))])
@pytest.mark.integration
def test_every_real_video_is_snapped_exactly(real_videos, fps):
    near = saved = checked = 0
    for name in manifest(real_videos):
        try:
            scan = scan_of(real_videos / name, fps, 0.5 / fps)
        except VideoError:
            continue
        sampled = check_exact(real_videos / name, fps, numbered=False, snap_sec=0.5 / fps)
        np.testing.assert_array_equal(scan.requests.pts, sampled.requests.pts)
        plain = sample(real_videos / name, fps)
        assert (scan.saving.decoded, scan.saving.without) == (sampled.num_fed, plain.num_fed), name
        near, saved = near + scan.saving.near, saved + scan.saving.without - scan.saving.decoded
        checked += len(sampled.digests)
    assert checked > 60 and near > 40 and saved > 20
