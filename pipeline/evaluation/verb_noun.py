"""Accuracy on verbs, on nouns and on both together, for caches with label sets of both over the same clips."""

from collections import Counter

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.metrics.results_schema import VerbNoun, VerbNounAccuracy
from embedonce.pipeline.naming.annotation_kinds import VERBS_AND_NOUNS

NOUNS_AND_VERBS = {nouns: verbs for verbs, nouns in VERBS_AND_NOUNS.items()}


def verb_noun_accuracy(
    reader: CacheReader, labels: LabelSet, clips: list[ClipLabel], predictions: Predictions
) -> VerbNoun | None:
    """Accuracies on the clips that have a verb and a noun; None if there are none, or no label set of the other kind.

    predictions: for these clips of `labels`, in this order. For the other label set, which the student has no head for,
    both models predict the class whose text is nearest to their embedding of the clip; so it must be zero-shot.
    """
    other = _counterpart(reader, labels)
    if other is None:
        return None
    class_text = (reader.head(other.name) or {}).get("class_text")
    if class_text is None:
        return None
    other_labels = _labels_in(other, clips)
    both = np.flatnonzero((predictions.labels >= 0) & (other_labels >= 0))
    if not len(both):
        return None
    is_verb = annotation_of(labels) in VERBS_AND_NOUNS

    def accuracies(logits: np.ndarray, embeddings: np.ndarray) -> VerbNounAccuracy:
        similarities = embeddings[both] @ class_text.T
        return _accuracies(logits[both], similarities, predictions.labels[both], other_labels[both], is_verb)

    return VerbNoun(
        label_sets=(labels.name, other.name) if is_verb else (other.name, labels.name),
        num_clips=len(both),
        teacher=accuracies(predictions.teacher_logits, predictions.teacher_embeddings),
        student=accuracies(predictions.logits, predictions.embeddings),
    )


def annotation_of(labels: LabelSet) -> str:
    """The kind of annotations that a label set was made from; its name if it does not record one."""
    return labels.facts.get("annotations", labels.name)


def _counterpart(reader: CacheReader, labels: LabelSet) -> LabelSet | None:
    """The label set of nouns for one of verbs, and of verbs for one of nouns."""
    kind = annotation_of(labels)
    counterpart = VERBS_AND_NOUNS.get(kind) or NOUNS_AND_VERBS.get(kind)
    if counterpart is None:
        return None
    label_sets = (reader.label_set(name) for name in reader.label_sets())
    return next((other for other in label_sets if annotation_of(other) == counterpart), None)


def _labels_in(other: LabelSet, clips: list[ClipLabel]) -> np.ndarray:
    """(N,) labels of the same windows in another label set; -1 if it has none, or a window occurs more than once."""
    counts = Counter(map(_window, clips))
    windows = Counter(map(_window, other.clips))
    label_of = {_window(clip): clip.label for clip in other.clips if windows[_window(clip)] == 1}
    return np.array([label_of.get(w, -1) if counts[w] == 1 else -1 for w in map(_window, clips)], np.int64)


def _window(clip: ClipLabel) -> tuple[str, float, float]:
    return clip.video_uid, clip.start_sec, clip.end_sec


def _accuracies(
    logits: np.ndarray, other_logits: np.ndarray, labels: np.ndarray, other_labels: np.ndarray, is_verb: bool
) -> VerbNounAccuracy:
    """Shares of N clips. is_verb: whether logits (N, C) and labels are of verbs, and the others of nouns."""
    right_other = other_logits.argmax(1) == other_labels
    right_own = logits.argmax(1) == labels if logits.shape[1] else None
    verb, noun = (right_own, right_other) if is_verb else (right_other, right_own)
    both = None if right_own is None else right_own & right_other
    return VerbNounAccuracy(*(None if right is None else float(right.mean()) for right in (verb, noun, both)))
