"""Verbs, nouns and both together, where a cache has label sets of both over the same clips.

Knows caches, label sets and predictions; runs nothing.
"""

from collections import Counter

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.naming.annotation_kinds import VERBS_AND_NOUNS

NOUNS_AND_VERBS = {nouns: verbs for verbs, nouns in VERBS_AND_NOUNS.items()}


def verb_noun_accuracy(
    reader: CacheReader, labels: LabelSet, clips: list[ClipLabel], found: Predictions
) -> dict | None:
    """Accuracy by verb, by noun and by both, of the clips that have a verb and a noun; None where they have not.

    found: of these clips of `labels`, in this order. What both sides say of the other label set is the class whose text
    is nearest to their embedding of the clip, for the student has no head for it: so that set must be zero-shot.
    """
    other = _other(reader, labels)
    text = None if other is None else (reader.head(other.name) or {}).get("class_text")
    if text is None:
        return None
    wanted = _labels_of(clips, other)
    both = np.flatnonzero((found.labels >= 0) & (wanted >= 0))
    if not len(both):
        return None
    is_verb = annotation_of(labels) in VERBS_AND_NOUNS
    sides = {
        "teacher": (found.teacher_logits, found.teacher_embeddings),
        "student": (found.logits, found.embeddings),
    }
    return {
        "label_sets": [labels.name, other.name] if is_verb else [other.name, labels.name],
        "num_clips": len(both),
        **{
            side: _accuracies(logits[both], embeddings[both] @ text.T, found.labels[both], wanted[both], is_verb)
            for side, (logits, embeddings) in sides.items()
        },
    }


def annotation_of(labels: LabelSet) -> str:
    """The kind of annotations that a label set was made from; its name where it does not say."""
    return labels.facts.get("annotations", labels.name)


def _other(reader: CacheReader, labels: LabelSet) -> LabelSet | None:
    """The label set of nouns for one of verbs, and of verbs for one of nouns."""
    kind = annotation_of(labels)
    wanted = VERBS_AND_NOUNS.get(kind) or NOUNS_AND_VERBS.get(kind)
    there = (reader.label_set(name) for name in reader.label_sets()) if wanted else ()
    return next((other for other in there if annotation_of(other) == wanted), None)


def _labels_of(clips: list[ClipLabel], other: LabelSet) -> np.ndarray:
    """(N,) labels of the same windows in another label set; -1 where it has none, or several windows are the same."""
    counts = Counter(map(_window, clips))
    windows = Counter(map(_window, other.clips))
    label_of = {_window(clip): clip.label for clip in other.clips if windows[_window(clip)] == 1}
    return np.array([label_of.get(w, -1) if counts[w] == 1 else -1 for w in map(_window, clips)], np.int64)


def _window(clip: ClipLabel) -> tuple[str, float, float]:
    return clip.video_uid, clip.start_sec, clip.end_sec


def _accuracies(
    own_logits: np.ndarray, others: np.ndarray, own: np.ndarray, other: np.ndarray, is_verb: bool
) -> dict[str, float | None]:
    """Shares of clips. own_logits (N, C); None for what a side without logits says."""
    right_other = others.argmax(1) == other
    right_own = own_logits.argmax(1) == own if own_logits.shape[1] else None
    verb, noun = (right_own, right_other) if is_verb else (right_other, right_own)
    both = None if right_own is None else right_own & right_other
    shares = {"verb": verb, "noun": noun, "both": both}
    return {name: None if right is None else float(right.mean()) for name, right in shares.items()}
