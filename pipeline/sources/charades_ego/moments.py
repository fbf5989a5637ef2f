"""Cuts a video with overlapping actions into moments in which the same actions are going on."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Action(NamedTuple):
    """[start_sec, end_sec) of one action, in seconds of the video; start_sec < end_sec."""

    name: str
    start_sec: float
    end_sec: float


class Moment(NamedTuple):
    """[start_sec, end_sec) of a part of a video, and the actions that are going on in all of it, sorted by name."""

    start_sec: float
    end_sec: float
    names: tuple[str, ...]


def moments_of(actions: Iterable[Action]) -> list[Moment]:
    """The parts of the video with an action, cut wherever one begins or ends. Neighbors have different actions."""
    changes: dict[float, Counter[str]] = defaultdict(Counter)
    for action in actions:
        changes[action.start_sec][action.name] += 1
        changes[action.end_sec][action.name] -= 1
    going_on: Counter[str] = Counter()
    moments: list[Moment] = []
    for start, end in itertools.pairwise(sorted(changes)):
        going_on.update(changes[start])
        names = tuple(sorted(name for name, count in going_on.items() if count))
        if moments and moments[-1].end_sec == start and moments[-1].names == names:
            moments[-1] = moments[-1]._replace(end_sec=end)
        elif names:
            moments.append(Moment(start, end, names))
    return moments
