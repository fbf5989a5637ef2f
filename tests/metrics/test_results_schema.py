"""evaluation_results.json as dataclasses: keys, the round trip through JSON, and the schema derived from the fields."""

import json

import numpy as np
import pytest

from embedonce.pipeline.metrics.json_forms import find_mismatch
from embedonce.pipeline.metrics.results_schema import (
    SCHEMA,
    EvaluationResults,
    Latency,
    Majority,
    VerbNoun,
    VerbNounAccuracy,
    as_json,
)
from tests.support.report_data import predictions_for, results_for

ACCURACIES = {"verb": 0.5, "noun": None, "both": None}
VERB_NOUN = {"label_sets": ["v", "n"], "num_clips": 3, "teacher": ACCURACIES, "student": ACCURACIES}


@pytest.fixture
def values() -> dict:
    """JSON values of an evaluation in which every optional part is present."""
    results = results_for(predictions_for(np.array([0, 1, 2, 0]), 3), ("a", "b", "c"))
    return json.loads(json.dumps(results | {"verb_noun": VERB_NOUN}))


def test_results_are_equal_after_a_round_trip_through_json(values):
    results = EvaluationResults.from_dict(values)
    assert results.as_dict() == values and find_mismatch(results.as_dict(), SCHEMA) is None
    assert EvaluationResults.from_dict(json.loads(json.dumps(results.as_dict()))) == results


def test_every_object_becomes_its_dataclass(values):
    results = EvaluationResults.from_dict(values)
    assert isinstance(results.teacher.latency_ms, Latency) and isinstance(results.majority, Majority)
    assert results.verb_noun == VerbNoun(("v", "n"), 3, VerbNounAccuracy(0.5, None, None), results.verb_noun.student)
    assert results.confusion.student[0] == tuple(values["confusion"]["student"][0])
    assert results.per_class[0].class_name == values["per_class"][0]["class"]
    assert EvaluationResults.from_dict(values | {"majority": None, "reference": None}).majority is None


def test_reserved_words_are_keys_of_the_file():
    assert as_json(Majority("a", 0.5, 0.25, "train")) == {
        **{"class": "a", "top1": 0.5, "mean_class_accuracy": 0.25, "from": "train"},
    }


@pytest.mark.parametrize("part", ["teacher", "student", "comparison", "confusion"])
def test_a_missing_or_unknown_key_is_found_in_every_part(values, part):
    name = next(iter(values[part]))
    missing = values | {part: {key: value for key, value in values[part].items() if key != name}}
    assert find_mismatch(missing, SCHEMA) == f"it has no {part}.{name}"
    assert find_mismatch(values | {part: values[part] | {"new": 1}}, SCHEMA) == f"{part}.new is not one of its keys"
