"""Trainings without selection clips, by --no-selection."""

import json
import logging

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.trainer import train
from embedonce.pipeline.training.view_mixing import ViewMixing
from tests.support.tiny_cache import make_tiny_cache

SHAPE = {"frames_per_clip": 2, "student_resolution": 128, "student_size": "tiny", "num_workers": 0}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("cache") / "c")


def parts_of(cache, folder, **options):
    """(training clips, selection clips), as a training has them."""
    reader = open_reader(cache)
    return [data.clips for data in datasets(TrainConfig(cache, folder, **SHAPE | options), reader, reader.label_set())]


@pytest.mark.integration
def test_all_clips_are_trained_on(cache, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "embedonce"):
        trained, selected = parts_of(cache, tmp_path, selection=False)
    usual = parts_of(cache, tmp_path)
    assert not len(selected) and usual[1]
    assert sorted(map(str, trained)) == sorted(map(str, [*usual[0], *usual[1]]))
    assert "with no selection clip" not in caplog.text


@pytest.mark.integration
def test_random_views_are_used_from_the_start(cache, tmp_path):
    mixing = ViewMixing(TrainConfig(cache, tmp_path, selection=False, **SHAPE), 8, 0)
    assert mixing.starts_random and not mixing.waits


@pytest.mark.integration
def test_a_run_chooses_by_its_training_loss_and_says_so(cache, tmp_path, caplog):
    options = SHAPE | {"epochs": 2, "batch_size": 4, "student_pretrained": False, "device": "cpu"}
    with caplog.at_level(logging.INFO, "embedonce"):
        (path,) = train(TrainConfig(cache, tmp_path / "s", selection=False, **options)).best_paths
    epochs = json.loads((path.parent / "train_log.json").read_text())
    assert len(epochs) == 2 and not any("selection_cosine" in entry for entry in epochs)
    assert "the best epoch is chosen by training loss: there are no selection clips" in caplog.text
    assert ", 0 for selection" in caplog.text
