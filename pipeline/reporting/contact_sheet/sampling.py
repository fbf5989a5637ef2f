"""Choosing evenly: shares of a total that are as equal as possible, places at equal steps. Pure arithmetic."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

GOLDEN = 0.618034  # multiples of it modulo 1 are spread evenly


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """How much of a total each of these gets: as equal as their sizes allow, and all of it if they are large enough."""
    left = min(total, sum(sizes))
    given = [0] * len(sizes)
    for done, place in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        given[place] = min(sizes[place], left // (len(sizes) - done))
        left -= given[place]
    return given


def steps(size: int, count: int, offset: float = 0.5) -> list[int]:
    """`count` of the places 0 to size - 1, at equal steps; all if they are fewer.

    offset: where in its step each place is: 0 at its begin, 0.5 in its middle, below 1.
    """
    count = min(size, count)
    return [int((i + offset) * size / count) for i in range(count)]


def evenly_of_groups(groups: Sequence[int], count: int) -> list[int]:
    """At most `count` places in rising order: equally many of each group, and at equal steps within a group.

    groups: the group of each place. Groups have different offsets, so that those of equal size share few places of a
    longer list, such as the videos that have a clip of each.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    given = shares([len(places) for places in members.values()], count)
    chosen: list[int] = []
    for number, (places, share) in enumerate(zip(members.values(), given, strict=True)):
        offset = (0.5 + number * GOLDEN) % 1
        chosen += [places[i] for i in steps(len(places), share, offset)]
    return sorted(chosen)


def within_bytes(sizes: Iterable[tuple[str, int]], most: int) -> frozenset[str] | None:
    """The names of as many files as have at most these bytes together, at equal steps; None if all of them do.

    sizes: (name, bytes), in order. At least one file, however large.
    """
    files = list(sizes)
    total = sum(size for _, size in files)
    if total <= most:
        return None
    count = max(1, len(files) * most // total)
    while True:
        chosen = [files[i] for i in steps(len(files), count)]
        if count == 1 or sum(size for _, size in chosen) <= most:
            return frozenset(name for name, _ in chosen)
        count = max(1, count * 9 // 10)
