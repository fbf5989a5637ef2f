"""Arithmetic of extraction: sampled frames, units, view boxes, canonical pixels."""

import bisect
import io
import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from embedonce.cache.plan import PlannedSegment, cut_units
from embedonce.cache.schema import FLAG_HFLIP, NO_FRAME, REDACTED, request_seconds
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.frames.sampling_times import count_times, request_frames
from embedonce.pipeline.frames.views import evaluation_box, make_views
from tests.support.fake_teacher import fake_identity

# -- sampling ------------------------------------------------------------------------------------------------------


def ask(pts, time_base, end_sec, fps, windows=EVERYTHING, **grid):
    """request_frames with every tenth frame a key frame."""
    return request_frames(Grid(fps, windows, **grid), pts, pts[::10], time_base, end_sec)


def shown_by_fractions(pts, time_base, t: float) -> set[int]:
    """The frame shown at t, in exact arithmetic: the last with pts <= t + half a tick, at most 1 ms. Both at a tie."""
    tick = Fraction(*time_base)
    tolerance = min(tick / 2, Fraction(1, 1000))
    limits = [Fraction(t) + tolerance + slack for slack in (-Fraction(1, 10**9), Fraction(1, 10**9))]
    return {bisect.bisect_right(pts, limit / tick) - 1 for limit in limits}


@pytest.mark.parametrize("time_base", [(1, 15360), (1, 90000), (1, 1000), (1001, 30000), (1, 25)])
@pytest.mark.parametrize("fps", [0.25, 1.0, 2.0, 3.0, 29.97, 60.0])
@pytest.mark.integration
def test_the_last_frame_not_after_t_is_shown(time_base, fps):
    generator = np.random.default_rng(3)
    step = max(1, round(time_base[1] / time_base[0] / 30))
    pts = np.cumsum(generator.integers(1, 2 * step + 1, 400)).astype(np.int64) - 7 * step  # variable rate, from below 0
    end_sec = float(pts[-1] + step) * time_base[0] / time_base[1]
    got = ask(pts, time_base, end_sec, fps)
    first_sec = float(pts[0]) * time_base[0] / time_base[1]
    count = math.ceil((end_sec - first_sec) * fps)
    assert abs(len(got.k) - count) <= 1 and got.k.tolist() == list(range(len(got.k)))
    for k, row in zip(got.k, got.row, strict=True):
        t = first_sec + k / fps
        assert t < end_sec
        assert got.frame_index[row] in shown_by_fractions(pts.tolist(), time_base, t)
    np.testing.assert_array_equal(got.pts, pts[got.frame_index])
    assert len(set(got.frame_index.tolist())) == len(got.frame_index)


def test_sampling_at_the_frame_rate_returns_every_frame():
    """k/30 in float64 against integer pts: in float32, many of these times would return the frame before."""
    pts = np.arange(30 * 3600 * 2, dtype=np.int64) * 512
    got = ask(pts, (1, 15360), 7200.0, 30.0)
    np.testing.assert_array_equal(got.frame_index[got.row], np.arange(len(pts)))


@pytest.mark.parametrize(
    ("time_base", "early_sec", "expected"),
    [  # frame 1 is at 1.0 s and requested this much earlier
        ((1, 1000), 0.0004, 1),
        ((1, 1000), 0.0006, 0),
        ((1, 500), 0.0009, 1),
        ((1, 500), 0.0011, 0),
        ((1, 10), 0.0009, 1),
        ((1, 10), 0.0011, 0),
        ((1, 1), 0.0009, 1),
        ((1, 1), 0.4, 0),
    ],
)
def test_a_frame_is_shown_half_a_tick_early_and_never_more_than_a_millisecond(time_base, early_sec, expected):
    pts = np.array([0, time_base[1]])
    got = ask(pts, time_base, 2.0, 1 / (1.0 - early_sec))
    assert got.frame_index[got.row][:2].tolist() == [0, expected]


def test_coarse_ticks_never_return_a_later_frame():
    """25 frames per second in ticks of 1/25 s at 2 per second, and a time lapse in ticks of 10 s."""
    got = ask(np.arange(100), (1, 25), 4.0, 2.0)
    assert got.frame_index[got.row].tolist() == [0, 12, 25, 37, 50, 62, 75, 87]
    lapse = ask(np.arange(4), (10, 1), 40.0, 0.2)
    assert lapse.frame_index[lapse.row].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("end_sec", [3.0, np.nextafter(3.0, 4.0), 3.0 + 0.9e-6, 3.0 - 0.9e-6])
