"""The split of each shard and which of its rows are left out. Knows no file.

Megatron-Energon puts whole shards into a split. A shard may hold videos of several splits: it goes into the split of
most of its rows, and the other rows are excluded, so that no held-out frame is trained on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from embedonce.cache.labels import ClipLabel

ALL = "train"  # the split of every shard without a label set


@dataclass(frozen=True)
class ShardRows:
    """The rows of one shard. name: its path, as Megatron-Energon knows it. keys: of each video, in order."""

    name: str
    keys: Mapping[str, Sequence[str]]


@dataclass
class EnergonSplits:
    """shards: split -> names of shards. excluded: "shard/key" of rows that belong to another split, or to none."""

    shards: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    excluded: list[str] = field(default_factory=list)

    def document(self) -> dict:
        """The content of split.yaml."""
        return {"split_parts": dict(self.shards), "exclude": self.excluded}


def video_splits(clips: Iterable[ClipLabel]) -> dict[str, str]:
    """The split of each video with clips; videos with clips in several splits are left out."""
    splits: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        splits[clip.video_uid].add(clip.split)
    return {uid: next(iter(names)) for uid, names in splits.items() if len(names) == 1}


def assign_splits(shards: Iterable[ShardRows], splits: Mapping[str, str] | None) -> EnergonSplits:
    """splits: the split of each video; None if there is no label set: all rows are `train`."""
    assigned = EnergonSplits()
    for shard in shards:
        counts: Counter[str] = Counter()
        for uid, keys in shard.keys.items():
            if split := _split_of(uid, splits):
                counts[split] += len(keys)
        if not counts:
            continue
        chosen = counts.most_common(1)[0][0]
        assigned.shards[chosen].append(shard.name)
        for uid, keys in shard.keys.items():
            if _split_of(uid, splits) != chosen:
                assigned.excluded += [f"{shard.name}/{key}" for key in keys]
    return assigned


def _split_of(uid: str, splits: Mapping[str, str] | None) -> str | None:
    return ALL if splits is None else splits.get(uid)
