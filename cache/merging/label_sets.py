"""Label sets of several caches, united: those of the same name must agree, and get the clips and logits of all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from embedonce.cache.clip_texts import ClipKey
from embedonce.cache.errors import LabelSetError, some
from embedonce.cache.heads import are_same_heads
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.merging.texts import united_texts
from embedonce.cache.merging.withdrawals import Withdrawals

Clips = dict[str, dict[ClipLabel, None]]  # video uid -> clips, in order


@dataclass(frozen=True, eq=False)
class UnitedLabelSet:
    """One label set of the merged cache. labels: without clips. tensors: of its head, None if it has none.

    clips: those of all caches. num_new: how many of them the target does not have, over videos that it will have.
    holders: inputs whose logits come from the very same head. without: names of caches that lack the label set and have
    rows that others do not. is_new: the target does not have it. text_of: texts of clips that have one.
    """

    labels: LabelSet
    tensors: bytes | None
    clips: Clips
    num_new: int
    holders: tuple[OpenCache, ...]
    without: tuple[str, ...]
    is_new: bool
    text_of: dict[ClipKey, str]

    @property
    def stores_logits(self) -> bool:
        return self.labels.has_logits and self.labels.stores_logits


def unite_label_sets(
    inputs: Sequence[OpenCache], target: OpenCache | None, uids: frozenset[str], withdrawals: Withdrawals
) -> list[UnitedLabelSet]:
    """All label sets of these caches. uids: videos that the target will have.

    LabelSetError, which describes both, if two of the same name differ, or one is not finished.
    """
    caches = [*inputs] if target is None else [target, *inputs]
    names = sorted({name for cache in caches for name in cache.reader.label_sets()})
    for name in names:
        having = [cache for cache in caches if name in cache.reader.label_sets()]
        for other in having[1:]:
            _check_agreement(name, having[0], other)
        for cache in having:
            if cache is target:
                _refuse_unfinished_target(name, cache, inputs)
            else:
                _refuse_unfinished(name, cache, _unfinished_parts(name, cache))
    return [_united(name, caches, target, uids, withdrawals) for name in names]


def _united(
    name: str,
    caches: Sequence[OpenCache],
    target: OpenCache | None,
    uids: frozenset[str],
    withdrawals: Withdrawals,
) -> UnitedLabelSet:
    """caches: target and inputs, in this order."""
    having = [cache for cache in caches if name in cache.reader.label_sets()]
    labels, tensors = having[0].reader.label_set(name), having[0].reader.label_tensors(name)
    clips = _united_clips(name, having, withdrawals)
    is_new = having[0] is not target
    stored = set() if is_new else set(labels.clips)
    return UnitedLabelSet(
        labels=replace(labels, clips=()),
        tensors=tensors,
        clips=clips,
        num_new=sum(clip not in stored for uid, listed in clips.items() if uid in uids for clip in listed),
        holders=tuple(c for c in having if c is not target and c.reader.label_tensors(name) == tensors),
        without=tuple(cache.name for cache in caches if cache not in having and cache.committed_uids),
        is_new=is_new,
        text_of=united_texts(name, having, (clip for listed in clips.values() for clip in listed)),
    )


def _check_agreement(name: str, first: OpenCache, other: OpenCache) -> None:
    """LabelSetError unless the label set of this name has the same classes, made in the same way, in both caches."""
    a, b = (cache.reader.label_set(name) for cache in (first, other))
    if (a.kind, a.classes, a.prompts, a.multi_label) != (b.kind, b.classes, b.prompts, b.multi_label):
        difference = f"{first.name} has {_described(a)}, and {other.name} {_described(b)}"
        if (a.kind, a.classes, a.multi_label) == (b.kind, b.classes, b.multi_label):
            difference = f"{first.name} and {other.name} have {_described(a)}, made from other prompts"
    elif not _have_same_head(name, first, other):
        difference = f"{first.name} and {other.name} have {_described(a)}, with logits of different heads"
    else:
        return
    raise LabelSetError(
        f"label set {name!r} is not the same in all caches: {difference}. Nothing was changed; remove it from "
        "one of them with remove --label-set, after you have made it there under another name with relabel --label-set "
        "if you need both"
    )


def _described(labels: LabelSet) -> str:
    """Kind, number and names of classes."""
    several = ", several per clip" if labels.multi_label else ""
    return f"{len(labels.classes)} {labels.kind} classes{several} ({some(labels.classes, 5)})"


def _have_same_head(name: str, first: OpenCache, other: OpenCache) -> bool:
    if first.reader.label_tensors(name) == other.reader.label_tensors(name):
        return True
    a, b = first.reader.head(name), other.reader.head(name)
    return a is not None and b is not None and are_same_heads(a, b)


def _unfinished_parts(name: str, cache: OpenCache) -> list[int]:
    """Plan parts with rows that have no clip list in a label set, because its writing was interrupted or is older."""
    listed, committed = cache.reader.clip_parts(name), cache.committed_uids
    parts = [part for part in cache.reader.plan() if part.part not in listed]
    return [part.part for part in parts if any(video.uid in committed for video in part.videos)]


def _refuse_unfinished(name: str, cache: OpenCache, parts: Sequence[int]) -> None:
    if parts:
        raise LabelSetError(
            f"label set {name!r} of {cache.name} is not finished: it has no clips for {len(parts)} parts of the plan. "
            "Nothing was changed; finish it with the same extract-teacher or relabel command, or remove it with "
            "remove --label-set"
        )


def _refuse_unfinished_target(name: str, target: OpenCache, inputs: Sequence[OpenCache]) -> None:
    """LabelSetError if only somebody else can finish the label set of the target.

    What an interrupted merge has left does not count: parts whose videos are in the inputs, and label sets of which all
    clips are in the inputs.
    """
    known = {uid for cache in inputs for uid in cache.plan.videos}
    listed = target.reader.clip_parts(name)
    parts = [
        part.part
        for part in target.reader.plan()
        if part.part not in listed and not {video.uid for video in part.videos} <= known
    ]
    theirs = {
        clip for cache in inputs if name in cache.reader.label_sets() for clip in cache.reader.label_set(name).clips
    }
    if not set(target.reader.label_set(name).clips) <= theirs:
        _refuse_unfinished(name, target, parts)


def _united_clips(name: str, having: Sequence[OpenCache], withdrawals: Withdrawals) -> Clips:
    """The clips of all caches. LabelSetError if two of them have other clips of one id."""
    united: Clips = {}
    first: dict[
        tuple[str, str], tuple[set[ClipLabel], OpenCache]
    ] = {}  # (video, id) -> clips of the first that has any
    conflicts = []
    for cache in having:
        by_id: dict[tuple[str, str], set[ClipLabel]] = {}
        for clip in _clips_of(name, cache, withdrawals):
            united.setdefault(clip.video_uid, {})[clip] = None
            by_id.setdefault((clip.video_uid, clip.clip_id), set()).add(clip)
        for key, clips in by_id.items():
            known, holder = first.setdefault(key, (clips, cache))
            conflicts += [f"{key[1]} in {holder.name} and {cache.name}"] if known != clips else []
    if conflicts:
        raise LabelSetError(
            f"label set {name!r} has clips with the same id and other labels, times or splits: {len(conflicts)} "
            f"({some(conflicts)}). Nothing was changed; make it again in one of the caches with relabel --label-set"
        )
    return united


def _clips_of(name: str, cache: OpenCache, withdrawals: Withdrawals) -> Iterator[ClipLabel]:
    """The clips over videos that were not withdrawn."""
    videos = cache.plan.videos
    for clip in cache.reader.label_set(name).clips:
        planned = videos.get(clip.video_uid)
        if not withdrawals.has(clip.video_uid, "" if planned is None else planned.fingerprint):
            yield clip
