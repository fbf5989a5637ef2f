"""Which videos are held out, and which training videos choose the best student: pure functions of the uid.

Knows uids only, so that adding or removing other videos never moves a video from one split to another.
"""

import hashlib
from collections.abc import Iterable

from pipeline.uids import recording_of

VAL_FRACTION = 0.2
SELECTION_FRACTION = 0.1  # of the training videos
HELD_OUT_ORDER = ("train", "val", "test")


def split_by_hash(uid: str, val_fraction: float = VAL_FRACTION) -> str:
    """ "train" or "val". val_fraction of all possible uids are "val"; raising it never turns a "val" into "train"."""
    return "val" if _position("split", uid) < val_fraction else "train"


def is_selection(uid: str) -> bool:
    """Whether a training video serves to select the best student instead of training it: one in ten."""
    return _position("selection", recording_of(uid)) < SELECTION_FRACTION


def selection_uids(train_uids: Iterable[str]) -> frozenset[str]:
    """The training videos used for selection; where the hash gives none of several, those of smallest hash.

    Parts of one recording stay together.
    """
    uids = frozenset(train_uids)
    chosen = frozenset(uid for uid in uids if is_selection(uid))
    recordings = {recording_of(uid) for uid in uids}
    if not chosen and len(recordings) >= 2:
        first = min(recordings, key=lambda uid: (_position("selection", uid), uid))
        chosen = frozenset(uid for uid in uids if recording_of(uid) == first)
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
