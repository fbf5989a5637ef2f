"""Selects the videos of a subset: those with most tasks first, then by a hash of seed and uid, within a budget.

Pure functions: sizes come from a callable, and no file or network is used.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError

MAX_SCENARIOS_SHOWN = 60
GB = 10**9


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video that can be selected. hours: of what would be downloaded. tasks: those it is annotated for."""

    uid: str
    hours: float
    tasks: tuple[str, ...]
    scenarios: tuple[str, ...]


@dataclass(frozen=True)
class SelectionCriteria:
    """How many videos, and which. scenarios: parts of names, of which one must match, ignoring case. None: no limit."""

    num_videos: int = 10
    scenarios: tuple[str, ...] = ()
    max_gb: float | None = None
    max_hours: float | None = None
    seed: int = 0

    def limits(self) -> str:
        """The limits as a part of a sentence, for messages."""
        amounts = ((self.max_gb, "GB"), (self.max_hours, "hours"))
        limits = [f"{amount:g} {unit}" for amount, unit in amounts if amount is not None]
        scenarios = f" of scenario {' or '.join(map(repr, self.scenarios))}" if self.scenarios else ""
        return (f" within {' and '.join(limits)}" if limits else "") + scenarios


def rank_candidates(candidates: list[Candidate], criteria: SelectionCriteria) -> list[Candidate]:
    """The annotated candidates that match the scenarios, best first. Raises InputError for an unknown scenario.

    More tasks come first; ties are ordered by the SHA-256 of `seed:uid`, so that the order depends neither on what is
    on disk nor on the other candidates.
    """
    annotated = [candidate for candidate in candidates if candidate.tasks]
    for name in criteria.scenarios:
        if not any(_matches(candidate, name) for candidate in annotated):
            raise InputError(_unknown_scenario(annotated, name))
    if criteria.scenarios:
        annotated = [video for video in annotated if any(_matches(video, name) for name in criteria.scenarios)]
    return sorted(annotated, key=lambda video: (-len(video.tasks), _hash(criteria.seed, video.uid)))


def select_videos(
    ranked: list[Candidate], criteria: SelectionCriteria, size_of: Callable[[str], int | None]
) -> list[Candidate]:
    """criteria.num_videos of the ranked candidates, in order. Raises InputError if there are too few.

    size_of: uid -> bytes, or None if the video cannot be downloaded. Of each limit, a video may use at most an equal
    share of what is left for it and the videos still to be selected; unused parts enlarge the next shares. The
    candidates are scanned until no more fit, so that any single limit that can be met is met.
    """
    selected: list[Candidate] = []
    left_bytes = None if criteria.max_gb is None else criteria.max_gb * GB
    left_hours = criteria.max_hours
    remaining, before = ranked, -1
    while len(selected) < criteria.num_videos and len(selected) > before:
        before, skipped = len(selected), []
        for video in remaining:
            num_missing = criteria.num_videos - len(selected)
            size = size_of(video.uid) if _fits(video.hours, left_hours, num_missing) else None
            if size is None or not _fits(size, left_bytes, num_missing):
                skipped.append(video)
                continue
            selected.append(video)
            left_hours = None if left_hours is None else left_hours - video.hours
            left_bytes = None if left_bytes is None else left_bytes - size
            if len(selected) == criteria.num_videos:
                break
        remaining = skipped
    if len(selected) < criteria.num_videos:
        raise InputError(
            f"cannot select {criteria.num_videos} videos{criteria.limits()}: {len(selected)} of the {len(ranked)} "
            "annotated videos that match fit; lower --num-videos or raise the limits"
        )
    return selected


def _fits(amount: float, left: float | None, num_shares: int) -> bool:
    return left is None or amount * num_shares <= left * (1 + 1e-12)


def _matches(candidate: Candidate, scenario: str) -> bool:
    return any(scenario.casefold() in name.casefold() for name in candidate.scenarios)


def _hash(seed: int, uid: str) -> str:
    return hashlib.sha256(f"{seed}:{uid}".encode()).hexdigest()


def _unknown_scenario(candidates: list[Candidate], name: str) -> str:
    counts = Counter(scenario for candidate in candidates for scenario in set(candidate.scenarios))
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{scenario} ({count})" for scenario, count in frequent[:MAX_SCENARIOS_SHOWN])
    num_more = len(frequent) - MAX_SCENARIOS_SHOWN
    more = f", and {num_more} rarer ones" if num_more > 0 else ""
    return f"no annotated video has {name!r} in the name of a scenario; scenarios: {shown or 'none'}{more}"
