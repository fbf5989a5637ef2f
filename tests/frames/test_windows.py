"""Windows of rows: which frames they show and which rows they stand for, over videos, units and gaps."""

import numpy as np
import pytest

from embedonce.cache.schema import Segment
from embedonce.pipeline.frames.windows import row_windows


def segment(rows: list[int], uid: str = "a") -> Segment:
    """Of requests answered by these rows; -1: no frame."""
    count, requests = max(rows) + 1, np.arange(len(rows))
    index = np.arange(count)
    status = np.where(np.array(rows) < 0, 1, 0).astype(np.uint8)
    return Segment(uid, (1, 1000), 0, np.zeros((1, 6), np.int32), index, index * 10, requests, status, np.array(rows))


def shown(segments: list[Segment], length: int, stride: int) -> list[tuple[list[int], list[int]]]:
    return [(one.frames.tolist(), list(one.rows)) for one in row_windows(segments, length, stride)]


def test_windows_follow_each_other_and_the_last_one_ends_with_the_last_row():
    assert shown([segment([*range(10)])], 4, 4) == [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([4, 5, 6, 7], [4, 5, 6]),
        ([6, 7, 8, 9], [7, 8, 9]),
    ]


def test_a_row_belongs_to_the_window_whose_middle_is_nearest():
    assert shown([segment([*range(6)])], 3, 1) == [
        ([0, 1, 2], [0, 1]),
        ([1, 2, 3], [2]),
        ([2, 3, 4], [3]),
        ([3, 4, 5], [4, 5]),
    ]


def test_a_short_run_repeats_its_last_frame():
    assert shown([segment([0, 1])], 4, 2) == [([0, 1, 1, 1], [0, 1])]


def test_rows_between_windows_that_are_far_apart_belong_to_the_nearer_one():
    assert shown([segment([*range(9)])], 2, 5) == [([0, 1], [0, 1, 2, 3]), ([5, 6], [4, 5, 6]), ([7, 8], [7, 8])]


def test_no_window_goes_over_a_missing_frame_or_into_the_next_video():
    both = [segment([0, 1, -1, 2, 3, -1, -1]), segment([-1, 0, 0, 1], "b")]
    assert shown(both, 2, 2) == [([0, 1], [0, 1]), ([2, 3], [2, 3]), ([4, 5], [4, 5])]
    assert shown(both, 4, 4) == [([0, 1, 1, 1], [0, 1]), ([2, 3, 3, 3], [2, 3]), ([4, 5, 5, 5], [4, 5])]


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 3, 7])
@pytest.mark.parametrize("rows", [[0], [*range(23)], [0, 1, -1, *range(2, 9), -1, 9, 10]])
def test_every_row_belongs_to_one_window_in_order_whose_frames_are_of_its_run(rows, length, stride):
    windows = list(row_windows([segment(rows)], length, stride))
    assert [row for one in windows for row in one.rows] == list(range(max(rows) + 1))
    for one in windows:
        assert len(one.frames) == length and (np.diff(one.frames) >= 0).all()
        between = rows[rows.index(int(one.frames[0])) : rows.index(int(one.frames[-1])) + 1]
        assert -1 not in between and one.first <= one.rows.start < one.rows.stop <= one.stop


def test_a_window_of_one_row_is_that_row():
    assert shown([segment([0, -1, 1]), segment([0], "b")], 1, 1) == [([0], [0]), ([1], [1]), ([2], [2])]
