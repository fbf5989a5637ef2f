"""Deals the videos of a run into chunks, which workers take one after another."""

from collections.abc import Iterable, Mapping, Sequence

CHUNKS_PER_ROUND = 3  # for each worker: each chunk has this part of a worker's share of what is left
MAX_VIDEOS = 512  # in a chunk: bounds what is sent, and how many videos a dead worker makes suspect
SMALLEST_SHARE = 1 / 64  # of a worker's share of everything
SMALLEST_BYTES = 64 << 20  # beginning a chunk, with new processes, takes seconds


def deal(costs: Mapping[str, float], bound: Iterable[Sequence[str]], num_workers: int) -> list[tuple[str, ...]]:
    """Every uid of `costs` in exactly one chunk, largest videos first.

    costs: uid -> bytes. bound: groups of uids that must be in one chunk, because pending units hold frames of several
    of them. Chunks become smaller towards the end, so that workers end together; a chunk is larger than planned only
    if a group or a single video is.
    """
    groups = _groups(costs, bound)
    group_costs = {group: sum(costs[uid] for uid in group) for group in groups}
    left = sum(group_costs.values())
    smallest = min(left / num_workers, max(left / num_workers * SMALLEST_SHARE, SMALLEST_BYTES))
    chunks: list[tuple[str, ...]] = []
    uids: list[str] = []
    cost = 0.0
    for group in sorted(groups, key=lambda group: (-group_costs[group], group)):
        limit = max(left / num_workers / CHUNKS_PER_ROUND, smallest)
        if uids and (cost + group_costs[group] > limit or len(uids) + len(group) > MAX_VIDEOS):
            chunks.append(tuple(uids))
            left -= cost
            uids, cost = [], 0.0
        uids += group
        cost += group_costs[group]
    return [*chunks, tuple(uids)] if uids else chunks


def _groups(costs: Mapping[str, float], bound: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The uids, those together that are bound, also through others, in the order of `costs`."""
    leader = {uid: uid for uid in costs}

    def leader_of(uid: str) -> str:
        while leader[uid] != uid:
            leader[uid] = leader[leader[uid]]
            uid = leader[uid]
        return uid

    for first, *others in (known for group in bound if (known := [uid for uid in group if uid in costs])):
        for other in others:
            leader[leader_of(other)] = leader_of(first)
    groups: dict[str, list[str]] = {}
    for uid in costs:
        groups.setdefault(leader_of(uid), []).append(uid)
    return [tuple(group) for group in groups.values()]
