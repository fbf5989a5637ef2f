"""Every faulty file of the shared set, row by row against its MANIFEST: what is right, at every frame's time.

The rows about the shape of frames are checked in tests/video/test_shapes.py.
"""

import numpy as np
import pytest

from tests.support.videos import Sampled, full_decode, sample
from tests.video.test_shapes import MANIFEST_ROWS

pytestmark = pytest.mark.usefixtures("forked_workers")

FPS = 25.0


def answers(sampled: Sampled) -> dict[int, int | None]:
    """Request number -> index of the frame that answers it; None where the request is not ok."""
    rows = zip(sampled.requests.k.tolist(), sampled.requests.row.tolist(), strict=True)
    frames = sampled.requests.frame_index
    return {k: int(frames[row]) if row >= 0 and row in sampled.digests else None for k, row in rows}


def check_all_ok(path, num_frames: int) -> Sampled:
    """Every frame is planned, answers a request, and is the full decode's."""
    sampled, decoded = sample(path, 60.0), full_decode(path)
    assert len(sampled.timeline.pts) == len(decoded) == num_frames
    assert set(answers(sampled).values()) == set(range(num_frames))
    for i, index in enumerate(sampled.requests.frame_index):
        assert (sampled.requests.pts[i], sampled.digests[i]) == decoded[index]
    return sampled


def check_spatial_mvhevc(path):
    sampled = check_all_ok(path, 10)
    assert {rgb.shape for rgb in sampled.rgb.values()} == {(*sampled.timeline.size, 3)}  # the base view


def check_truncated_sei(path):
    assert check_all_ok(path, 150).way == "skipping"  # nor is it a reason to decode all of it


def check_duplicate_pts(path):
    sampled, decoded = sample(path, FPS), full_decode(path)
    pts = sampled.timeline.pts
    assert pts.tolist() == [at for at, _ in decoded] and not sampled.timeline.by_order  # the times are kept
    assert sampled.timeline.end_sec == pytest.approx(20.0) and 12_000 < np.diff(pts).max() < 14_000
    (repeated,) = np.flatnonzero(np.diff(pts) == 0)
    found = answers(sampled)
    assert None not in found.values() and repeated not in found.values() and repeated + 1 in found.values()
    for k, index in found.items():
        t_ms = k * 1000 / FPS
        assert index == max(i for i in range(len(pts)) if pts[i] <= t_ms)
    for i, index in enumerate(sampled.requests.frame_index):
        assert sampled.digests[i] == decoded[index][1]
    assert any("1 of its timestamps is repeated" in note for note in sampled.timeline.notes)


def check_mpeg2_lost_packets(path):
    """Five frames of 25 per second are gone: 20 to 24; the next key frame is number 50."""
    sampled, decoded = sample(path, FPS), dict(full_decode(path))
    found = answers(sampled)
    assert [k for k, index in found.items() if index is None] == list(range(20, 50))
    assert all(
        sampled.digests[i] == decoded[int(pts)] for i, pts in enumerate(sampled.requests.pts) if i in sampled.rgb
    )
    assert sampled.requests.row[20:25].max() < 0 <= sampled.requests.row[25:].min()
    assert any("data is missing in one place" in note for note in sampled.timeline.notes)


CHECKS = {
    "spatial_mvhevc.mp4": check_spatial_mvhevc,
    "truncated_sei.mp4": check_truncated_sei,
    "duplicate_pts.mkv": check_duplicate_pts,
    "mpeg2_lost_packets.ts": check_mpeg2_lost_packets,
}


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.integration
def test_a_faulty_file_matches_its_manifest_row(faults, name):
    CHECKS[name](faults / name)


def test_every_row_of_the_manifest_is_checked(faults):
    lines = (faults / "MANIFEST.tsv").read_text().splitlines()[1:]
    assert {line.split("\t")[0] for line in lines} == CHECKS.keys() | set(MANIFEST_ROWS)
