"""Moments: which frames count as one, and how they are listed."""

from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.cache.labels import ClipLabel
from embedonce.pipeline.search import brute_force
from embedonce.pipeline.search.brute_force import Candidates
from embedonce.pipeline.search.moments import best_moments, format_time
from embedonce.pipeline.search.rows import RowTable


def made_table(seed: int, count: int = 300) -> RowTable:
    """Rows of several videos in mixed order."""
    generator = np.random.default_rng(seed)
    video = generator.integers(0, 4, count).astype(np.int32)
    return RowTable(("a", "b", "c", "d"), video, generator.permutation(count) / 2)


def expected(table: RowTable, scores: np.ndarray, top: int, gap: float) -> list[int]:
    chosen: list[int] = []
    for row in np.lexsort((np.arange(len(scores)), -scores)).tolist():
        close = [o for o in chosen if table.video[o] == table.video[row]]
        if all(abs(table.t_sec[o] - table.t_sec[row]) >= gap for o in close):
            chosen.append(row)
    return chosen[:top]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gap", [0.0, 2.0, 40.0])
@pytest.mark.parametrize("top", [1, 7, 1000])
def test_moments_are_those_of_a_loop_over_all_rows(seed, gap, top, monkeypatch):
    monkeypatch.setattr(brute_force, "FIRST_CANDIDATES", 8)
    table = made_table(seed)
    rows = np.random.default_rng((seed, 2)).standard_normal((300, 6))
    rows[np.argsort(table.t_sec)] = np.cumsum(rows, axis=0)  # neighbors are alike
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    query = np.eye(6, dtype=np.float32)[0]
    found = best_moments(brute_force.ranked([rows], query), table, top, gap)
    scores = rows[:, 0].astype(np.float32)
    assert [row for row, _ in found] == expected(table, scores, top, gap)
    assert [score for _, score in found] == [scores[row] for row, _ in found]


def test_a_moment_counts_only_if_no_other_row_can_be_better():
    first = Candidates(np.array([0, 1]), np.array([0.9, 0.5], np.float32), 0.6)
    second = Candidates(np.array([0, 2, 1]), np.array([0.9, 0.55, 0.5], np.float32), -np.inf)
    found = best_moments([first, second], made_table(0), 2, 0.0)
    assert found == [(0, pytest.approx(0.9)), (2, pytest.approx(0.55))]


def test_no_more_candidates_are_scored_than_are_needed(monkeypatch):
    monkeypatch.setattr(brute_force, "FIRST_CANDIDATES", 8)
    rows = np.linspace(-1, 1, 300, dtype=np.float16)[:, None]
    rounds = []

    def counted():
        for candidates in brute_force.ranked([rows], np.ones(1, np.float32)):
            rounds.append(len(candidates.rows))
            yield candidates

    assert len(best_moments(counted(), made_table(0), 3, 0.0)) == 3
    assert rounds == [8]


def test_rows_of_a_video_and_of_clips():
    table = RowTable(("a", "b"), np.array([0, 1, 0, 1, 0], np.int32), np.array([3.0, 0.0, 1.0, 1.0, 2.0]))
    assert table.of_video("a").tolist() == [2, 4, 0] and table.of_video("c").tolist() == []
    clips = [
        ClipLabel("1", "a", 1.0, 3.0, 0, "val"),
        ClipLabel("2", "b", 0.5, 9, 0, "val"),
        ClipLabel("3", "c", 0, 9, 0, "val"),
    ]
    assert np.flatnonzero(table.in_clips(clips)).tolist() == [2, 3, 4]
    assert table.near("a", 2.0, 1.0).tolist() == [4] and table.near("a", 2.0, 0.0).tolist() == [4]
    assert table.near("a", 2.0, 1.1).tolist() == [2, 4, 0]


def test_rows_follow_the_units():
    def segment(uid, times):
        return SimpleNamespace(video_uid=uid, num_rows=len(times), t_sec=np.array(times))

    records = {
        "1": SimpleNamespace(segments=[segment("a", [0.0, 1.0]), segment("b", [5.0])]),
        "2": SimpleNamespace(segments=[segment("a", [2.0])]),
    }
    table = RowTable.of(["2", "1"], records)
    assert table.uids == ("a", "b") and table.video.tolist() == [0, 0, 0, 1] and table.t_sec.tolist() == [2, 0, 1, 5]


@pytest.mark.parametrize(
    ("t_sec", "text"),
    [
        (0, "0:00:00.0"),
        (59.96, "0:01:00.0"),
        (3723.44, "1:02:03.4"),
        (36000, "10:00:00.0"),
        (-0.5, "-0:00:00.5"),
        (-0.01, "0:00:00.0"),
    ],
)
def test_times(t_sec, text):
    assert format_time(t_sec) == text
