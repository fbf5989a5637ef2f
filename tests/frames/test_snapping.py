"""Which frame answers a time if key frames nearby may: by hand, and against exact arithmetic."""

import bisect
import math
from fractions import Fraction

import numpy as np
import pytest

from embedonce.cache.schema import LOST, NO_FRAME, REDACTED, max_snap_tolerance
from embedonce.pipeline.frames.grid import EVERYTHING, Grid
from embedonce.pipeline.frames.sampling_times import request_frames

MICRO = Fraction(1, 10**6)


def ask(pts, keys, end_sec, snap_sec, fps=1.0, windows=EVERYTHING, holes=None, time_base=(1, 100), **grid):
    """The pts that answer each time, or why none does; keys are pts."""
    requests = request_frames(
        Grid(fps, windows, snap_sec=snap_sec, **grid), np.array(pts), np.array(keys), time_base, end_sec, holes
    )
    return [int(requests.pts[row]) if row >= 0 else int(row) for row in requests.row]


FRAMES = range(0, 1000, 10)  # ten seconds at 10 frames per second, in hundredths


def test_the_nearest_key_frame_within_the_tolerance_answers_and_otherwise_the_frame_shown():
    answers = ask(FRAMES, [0, 120, 250, 480, 550, 900], 10.0, 0.3)
    assert answers == [0, 120, 200, 300, 400, 480, 600, 700, 800, 900]
    assert ask(FRAMES, [0, 120, 250, 480, 550, 900], 10.0, 0.5) == [0, 120, 250, 250, 400, 480, 550, 700, 800, 900]
    assert ask(FRAMES, [], 10.0, 0.5) == ask(FRAMES, [], 10.0, None) == list(range(0, 1000, 100))


def test_a_key_frame_between_two_times_is_one_row_of_both_and_of_two_the_earlier_answers_a_time():
    requests = request_frames(Grid(1.0, snap_sec=0.5), np.array(FRAMES), np.array([0, 150]), (1, 100), 4.0)
    assert requests.row.tolist() == [0, 1, 1, 2] and requests.pts.tolist() == [0, 150, 300]
    assert ask(FRAMES, [0, 270, 330], 10.0, 0.5)[3] == 270
    assert ask(FRAMES, [0, 260, 330], 10.0, 0.5)[3] == 330


def test_if_every_frame_is_a_key_frame_the_nearest_one_answers():
    pts = [0, 33, 67, 98, 133, 196, 203, 267, 299, 310]
    assert ask(pts, pts, 3.2, 0.5) == [0, 98, 203, 299]
    assert ask(pts, [], 3.2, 0.5) == [0, 98, 196, 299]


def test_times_outside_the_video_get_no_frame_however_near_one_is():
    assert ask(FRAMES, [0, 990], 10.0, 0.5, windows=[(-2.0, 12.0)])[:3] == [NO_FRAME, NO_FRAME, 0]
    assert ask(FRAMES, [0, 990], 10.0, 0.5, windows=[(8.0, 12.0)]) == [800, 900, NO_FRAME, NO_FRAME]
    assert ask(range(-250, 250, 10), [-250, -130, 70], 2.5, 0.3) == [-250, -130, -50, 70, 150]  # negative pts


def test_times_of_lost_frames_stay_lost():
    holes = np.array([[180, 420]])
    pts = [t for t in FRAMES if not 180 <= t < 420]
    assert ask(pts, [0, 170, 430], 10.0, 0.5, holes=holes)[:6] == [0, 100, LOST, LOST, LOST, 500]


def test_key_frames_in_redacted_parts_answer_nothing_and_redacted_times_get_nothing():
    keys = [0, 280, 310, 480, 700]
    assert ask(FRAMES, keys, 10.0, 0.4)[2:6] == [200, 310, 400, 480]
    assert ask(FRAMES, keys, 10.0, 0.4, redacted=[(3.05, 3.2)])[3] == 280
    assert ask(FRAMES, keys, 10.0, 0.4, redacted=[(2.5, 3.0)])[3] == 310
    assert ask(FRAMES, keys, 10.0, 0.4, redacted=[(2.5, 2.9), (3.05, 3.2)])[3] == 300
    assert ask(FRAMES, keys, 10.0, 0.4, redacted=[(2.9, 3.05)])[3] == REDACTED
    nearer = [0, 260, 290]  # of two key frames before the time, the nearer is hidden
    assert ask(FRAMES, nearer, 10.0, 0.4, redacted=[(2.85, 2.95)])[3] == 260


def test_no_clip_gets_a_frame_from_outside_of_it():
    keys = [0, 270, 350, 640]
    assert ask(FRAMES, keys, 10.0, 0.5, windows=[(2.75, 5.0)]) == [350, 350]
    assert ask(FRAMES, keys, 10.0, 0.5, windows=[(2.75, 3.5)]) == [300]
    assert ask(FRAMES, keys, 10.0, 0.5, windows=[(2.5, 3.5)]) == [270]
    assert ask(FRAMES, keys, 10.0, 0.5, windows=[(2.7, 3.5)]) == [270]
    both = [(2.5, 5.0), (2.8, 3.4)]  # the time is in both clips, and each key frame only in one
    assert ask(FRAMES, keys, 10.0, 0.5, windows=both) == [300, 350]
    assert ask(FRAMES, keys, 10.0, 0.5, windows=[(2.5, 5.0), (3.9, 6.0)]) == [270, 400, 500]


