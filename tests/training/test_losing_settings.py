"""Trainings whose settings are known to lose are warned of, and others are not."""

import logging

import pytest

from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training import training_run
from embedonce.pipeline.training.losing_settings import RULES, PlannedTraining, Rule, warnings
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import small_students
from tests.support.tiny_cache import make_tiny_cache


def planned(random_views: int = 8, starts_random: bool = True, **changes) -> PlannedTraining:
    return PlannedTraining(TrainConfig("c", "o", **{"lr": 0.01} | changes), 500, random_views, starts_random, 4000)


def test_every_rule_that_applies_has_one_sentence_with_its_values():
    rules = (
        Rule(lambda run: run.clips < 1000, "{clips} clips are few for {config.epochs} epochs of {steps} steps"),
        Rule(lambda run: run.random_views > 9, "never"),
        Rule(lambda run: run.config.lr > 0.1, "--lr {config.lr:g} is high"),
    )
    assert warnings(planned(epochs=8), rules) == ["500 clips are few for 8 epochs of 4000 steps"]
    assert warnings(planned(lr=0.5), rules)[1:] == ["--lr 0.5 is high"]
    assert warnings(planned(), ()) == []


def test_fewer_epochs_than_views_are_warned_of():
    (warning,) = warnings(planned(epochs=5))
    assert warning.startswith("--epochs 5 is fewer than the 8 random views:") and "--evaluation-view-share" in warning
    assert warnings(planned(epochs=8)) == [] == warnings(planned(epochs=5, starts_random=False))
    assert warnings(planned(0, epochs=1)) == []


def test_warnings_of_all_rules_can_be_written():
    assert all(rule.warning.format(**vars(planned())) for rule in RULES)


@pytest.mark.integration
def test_a_training_logs_the_warnings_of_the_views_it_uses(tmp_path, caplog, monkeypatch):
    small_students.use(monkeypatch)
    cache = make_tiny_cache(tmp_path / "cache", 6, num_views=2)
    seen = []
    monkeypatch.setattr(training_run, "warnings", lambda run: seen.append(run) or warnings(run))
    shape = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "frames_per_clip": 1}
    how = {"epochs": 1, "batch_size": 3, "num_workers": 0, "device": "cpu", "evaluation_view_share": 0.0}
    with caplog.at_level(logging.WARNING, "embedonce"):
        training.train(TrainConfig(cache, tmp_path / "a", views=1, **shape, **how))
        assert "random views" not in caplog.text
        training.train(TrainConfig(cache, tmp_path / "b", **shape, **how))
    assert "--epochs 1 is fewer than the 2 random views" in caplog.text
    assert [(run.clips, run.random_views, run.steps) for run in seen] == [(9, 1, 3), (9, 2, 3)]
