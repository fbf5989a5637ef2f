"""Windows over a stream of frames: what they contain, when they are complete, and how they end."""

import numpy as np

from embedonce.pipeline.predict.window_buffer import WindowBuffer


def spans(windows) -> list[tuple[float, float, list[float]]]:
    return [(window.start, window.end, np.round(window.times, 6).tolist()) for window in windows]


def feature(number: float) -> np.ndarray:
    return np.full(2, number, np.float32)


def test_a_live_window_is_complete_with_its_last_sampling_time():
    buffer = WindowBuffer(1.0, 1.0, 2.0, is_live=True)
    assert list(buffer.add(0.0, feature(0))) == []
    (first,) = buffer.add(0.5, feature(1))
    assert (first.start, first.end, first.num_expected) == (0.0, 1.0, 2) and first.is_sufficient
    np.testing.assert_array_equal(first.features, [[0, 0], [1, 1]])
    assert list(buffer.finish(1.0)) == []  # it reached the end


def test_frames_at_irregular_times_complete_windows_when_they_are_beyond():
    buffer = WindowBuffer(1.0, 1.0, None)
    assert list(buffer.add(0.0, feature(0))) == list(buffer.add(0.9, feature(1))) == []
    assert spans(buffer.add(1.0, feature(2))) == [(0.0, 1.0, [0.0, 0.9])]


def test_overlapping_windows_share_frames_and_gaps_between_windows_are_left_out():
    found = {}
    for stride in (0.5, 1.5):
        buffer = WindowBuffer(1.0, stride, 2.0)
        added = [window for k in range(7) for window in buffer.add(k / 2, feature(k))]
        found[stride] = spans([*added, *buffer.finish(3.5)])
    starts = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert found[0.5] == [(start, start + 1, [start, start + 0.5]) for start in starts]
    assert found[1.5] == [(0.0, 1.0, [0.0, 0.5]), (1.5, 2.5, [1.5, 2.0]), (3.0, 3.5, [3.0])]


def test_windows_begin_with_the_first_frame_and_the_last_one_is_cut_at_the_end():
    buffer = WindowBuffer(2.0, 1.0, 1.0)
    added = [window for k in range(4) for window in buffer.add(10.0 + k, feature(k))]
    last = list(buffer.finish(13.5))
    assert spans(added) == [(10.0, 12.0, [10.0, 11.0]), (11.0, 13.0, [11.0, 12.0])]
    assert spans(last) == [(12.0, 13.5, [12.0, 13.0])] and last[0].num_expected == 2


def test_lost_frames_are_counted_and_half_of_the_frames_are_enough():
    buffer = WindowBuffer(2.0, 2.0, 2.0, is_live=True)
    added = [window for k in range(12) for window in buffer.add(k / 2, feature(k) if k in (0, 2, 4, 8, 9) else None)]
    assert [(len(one.times), one.num_expected, one.is_sufficient) for one in added] == [
        *((2, 4, True), (1, 4, False), (2, 4, True)),
    ]


def test_skipped_times_give_windows_without_frames():
    buffer = WindowBuffer(1.0, 1.0, 1.0, is_live=True)
    added = [*buffer.add(0.0, feature(0)), *buffer.add(3.0, feature(1))]
    assert [(one.start, len(one.times), one.is_sufficient) for one in added] == [
        *((0.0, 1, True), (1.0, 0, False), (2.0, 0, False), (3.0, 1, True)),
    ]


def test_memory_is_bounded_by_a_window():
    buffer = WindowBuffer(1.0, 0.5, 10.0)
    for k in range(1000):
        list(buffer.add(k / 10, feature(k)))
        assert len(buffer._frames) <= 11


def test_a_source_without_frames_has_no_windows():
    assert list(WindowBuffer(1.0, 1.0, 1.0).finish(5.0)) == []
