"""Which videos are held out, and which training videos choose the best student: pure functions of the uid.

Knows uids only, so that adding or removing other videos never moves a video from one split to another.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from embedonce.pipeline.naming.uids import recording_of

VAL_FRACTION = 0.2
SELECTION_FRACTION = 0.1  # of the training videos
MOST_SELECTED = 5  # one recording in so many, at most
HELD_OUT_ORDER = ("train", "val", "test")


def split_by_hash(uid: str, val_fraction: float = VAL_FRACTION) -> str:
    """ "train" or "val". val_fraction of all possible uids are "val"; raising it never turns a "val" into "train"."""
    return "val" if _position("split", uid) < val_fraction else "train"


def selection_uids(train_uids: Iterable[str], labels: Mapping[str, Iterable[int]] | None = None) -> frozenset[str]:
    """The training videos used for selection: about a tenth, by hash, never more than a fifth where there are five.

    labels: uid -> classes of its training clips (negative: unlabeled). Every class gives a recording as long as there
    is room, and keeps at least one for training. Parts of one recording stay together.
    """
    uids = frozenset(train_uids)
    classes: dict[str, set[int]] = {recording_of(uid): set() for uid in uids}
    for uid, found in (labels or {}).items():
        if uid in uids:
            classes[recording_of(uid)] |= {label for label in found if label >= 0}
    chosen = _chosen_recordings(classes) if len(classes) >= 2 else set()
    return frozenset(uid for uid in uids if recording_of(uid) in chosen)


def _chosen_recordings(classes: dict[str, set[int]]) -> set[str]:
    """classes: recording -> its classes."""
    order = sorted(classes, key=lambda uid: (_position("selection", uid), uid))
    left = Counter(label for found in classes.values() for label in found)
    at_most = max(1, len(order) // MOST_SELECTED)
    wanted = min(at_most, max(1, round(len(order) * SELECTION_FRACTION)))
    chosen: set[str] = set()
    covered: set[int] = set()

    def take(recording: str) -> None:
        chosen.add(recording)
        covered.update(classes[recording])
        left.subtract(classes[recording])

    def can_be_spared(recording: str) -> bool:
        return recording not in chosen and all(left[label] > 1 for label in classes[recording])

    for recording in order:
        if len(chosen) < at_most and classes[recording] - covered and can_be_spared(recording):
            take(recording)
    for recording in order:
        if len(chosen) < wanted and can_be_spared(recording):
            take(recording)
    return chosen


def halves(uids: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """These videos in two parts of about as many recordings, by hash; of one recording, the second part is empty."""
    uids = frozenset(uids)
    recordings = sorted({recording_of(uid) for uid in uids}, key=lambda uid: (_position("halves", uid), uid))
    second = set(recordings[1::2])
    judging = frozenset(uid for uid in uids if recording_of(uid) in second)
    return uids - judging, judging


def one_split(seconds: dict[str, float]) -> str:
    """The split of a video whose clips are in several: where most of its annotated time is; the held-out one if equal.

    seconds: of the clips in each split.
    """
    return max(seconds, key=lambda split: (seconds[split], HELD_OUT_ORDER.index(split)))


def _position(salt: str, uid: str) -> float:
    """A number in [0, 1) from the first eight bytes of SHA-256; another salt gives an independent one."""
    digest = hashlib.sha256(f"{salt}:{uid}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