def test_no_frame_is_shown_at_or_after_the_end_of_a_video(end_sec):
    """To a microsecond, like the end of a window: three seconds at 2 fps are six times, however they are rounded."""
    for windows in (EVERYTHING, [(0.0, 3.0)], [(-math.inf, 3.0)], [(0.0, math.inf)]):
        assert ask(np.arange(90), (1, 30), end_sec, 2.0, windows).row.tolist() == [0, 1, 2, 3, 4, 5]
    assert ask(np.arange(90), (1, 30), end_sec, 2.0, [(2.5, 4.0)]).row.tolist() == [0, NO_FRAME, NO_FRAME]
    assert count_times(Grid(2.0), 0.0, end_sec) == count_times(Grid(2.0, [(0.0, 9.0)]), 0.0, end_sec) == 6


def test_windows_share_one_grid_and_are_half_open():
    pts = np.arange(100, dtype=np.int64) * 100 + 350  # 10 fps from 0.35 s, time base 1/1000
    got = ask(pts, (1, 1000), 10.35, 2.0, [(1.35, 2.85), (2.0, 3.35), (8.0, 8.01)])
    # t_k = 0.35 + k/2: the union of [1.35, 2.85) and [2.0, 3.35); nothing lies in the last window
    assert got.k.tolist() == [2, 3, 4, 5]
    assert got.frame_index[got.row].tolist() == [10, 15, 20, 25]


def test_times_outside_the_video_are_requests_without_a_frame():
    pts = np.arange(20, dtype=np.int64) * 100 + 1000  # 10 fps over [1, 3) s
    got = ask(pts, (1, 1000), 3.0, 1.0, [(-1.0, 5.0)])
    assert got.k.tolist() == [-2, -1, 0, 1, 2, 3]
    assert got.row.tolist() == [-1, -1, 0, 1, -1, -1]
    assert got.frame_index.tolist() == [0, 10]


def test_several_times_may_show_one_frame():
    got = ask(np.array([0, 1000, 2000]), (1, 1000), 3.0, 4.0)
    assert got.frame_index.tolist() == [0, 1, 2]
    assert got.row.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_requests_in_redacted_parts_have_no_frame():
    pts = np.arange(20, dtype=np.int64) * 1000  # one per second
    got = ask(pts, (1, 1000), 20.0, 2.0, [(0.0, 5.0)], redacted=((1.5, 3.0), (100.0, 101.0)))
    # the frame of second 1 is shown at 1.0 and 1.5; the time 1.5 is redacted. At 3.0 the next frame is shown
    assert got.k.tolist() == list(range(10))
    assert got.row.tolist() == [0, 0, 1, *[REDACTED] * 3, 2, 2, 3, 3]
    assert got.frame_index.tolist() == [0, 1, 3, 4]
    late = ask(np.array([0, 1000, 5000]), (1, 1000), 6.0, 1.0, redacted=((0.9, 1.1),))
    assert late.row.tolist() == [0, *[REDACTED] * 4, 1]  # the frame shown later was filmed in the redacted part
    none = ask(pts, (1, 1000), 20.0, 1.0, [(25.0, 27.0)], redacted=((25.0, 27.0),))
    assert none.row.tolist() == [NO_FRAME, NO_FRAME]


def test_key_frames_are_requested_at_their_own_times():
    pts = np.arange(60, dtype=np.int64) * 33 + 500
    got = ask(pts, (1, 1000), 3.0, None, [(0.6, 2.0)], redacted=((1.4, 1.5),))
    assert got.k.tolist() == [330, 660, 990, 1320]  # ticks since the first frame
    assert got.row.tolist() == [0, 1, REDACTED, 2]
    assert got.frame_index.tolist() == [10, 20, 40]
    np.testing.assert_allclose(request_seconds(got.k, 500, (1, 1000), None), [0.83, 1.16, 1.49, 1.82])
    np.testing.assert_array_equal(request_seconds(np.array([3]), 500, (1, 1000), 2.0), [2.0])