def test_a_frame_that_began_before_the_clip_gives_way_to_the_first_one_in_it():
    pts = [0, 97, 130, 300]
    assert ask(pts, [], 4.0, 0.5, windows=[(1.0, 2.0)]) == [130]
    assert ask(pts, [], 4.0, 0.2, windows=[(1.0, 2.0)]) == [97]  # too far away
    assert ask(pts, [], 4.0, 0.5, windows=[(1.0, 1.2)]) == [97]  # not in the clip either
    assert ask(pts, [], 4.0, 0.5, windows=[(0.97, 2.0)]) == [97]
    assert ask(pts, [], 4.0, 0.5, windows=[(1.0, 2.0)], redacted=[(1.3, 1.4)]) == [97]
    assert ask([0, 97, 130, 130, 300], [], 4.0, 0.5, windows=[(1.0, 2.0)]) == [130]
    assert ask([0, 97], [], 4.0, 0.5, windows=[(2.0, 4.0)]) == [97, 97]


# -- against exact arithmetic ------------------------------------------------------------------------------------------


def exact(sec: float) -> Fraction | float:
    return sec if math.isinf(sec) else Fraction(sec)


def expected(pts, keys, grid: Grid, time_base, t: float, end_sec: float) -> set[int]:
    """The pts that may answer a time, in exact arithmetic: several where rounding decides."""
    tick = Fraction(*time_base)
    half = min(tick / 2, Fraction(1, 1000))
    found = set()
    for slack in (-Fraction(1, 10**9), Fraction(1, 10**9)):
        shown = bisect.bisect_right(pts, (Fraction(t) + half + slack) / tick) - 1
        bounds = [(exact(a), exact(b)) for a, b in grid.windows if a - 1e-6 <= t < b - 1e-6]

        def fits(one, bounds=bounds, slack=slack):
            inside = all(a - MICRO + slack <= one * tick < b - MICRO + slack for a, b in bounds)
            return inside and not any(a - 1e-6 <= one * tick < b - 1e-6 for a, b in grid.redacted)

        limit = Fraction(grid.snap_sec) + MICRO + slack
        possible = (key for key in keys if abs(key * float(tick) - t) < 2 * grid.snap_sec + 0.1)
        near = sorted((abs(key * tick - Fraction(t)), key) for key in possible)
        near = [(gap, key) for gap, key in near if gap <= limit and fits(key)]
        if near:
            found |= {key for gap, key in near if gap <= near[0][0] + MICRO + abs(slack)}
            continue
        following = next((one for one in pts[shown + 1 :] if one > pts[shown]), None)
        is_late = any(pts[shown] * tick < a - MICRO + slack for a, _ in bounds) and following is not None
        is_late = is_late and fits(following) and following * tick <= Fraction(t) + limit
        found.add(following if is_late else pts[shown])
    return found


def clips(generator, end_sec: float, count: int) -> list[tuple[float, float]]:
    starts = generator.uniform(-1, end_sec, count)
    return [*zip(starts.tolist(), (starts + generator.exponential(2, count)).tolist(), strict=True)]


@pytest.mark.parametrize("time_base", [(1, 90000), (1, 50)])
@pytest.mark.parametrize("fps", [0.5, 1.0, 3.0, 400.0, 1000.0])
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_exact_arithmetic_and_in_order(fps, time_base, seed):
    generator = np.random.default_rng((seed, round(fps), time_base[1]))
    step = time_base[1] // 25
    pts = np.cumsum(generator.integers(1, 2 * step + 1, 120 if fps > 100 else 2500)) - 5 * step
    keys = np.sort(generator.choice(pts, len(pts) // 9, replace=False))
    end_sec = float(pts[-1] + step) / time_base[1]
    windows = [EVERYTHING, clips(generator, end_sec, 25), clips(generator, end_sec, 90)][seed]
    share = 1.0 if generator.random() < 0.5 else generator.uniform(0.1, 1.0)
    grid = Grid(fps, windows, [(0.4 * end_sec, 0.5 * end_sec + 0.013)], share * max_snap_tolerance(fps))
    requests = request_frames(grid, pts, keys, time_base, end_sec)
    first_sec = float(pts[0]) / time_base[1]
    answered = requests.row >= 0
    assert (np.diff(requests.row[answered]) >= 0).all() and answered.sum() > 10
    step = max(1, answered.sum() // 30)
    for k, row in list(zip(requests.k[answered], requests.row[answered], strict=True))[::step]:
        t = first_sec + k / fps
        assert int(requests.pts[row]) in expected(pts.tolist(), keys.tolist(), grid, time_base, t, end_sec), t
    assert math.isfinite(end_sec) and set(requests.row[~answered].tolist()) <= {NO_FRAME, REDACTED}
