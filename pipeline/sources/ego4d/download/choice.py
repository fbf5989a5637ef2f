"""Which videos a subset takes: those of most tasks first, then by a hash of seed and uid, within a budget.

Pure: knows no file and no network; what a video weighs is asked of a function.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError

SHOWN_SCENARIOS = 60
GB = 10**9


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video that could be taken. tasks: the annotations that it has. hours: of what would be downloaded."""

    uid: str
    hours: float
    tasks: tuple[str, ...]
    scenarios: tuple[str, ...]


@dataclass(frozen=True)
class SelectionCriteria:
    """What is asked for. scenarios: parts of names, any of which will do, in any case. None: no limit."""

    num_videos: int = 10
    scenarios: tuple[str, ...] = ()
    max_gb: float | None = None
    max_hours: float | None = None
    seed: int = 0

    def limits(self) -> str:
        """The limits in words, for messages."""
        limits = [f"{most:g} {of}" for most, of in ((self.max_gb, "GB"), (self.max_hours, "hours")) if most is not None]
        scenarios = f" of scenario {' or '.join(map(repr, self.scenarios))}" if self.scenarios else ""
        return (f" within {' and '.join(limits)}" if limits else "") + scenarios


def in_order(candidates: list[Candidate], wish: SelectionCriteria) -> list[Candidate]:
    """Those that may be taken, the first to be taken first. InputError where no video has a scenario asked for.

    A video must have annotations. More tasks go before fewer; among equals the SHA-256 of `seed:uid` decides, so
    that the order does not depend on what is on disk, nor on what other videos there are.
    """
    annotated = [candidate for candidate in candidates if candidate.tasks]
    for name in wish.scenarios:
        if not any(_has(candidate, name) for candidate in annotated):
            raise InputError(_no_such_scenario(annotated, name))
    if wish.scenarios:
        annotated = [video for video in annotated if any(_has(video, name) for name in wish.scenarios)]
    return sorted(annotated, key=lambda video: (-len(video.tasks), _hash(wish.seed, video.uid)))


def choose(ordered: list[Candidate], wish: SelectionCriteria, size_of: Callable[[str], int | None]) -> list[Candidate]:
    """wish.num_videos of the candidates, in order; InputError where there are not so many.

    size_of: uid -> bytes, None where the video is not to be had. In each limit a video takes at most an equal share
    of what is left for it and those still to be taken; what it leaves makes the next shares larger. The candidates
    are gone through until nothing more fits: so the wish is met under any one limit under which it can be.
    """
    taken: list[Candidate] = []
    left_bytes = None if wish.max_gb is None else wish.max_gb * GB
    left_hours = wish.max_hours
    waiting, before = ordered, -1
    while len(taken) < wish.num_videos and len(taken) > before:
        before, passed = len(taken), []
        for video in waiting:
            share = wish.num_videos - len(taken)
            size = size_of(video.uid) if share and _fits(video.hours, left_hours, share) else None
            if size is None or not _fits(size, left_bytes, share):
                passed.append(video)
                continue
            taken.append(video)
            left_hours = None if left_hours is None else left_hours - video.hours
            left_bytes = None if left_bytes is None else left_bytes - size
            if len(taken) == wish.num_videos:
                break
        waiting = passed
    if len(taken) < wish.num_videos:
        raise InputError(
            f"there are not {wish.num_videos} videos{wish.limits()}: {len(taken)} can be had, of {len(ordered)} that "
            "are annotated and match; lower --num-videos or raise the limits"
        )
    return taken


def _fits(amount: float, left: float | None, share: int) -> bool:
    return left is None or amount * share <= left * (1 + 1e-12)


def _has(candidate: Candidate, scenario: str) -> bool:
    return any(scenario.casefold() in name.casefold() for name in candidate.scenarios)


def _hash(seed: int, uid: str) -> str:
    return hashlib.sha256(f"{seed}:{uid}".encode()).hexdigest()


def _no_such_scenario(candidates: list[Candidate], name: str) -> str:
    counts = Counter(scenario for candidate in candidates for scenario in set(candidate.scenarios))
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{scenario} ({count})" for scenario, count in common[:SHOWN_SCENARIOS])
    more = f", and {len(common) - SHOWN_SCENARIOS} rarer ones" if len(common) > SHOWN_SCENARIOS else ""
    return f"no annotated video has a scenario with {name!r} in its name; there are: {shown or 'none'}{more}"
