"""The conditions of benchmarks/ablate.py: no two are the same run, and what is compared exists."""

from dataclasses import replace

from benchmarks.ablation_conditions import COMPARED, CONDITIONS, FULL, chosen_runs

NAMES = [condition.name for condition, _ in CONDITIONS]


def test_no_two_conditions_are_the_same_run():
    nameless = [replace(condition, name="") for condition, _ in CONDITIONS]
    assert len(set(NAMES)) == len(NAMES)
    assert not any(condition in nameless[:i] for i, condition in enumerate(nameless))


def test_all_others_are_compared_with_the_first():
    assert {name for pair in COMPARED for name in pair} <= set(NAMES)
    assert {first for first, second in COMPARED if second == FULL.name} == set(NAMES) - {FULL.name}


def test_a_whole_name_means_that_condition_alone():
    assert [(condition.name, seed) for condition, seed in chosen_runs("labels only", 2)] == [
        ("labels only", 0),
        ("labels only", 1),
    ]
    assert {condition.name for condition, _ in chosen_runs("beta=", 3)} == {"beta=0.03", "beta=0.3", "beta=1"}
    assert not chosen_runs("no such condition", 3)
