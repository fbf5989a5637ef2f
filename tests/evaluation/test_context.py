"""Context of accuracies: majority class, verbs with nouns, overlapping windows, comparable figures."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.evaluation.comparability import PUBLISHED, comparable_with, shared_frames
from embedonce.pipeline.evaluation.verb_noun import verb_noun_accuracy
from embedonce.pipeline.metrics.baselines import has_long_tail, majority_baseline
from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_schema import SCHEMA, EvaluationResults, Majority, VerbNounAccuracy
from embedonce.pipeline.reporting.console import comparison_table
from embedonce.pipeline.reporting.html import comparison as page
from embedonce.pipeline.sources.ego4d.annotations.registry import KIND_NAMES
from tests.support.report_data import predictions_for, results_for

CLASSES = ("take", "put", "cut")


def test_the_majority_class_of_training_is_evaluated_on_held_out_clips():
    found = majority_baseline(np.array([1, 1, 0, -1]), np.array([0, 0, 1, 2, -1]), CLASSES)
    assert found == Majority("put", 0.25, pytest.approx(1 / 3), "train")
    alone = majority_baseline(np.array([-1]), np.array([0, 0, 1, 2]), CLASSES)
    assert alone == Majority("take", 0.5, pytest.approx(1 / 3), "judged")
    unseen = majority_baseline(np.array([2]), np.array([0, 1]), CLASSES)
    assert (unseen.class_name, unseen.top1, unseen.mean_class_accuracy) == ("cut", 0.0, 0.0)
    assert majority_baseline(np.array([1]), np.array([-1]), CLASSES) is None


def test_a_majority_class_at_twice_chance_is_a_long_tail():
    even, long = (majority_baseline(np.array([0]), np.array(labels), CLASSES) for labels in ([0, 1, 2], [0, 0, 0, 1]))
    assert not has_long_tail(even, 3) and has_long_tail(long, 3)
    assert not has_long_tail(None, 3)


class Cache:
    """The parts of a cache reader that concern label sets."""

    def __init__(self, text: np.ndarray | None, *sets: LabelSet):
        self._text, self._sets = text, {labels.name: labels for labels in sets}

    def label_sets(self):
        return tuple(self._sets)

    def label_set(self, name):
        return self._sets[name]

    def head(self, name):
        return None if self._text is None else {"class_text": self._text}


def clip(number: int, label: int, start=None) -> ClipLabel:
    start = float(number) if start is None else start
    return ClipLabel(f"v:{number}", "v", start, start + 1.0, label, "val")


def label_set(name: str, classes: tuple[str, ...], clips, **facts) -> LabelSet:
    return LabelSet(name, "zero-shot", classes, (), 100.0, facts, tuple(clips))


VERBS = label_set("fho-verbs", CLASSES, [clip(0, 0), clip(1, 1), clip(2, 2), clip(3, 0), clip(4, -1)])
NOUNS = label_set("mine", ("cup", "egg"), [clip(0, 0), clip(1, 1), clip(2, 1), clip(4, 0)], annotations="fho-nouns")
TEXT = np.eye(2, dtype=np.float32)


def predictions(verbs: list[int], nouns: list[int], labels) -> Predictions:
    """A student with these predictions; the teacher is right on verbs and predicts the other noun."""
    logits, embeddings = np.eye(3, dtype=np.float32)[verbs], TEXT[nouns]
    labels = np.array(labels)
    return Predictions(logits, embeddings, np.eye(3, dtype=np.float32)[labels], TEXT[[1 - n for n in nouns]], labels)


def test_verb_and_noun_accuracy_on_clips_that_have_both():
    labels = [c.label for c in VERBS.clips]
    found = predictions([0, 1, 0, 0, 0], [0, 0, 1, 1, 1], labels)
    result = verb_noun_accuracy(Cache(TEXT, VERBS, NOUNS), VERBS, list(VERBS.clips), found)
    assert result.label_sets == ("fho-verbs", "mine") and result.num_clips == 3
    third = pytest.approx(1 / 3)
    assert result.student == VerbNounAccuracy(pytest.approx(2 / 3), pytest.approx(2 / 3), third)
    assert result.teacher == VerbNounAccuracy(1.0, third, third)


def test_verbs_are_predicted_by_nearest_text_for_a_label_set_of_nouns():
    nouns = replace(NOUNS, clips=tuple(c for c in NOUNS.clips if c.label >= 0))
    verbs = replace(VERBS, classes=("take", "put"), clips=(clip(0, 0), clip(1, 0), clip(2, 1), clip(2, 1)))
    found = Predictions(
        TEXT[[0, 0, 1, 0]], TEXT[[0, 1, 1, 0]], np.zeros((4, 0)), TEXT[[0, 0, 0, 0]], np.array([0, 1, 1, 0])
    )
    result = verb_noun_accuracy(Cache(TEXT, verbs, nouns), nouns, list(nouns.clips), found)
    assert result.label_sets == ("fho-verbs", "mine")
    assert result.num_clips == 2  # of the third, two verbs are known; the fourth has none
    assert result.student == VerbNounAccuracy(0.5, 0.5, 0.5)
    assert result.teacher == VerbNounAccuracy(1.0, None, None)


def test_verbs_without_nouns_have_no_verb_noun_accuracy():
    found = predictions([0] * 5, [0] * 5, [c.label for c in VERBS.clips])
    for cache in (Cache(TEXT, VERBS), Cache(None, VERBS, NOUNS)):
        assert verb_noun_accuracy(cache, VERBS, list(VERBS.clips), found) is None
    moments = label_set("moments", CLASSES, VERBS.clips)
    assert verb_noun_accuracy(Cache(TEXT, moments, NOUNS), moments, list(moments.clips), found) is None


def test_only_ego4d_label_sets_have_a_note_on_comparable_figures():
    assert set(PUBLISHED) == set(KIND_NAMES)
    assert comparable_with(label_set("cooking", CLASSES, [clip(0, 0)]), "val") is None
    note = comparable_with(replace(VERBS, name="x", facts={"annotations": "lta-verbs"}), "val")
    assert "edit distance at 20 future actions" in note and "no recording is in two splits" in note
    shared = replace(VERBS, clips=(*VERBS.clips, replace(clip(9, 0), split="train")))
    assert "training had frames of the same rooms" in comparable_with(shared, "val")
    assert "no recording is in two splits" in comparable_with(shared, "test")


def test_the_share_of_frames_in_several_clips():
    def window(start, end):
        return slice(min(round(2 * start), 20), min(round(2 * end), 20))

    reader = SimpleNamespace(timeline=lambda uid: SimpleNamespace(k=range(20), window=window))
    spans = [(0.0, 4.0), (2.0, 4.0), (3.0, 5.0), (9.0, 12.0)]
    clips = [replace(clip(i, 0), start_sec=start, end_sec=end) for i, (start, end) in enumerate(spans)]
    assert shared_frames(reader, clips) == 4 / 12
    assert shared_frames(reader, clips[:1]) == 0.0
    assert shared_frames(reader, [replace(clips[0], start_sec=30.0, end_sec=31.0)]) is None


def test_mean_class_accuracy_comes_first_with_a_long_tail():
    labels = np.array([0, 0, 0, 0, 1, 2])
    results = results_for(predictions_for(labels, 3), CLASSES)
    accuracies = {"verb": 0.5, "noun": 0.25, "both": None}
    long = results | {
        "long_tail": True,
        "verb_noun": {"label_sets": ["a", "b"], "num_clips": 5, "teacher": accuracies, "student": accuracies},
        "frames_in_several_clips": 0.5,
        "comparable_with": "compares with X",
    }
    assert find_mismatch(long, SCHEMA) is None
    long, results = EvaluationResults.from_dict(long), EvaluationResults.from_dict(results)
    markup = page.comparison_table(long)
    places = [markup.index(name) for name in ("mean class accuracy", "top-1 accuracy", "verb and noun together")]
    assert places == sorted(places) and "verb, of 5 clips" in markup
    markup = page.comparison_table(results)
    assert markup.index("top-1 accuracy") < markup.index("mean class accuracy") and "verb" not in markup
    lines = comparison_table(long).splitlines()
    assert "chance 33.3 %, majority class 66.7 %" in lines[0]
    assert [line.split("  ")[0] for line in lines[3:9]] == [
        "mean class",
        "top-1",
        "top-5",
        "verb",
        "noun",
        "verb and noun",
    ]
    assert "of 5 clips with both" in lines[8]
    assert (
        "always predicting 'take', the most frequent class of the training clips: top-1 66.7 %, mean class 33.3 %"
        in lines
    )
    assert "50.0 % of the frames are in several of these clips, which may differ in class" in lines
    assert "compares with X" in lines
    assert comparison_table(results).splitlines()[3].startswith("top-1")
