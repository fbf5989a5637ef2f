"""Costs are measured by the project's own stages, read back from their file, and summed for a data set."""

import dataclasses
import json

import pytest

from benchmarks.cluster.costs import read_unit_costs
from benchmarks.cluster.estimates import estimate
from benchmarks.unit_costs import video_costs
from embedonce.pipeline.video.container import VideoError
from tests.support.videos import write_video


def test_a_video_is_scanned_and_decoded_at_one_frame_per_second(tmp_path):
    path = write_video(tmp_path / "a.mp4", 75, size=(96, 160))
    costs = video_costs(path, 1)
    assert (costs.width, costs.height, costs.frames, costs.rows) == (160, 96, 75, 3)
    assert costs.video_sec == pytest.approx(2.5)
    assert costs.num_bytes == path.stat().st_size
    assert costs.decode_cpu_sec > 0 and costs.scan_cpu_sec > 0 and costs.bytes_per_row > 1000


def test_a_file_that_is_no_video_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError):
        video_costs(tmp_path / "a.mp4", 1)


def test_costs_are_read_as_they_were_written(tmp_path):
    measured = read_unit_costs()
    document = {
        "machine": measured.machine,
        "fps": measured.fps,
        "videos": [dataclasses.asdict(video) for video in measured.videos],
        "teachers": {name: {"cpu_sec": seconds, "wall_sec": 0} for name, seconds in measured.embed_sec.items()},
        "commit": {"rows": 512, "cpu_sec": measured.commit_sec, "wall_sec": 0},
    }
    (tmp_path / "costs.json").write_text(json.dumps(document))
    assert read_unit_costs(tmp_path / "costs.json") == measured


def test_an_estimate_counts_each_stage_once():
    costs = read_unit_costs()
    like = costs.video("vp9.webm")
    found = estimate(costs, "vp9.webm", "base", video_hours=2.0, fps=0.5, shard_frames=100, row_bytes=1000)
    assert found.rows == 3600
    assert found.decode == pytest.approx(like.decode_cpu_sec_per_row)
    assert found.teacher == pytest.approx(costs.embed_sec["base"])
    assert found.commit == pytest.approx(36 * costs.commit_sec / 3600)
    assert found.scan == pytest.approx(2 * like.scan_cpu_sec / like.video_sec)
    assert found.total == found.scan + found.decode + found.teacher + found.commit
    assert found.terabytes == pytest.approx(3600 * (like.bytes_per_row + 1000) / 1e12)