def test_an_excessive_window_is_refused():
    with pytest.raises(ValueError, match="times are requested"):
        ask(np.array([0]), (1, 1000), 1.0, 1.0, [(0.0, 1e12)])


# -- units ---------------------------------------------------------------------------------------------------------


def wanted(uid: str, rows: int, row_of_request=None) -> PlannedSegment:
    index = np.arange(rows, dtype=np.int64)
    row = index if row_of_request is None else np.array(row_of_request, np.int64)
    return PlannedSegment(uid, index, index * 10, np.arange(len(row), dtype=np.int64), row)


def test_units_hold_every_row_and_request_once_within_the_limit():
    sizes = [3, 700, 1, 1, 512, 90, 0, 1025]
    segments = [wanted(f"v{i}", size) for i, size in enumerate(sizes)]
    units = cut_units(segments, 256, first_number=7)
    assert [u.name for u in units] == [f"{7 + i:06d}" for i in range(len(units))]
    assert all(sum(len(s.frame_index) for s in u.segments) <= 256 for u in units)
    for segment in segments:
        pieces = [s for u in units for s in u.segments if s.video_uid == segment.video_uid]
        np.testing.assert_array_equal(np.concatenate([p.frame_index for p in pieces]), segment.frame_index)
        np.testing.assert_array_equal(np.concatenate([p.request_k for p in pieces]), segment.request_k)
        for p in pieces:  # rows count within the piece
            np.testing.assert_array_equal(p.frame_index[p.request_row], segment.frame_index[p.request_k])
    assert len(units) <= 2 + sum(sizes) // 256 + len(sizes)


def test_a_frame_shown_at_several_times_is_never_in_two_units():
    segment = wanted("v", 4, [-1, 0, 0, 1, 1, 1, 2, 2, 3, 3, -1, -1])
    first, second = cut_units([segment], 2, 0)
    assert first.segments[0].request_row.tolist() == [-1, 0, 0, 1, 1, 1]
    assert second.segments[0].request_row.tolist() == [0, 0, 1, 1, -1, -1]
    assert second.segments[0].request_k.tolist() == [6, 7, 8, 9, 10, 11]


TEACHER = fake_identity()

# -- views ---------------------------------------------------------------------------------------------------------


def test_view_0_is_the_center_square():
    assert evaluation_box((256, 455)) == (0, 99, 256, 256)
    assert evaluation_box((300, 256)) == (22, 0, 256, 256)
    assert evaluation_box((300, 256), "squash") == (0, 0, 300, 256)
    assert make_views("v", (256, 455), 0, 0, TEACHER).tolist() == [[0, 99, 256, 256, 0, 3]]


def test_random_views_lie_inside_differ_and_depend_only_on_seed_and_video():
    views = make_views("v", (256, 455), 200, 5, TEACHER)
    top, left, height, width, flags = views[1:, :5].T
    assert views.dtype == np.int32 and (views[:, 5] == 3).all()
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 256).all() and (left + width <= 455).all()
    area = height * width / (256 * 455)
    assert (area > 0.34).all() and area.max() > 0.6 and 60 < (flags == FLAG_HFLIP).sum() < 140
    assert len(np.unique(views, axis=0)) > 190
    np.testing.assert_array_equal(views, make_views("v", (256, 455), 200, 5, TEACHER))
    assert (views != make_views("w", (256, 455), 200, 5, TEACHER)).any()
    assert (views != make_views("v", (256, 455), 200, 6, TEACHER)).any()


# -- pixels --------------------------------------------------------------------------------------------------------


