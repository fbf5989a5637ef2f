"""Assigns videos to splits, and training videos to model selection, as pure functions of their uids.

Adding or removing videos never moves another video from one split to another.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from embedonce.pipeline.naming.uids import recording_of

VAL_FRACTION = 0.2
SELECTION_FRACTION = 0.1  # of the training videos
MAX_SELECTION_SHARE = 5  # at most one in five recordings
HELD_OUT_ORDER = ("train", "val", "test")  # from used for training to never used before evaluation


def split_by_hash(uid: str, val_fraction: float = VAL_FRACTION) -> str:
    """ "train" or "val", by hash: val_fraction of all recordings are "val", with all their parts.

    Raising the fraction never turns a "val" into "train".
    """
    return "val" if _position("split", recording_of(uid)) < val_fraction else "train"


def selection_uids(train_uids: Iterable[str], labels: Mapping[str, Iterable[int]] | None = None) -> frozenset[str]:
    """The training videos that are held out for model selection: about 10 % by hash, at most 20 % of five or more.

    labels: uid -> classes of its training clips (negative: unlabeled). As far as that limit allows, every class is
    represented by a recording; every class keeps at least one for training. Beyond that, classes are represented in
    proportion as far as their recordings can be told apart. Parts of one recording stay together.
    """
    uids = frozenset(train_uids)
    classes: dict[str, set[int]] = {recording_of(uid): set() for uid in uids}
    for uid, labels_of_video in (labels or {}).items():
        if uid in uids:
            classes[recording_of(uid)] |= {label for label in labels_of_video if label >= 0}
    chosen = _chosen_recordings(classes) if len(classes) >= 2 else set()
    return frozenset(uid for uid in uids if recording_of(uid) in chosen)


def _chosen_recordings(classes: dict[str, set[int]]) -> set[str]:
    """The recordings for model selection. classes: recording -> its classes."""
    order = sorted(classes, key=lambda uid: (_position("selection", uid), uid))
    remaining = Counter(label for labels in classes.values() for label in labels)
    shares = {label: round(count * SELECTION_FRACTION) for label, count in remaining.items()}
    maximum = max(1, len(order) // MAX_SELECTION_SHARE)
    target = min(maximum, max(1, round(len(order) * SELECTION_FRACTION)))
    chosen: set[str] = set()
    taken: Counter[int] = Counter()  # recordings for selection, by class

    def take_up_to(most: int, is_wanted: Callable[[set[int]], bool]) -> None:
        for recording in order:
            labels = classes[recording]
            can_be_spared = recording not in chosen and all(remaining[label] > 1 for label in labels)
            if len(chosen) < most and can_be_spared and is_wanted(labels):
                chosen.add(recording)
                taken.update(labels)
                remaining.subtract(labels)

    take_up_to(maximum, lambda labels: any(not taken[label] for label in labels))
    take_up_to(target, lambda labels: any(taken[label] < shares[label] for label in labels))
    take_up_to(target, lambda labels: True)
    return chosen


def halves(uids: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The videos in two parts with equal numbers of recordings, by hash; the second is empty for one recording."""
    uids = frozenset(uids)
    recordings = sorted({recording_of(uid) for uid in uids}, key=lambda uid: (_position("halves", uid), uid))
    second = set(recordings[1::2])
    second_half = frozenset(uid for uid in uids if recording_of(uid) in second)
    return uids - second_half, second_half


def one_split(seconds: dict[str, float]) -> str:
    """The split of a video whose clips are in several splits: the one with most annotated time; if equal, held out.

    seconds: split -> duration of the clips in it.
    """
    return max(seconds, key=lambda split: (seconds[split], HELD_OUT_ORDER.index(split)))


def _position(salt: str, uid: str) -> float:
    """A number in [0, 1) from the first eight bytes of SHA-256; numbers of different salts are independent."""
    digest = hashlib.sha256(f"{salt}:{uid}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
