"""Suggestions for names that are not known."""

import pytest

from embedonce.pipeline.naming import near_misses
from embedonce.pipeline.naming.near_misses import near_miss, with_near_misses

KNOWN = ("ApplyEyeMakeup", "cut bread", "TVRemote")


@pytest.mark.parametrize(
    ("name", "near"),
    [("apply eye makeup", "ApplyEyeMakeup"), ("Cut-Bread", "cut bread"), ("cut breat", "cut bread"), ("zebra", None)],
)
def test_near_misses(name, near):
    assert near_miss(name, KNOWN) == near


def test_spelling_is_compared_with_few_names_only(monkeypatch):
    monkeypatch.setattr(near_misses, "MAX_COMPARED", 2)
    assert near_miss("cut breat", KNOWN) is None and near_miss("CutBread", KNOWN) == "cut bread"


def test_the_first_names_are_shown():
    shown = with_near_misses(["cut breat", "x", "y", "z"], KNOWN)
    assert shown == "'cut breat' (did you mean 'cut bread'?), 'x', 'y', …"