def numbered_image(height: int = 40, width: int = 64) -> np.ndarray:
    """Four flat quarters: red, green / blue, white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 255
    image[: height // 2, width // 2 :, 1] = 255
    image[height // 2 :, : width // 2, 2] = 255
    image[height // 2 :, width // 2 :] = 255
    return image


def quarters(image: np.ndarray) -> str:
    names = {(1, 0, 0): "R", (0, 1, 0): "G", (0, 0, 1): "B", (1, 1, 1): "W"}
    height, width = image.shape[:2]
    points = [(height // 4, width // 4), (height // 4, 3 * width // 4)]
    points += [(3 * height // 4, width // 4), (3 * height // 4, 3 * width // 4)]
    return "".join(names[tuple((image[p] > 127).astype(int))] for p in points)


@pytest.mark.parametrize(("rotation", "expected"), [(0, "RGBW"), (90, "BRWG"), (180, "WBGR"), (270, "GWRB")])
def test_the_canonical_frame_is_rotated_clockwise(rotation, expected):
    size = (64, 102) if rotation in (0, 180) else (102, 64)
    jpeg = canonical_frame.encode_canonical(
        numbered_image(*canonical_frame.before_rotation(size, rotation)), rotation, 90
    )
    image = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert image.shape == (*size, 3) and quarters(image) == expected


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1080, 1920, (256, 456)), (1920, 1080, (456, 256)), (2, 2, (256, 256)), (100, 101, (256, 258))],
)
def test_canonical_size_sets_the_short_side_and_centers_on_whole_pixels(height, width, expected):
    found = canonical_frame.canonical_size(height, width, 256)
    assert found == expected and (max(found) - min(found)) % 2 == 0


def test_an_extreme_aspect_ratio_is_refused():
    with pytest.raises(ValueError, match="16 times"):
        canonical_frame.canonical_size(1, 10_000, 256)


def test_a_view_is_an_integer_crop_then_one_resize_then_a_flip():
    image = Image.fromarray(numbered_image(64, 64))
    view = np.array([8, 16, 40, 32, 0, 3], np.int32)
    expected = image.crop((16, 8, 48, 48)).resize((24, 24), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(canonical_frame.crop(image, view, 24), np.asarray(expected))
    flipped = view.copy()
    flipped[4] = FLAG_HFLIP
    np.testing.assert_array_equal(canonical_frame.crop(image, flipped, 24), np.asarray(expected)[:, ::-1])
    off_by_one = view + np.array([1, 0, 0, 0, 0, 0], np.int32)
    assert (canonical_frame.crop(image, off_by_one, 24) != np.asarray(expected)).any()


def test_student_and_teacher_crops_come_from_the_same_box():
    jpeg = canonical_frame.encode_canonical(numbered_image(256, 256), 0, 95)
    view = np.array([0, 0, 128, 128, 0, 3], np.int32)
    for size in (32, 128, 224):
        crop = canonical_frame.load_view(jpeg, view, size)
        assert crop.shape == (size, size, 3) and crop.dtype == np.uint8
        assert crop[size // 2, size // 2, 0] > 200 and crop[size // 2, size // 2, 1:].max() < 60  # the red quarter


def test_counted_times_equal_requested_times():
    """At 30 fps: overlapping windows, redacted parts, parts outside the video."""
    generator = np.random.default_rng(0)
    for case in range(200):
        pts = np.arange(300, dtype=np.int64) * 512 + int(generator.integers(-2000, 2000))
        first, end = float(pts[0]) / 15360, float(pts[0]) / 15360 + 10
        starts = generator.uniform(-3, 12, (2, generator.integers(1, 5)))
        windows = tuple((s, s + generator.uniform(0, 4)) for s in starts[0].tolist())
        hidden = tuple((s, s + generator.uniform(0, 2)) for s in np.round(starts[1] * 30) / 30 + first)[: case % 3]
        grid = Grid(float(generator.choice([1, 2, 10, 30])), windows, hidden)
        asked = request_frames(grid, pts, pts[:0], (1, 15360), end)
        assert abs(count_times(grid, first, end) - int((asked.row >= 0).sum())) <= 2 * len(hidden), case


@pytest.mark.integration
def test_windows_are_equal_to_the_microsecond():
    """A time rounded to 7 decimals, as in annotations, is still the time of its frame."""
    pts = np.arange(300, dtype=np.int64) * 512 + 323
    for frame in range(300):
        exact = (frame * 512 + 323) / 15360
        for start in (exact, round(exact, 7), np.nextafter(exact, 99.0), np.nextafter(exact, -99.0)):
            got = request_frames(Grid(30.0, ((float(start), 99.0),)), pts, pts[:0], (1, 15360), 11.0)
            assert got.frame_index[0] == frame
            if frame:
                before = request_frames(Grid(30.0, ((-1.0, float(start)),)), pts, pts[:0], (1, 15360), 11.0)
                assert before.frame_index[-1] == frame - 1
