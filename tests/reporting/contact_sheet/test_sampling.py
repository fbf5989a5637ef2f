"""Choosing evenly: shares, steps, groups, and files within a number of bytes."""

from collections import Counter
from itertools import pairwise

import pytest

from embedonce.pipeline.reporting.contact_sheet.sampling import evenly_of_groups, shares, steps, within_bytes


@pytest.mark.parametrize(
    "sizes, total, expected",
    [
        ([5, 5, 5], 15, [5, 5, 5]),
        ([5, 5, 5], 6, [2, 2, 2]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([10, 1, 10], 100, [10, 1, 10]),
        ([0, 4], 3, [0, 3]),
        ([3, 3, 3], 2, [0, 1, 1]),
        ([], 5, []),
    ],
)
def test_shares_are_as_equal_as_the_sizes_allow(sizes, total, expected):
    assert shares(sizes, total) == expected


def test_steps_are_equal_and_begin_in_the_middle_of_the_first():
    assert steps(10, 5) == [1, 3, 5, 7, 9]
    assert steps(9, 1) == [4]
    assert steps(3, 7) == [0, 1, 2]
    assert steps(0, 4) == []
    assert steps(10, 5, 0.0) == [0, 2, 4, 6, 8] and steps(10, 5, 0.99)[-1] == 9


def test_groups_of_interleaved_places_do_not_choose_the_same_ones():
    """Three classes, each with a clip in each of 100 videos."""
    chosen = evenly_of_groups([0, 1, 2] * 100, 30)
    assert len({place // 3 for place in chosen}) >= 25


def test_each_group_gets_as_many_places_spread_over_all_of_it():
    groups = [0] * 900 + [1] * 90 + [2] * 3
    chosen = evenly_of_groups(groups, 63)
    counts = Counter(groups[place] for place in chosen)
    assert counts == {0: 30, 1: 30, 2: 3} and chosen == sorted(set(chosen))
    of_first = [place for place in chosen if groups[place] == 0]
    assert {b - a for a, b in pairwise(of_first)} == {30}


def test_files_are_chosen_evenly_within_their_bytes():
    sizes = [(f"{number:03}", 10) for number in range(100)]
    assert within_bytes(sizes, 1000) is None
    chosen = sorted(map(int, within_bytes(sizes, 255)))
    assert len(chosen) == 25 and {b - a for a, b in pairwise(chosen)} == {4}
    assert len(within_bytes(sizes, 3)) == 1
    uneven = [(f"{number:03}", 1000 if number % 2 else 1) for number in range(100)]
    assert 1 <= sum(size for name, size in uneven if name in within_bytes(uneven, 3000)) <= 3000
