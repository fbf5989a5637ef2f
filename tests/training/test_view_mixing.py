"""The evaluation crop among random views: by share, and in the first epochs of a run."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.pipeline.checkpoints import training_state
from embedonce.pipeline.clips.loader import Workers, batches
from embedonce.pipeline.clips.sampling import ClipSampling, choose_view
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training import view_mixing
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.view_mixing import ViewMixing, evaluation_epochs, is_memorizing
from tests.support import small_students
from tests.support.tiny_cache import make_tiny_cache

SAMPLING = ClipSampling(2, 32, random=True, seed=3)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6, num_views=2)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 2}
    values |= {"batch_size": 3, "frames_per_clip": 1, "num_workers": 0, "device": "cpu"}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


def views(epochs: int, clips: int, **changes) -> np.ndarray:
    """(epochs, clips) the chosen views, of nine."""
    sampling = dataclasses.replace(SAMPLING, **changes)
    return np.array([[choose_view(9, sampling, epoch, i) for i in range(clips)] for epoch in range(epochs)])


def stored_view(data, index: int) -> int:
    """The view whose stored embedding an item has; clips have one frame."""
    item, timeline = data[index], data.reader.timeline(data.clips[index].video_uid)
    at = int(abs(timeline.t_sec - float(item["t_rel_sec"][0]) - data.clips[index].start_sec).argmin())
    shard, row = data.reader.frames(timeline.unit[at]), int(timeline.row[at])
    stored = [shard.embeddings(row, row + 1, view)[0] for view in range(3)]
    return int(np.argmax([embedding @ item["embeddings"][0].numpy() for embedding in stored]))


def test_the_evaluation_crop_takes_its_share_of_the_draws():
    usual, mixed = views(200, 40), views(200, 40, evaluation_share=0.3)
    assert (usual > 0).all()
    assert (mixed == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert (mixed == usual)[mixed > 0].all()  # it takes the place of that epoch's view; the others stay
    assert ((mixed == 0).mean(0) > 0.15).all() and ((mixed == 0).mean(1) > 0.02).all()  # in all clips and epochs
    assert (views(8, 40, evaluation_share=1.0) == 0).all()


def test_draws_depend_on_seed_epoch_and_clip_alone():
    chosen = views(30, 30, evaluation_share=0.5)
    np.testing.assert_array_equal(chosen, views(30, 30, evaluation_share=0.5))
    assert ((chosen == 0) != (views(30, 30, evaluation_share=0.5, seed=4) == 0)).any()
    assert (views(30, 30, evaluation_share=0.25) == 0)[chosen > 0].sum() == 0  # a larger share adds to a smaller one


def test_the_first_epochs_use_the_evaluation_crop_alone():
    chosen, usual = views(12, 40, evaluation_epochs=4), views(12, 40)
    assert (chosen[:4] == 0).all()
    np.testing.assert_array_equal(chosen[4:], usual[4:])
    assert all(sorted(column) == list(range(1, 9)) for column in chosen[4:].T)  # each random view once in K epochs
    both = views(200, 40, evaluation_epochs=100, evaluation_share=0.3)
    assert (both[:100] == 0).all() and (both[100:] == 0).mean() == pytest.approx(0.3, abs=0.03)


def test_other_views_than_those_of_training_are_left_alone():
    mixing = {"evaluation_epochs": 3, "evaluation_share": 1.0}
    still = dataclasses.replace(SAMPLING, random=False, view=5, **mixing)
    assert choose_view(9, still, 0, 0) == 5


def test_training_clips_follow_the_options_and_selection_clips_do_not(tiny, tmp_path):
    reader = open_reader(tiny)

    def of_epoch(epoch: int, part: int = 0, **options) -> set[int]:
        data = datasets(settings(tiny, tmp_path, epochs=10, **options), reader, reader.label_set())[part]
        data.epoch = epoch
        return {stored_view(data, i) for i in range(len(data))}

    assert [of_epoch(epoch, evaluation_view_warmup=0.3) for epoch in (0, 2, 3, 9)] == [{0}, {0}, {1, 2}, {1, 2}]
    assert of_epoch(9, evaluation_view_share=1.0) == {0}
    assert of_epoch(9, evaluation_view_share=0.5) == {0, 1, 2}
    assert of_epoch(9, 1) == {0} == of_epoch(0, 1, evaluation_view_share=0.5)


@pytest.mark.parametrize("option", ["evaluation_view_share", "evaluation_view_warmup"])
def test_values_outside_of_0_to_1_are_refused(tiny, tmp_path, option):
    flag = "--" + option.replace("_", "-")
    for value in (-0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"{flag} must be from 0 to 1, got"):
            settings(tiny, tmp_path, **{option: value})
    settings(tiny, tmp_path, **{option: 1.0})


def test_the_log_says_how_views_are_mixed(tiny, tmp_path):
    def line(stored: int = 8, **options) -> str | None:
        config = settings(tiny, tmp_path, epochs=options.pop("epochs", 10), **options)
        return ViewMixing(config, stored, num_selection_clips=3).describe()

    share, first = {"evaluation_view_share": 0.25}, {"evaluation_view_warmup": 0.3, "evaluation_view_share": 0.0}
    assert line(0) is None and line(views=0) is None and line(evaluation_view_share=0.0) is None
    assert line(epochs=9) == "views: the evaluation crop alone, as 9 epochs are too few for random ones"
    assert line() == "views: the evaluation crop alone until clips are memorized, then 8 random views"
    assert line(evaluation_view_warmup=0.3) == (
        "views: the evaluation crop alone for at least 3 of 10 epochs and until clips are memorized, then 8 random "
        "views"
    )
    assert line(**share) == "views: the evaluation crop in place of 25% of 8 random views"
    assert line(**first) == "views: the evaluation crop alone in the first 3 of 10 epochs"
    assert line(**first | share, views=4) == (
        "views: the evaluation crop alone in the first 3 of 10 epochs, then the evaluation crop in place of 25% of 4 "
        "random views"
    )
    assert (
        line(evaluation_view_share=0.0, evaluation_view_warmup=0.04) is None
        and evaluation_epochs(settings(tiny, tmp_path)) == 0
    )
    assert line(0, **share) == (
        "without effect: --evaluation-view-share 0.25, as all training uses the evaluation crop anyway (the cache has "
        "no random views)"
    )
    assert "--evaluation-view-share 0.25 and --evaluation-view-warmup 0.3, as" in str(line(**first | share, views=0))


@pytest.mark.parametrize(
    ("options", "clips", "lacking"),
    [({}, 0, "selection clips"), ({"alpha": 0.0}, 3, "the feature term")],
)
def test_the_log_says_why_a_run_does_not_wait(tiny, tmp_path, options, clips, lacking):
    described = ViewMixing(settings(tiny, tmp_path, epochs=10, **options), 8, clips).describe()
    assert described == (
        f"views: 8 random views from the start, because without {lacking} nothing shows when they are needed; if clips "
        "look alike, a short run may learn more with --views 0"
    )
    chosen = settings(tiny, tmp_path, epochs=10, evaluation_view_share=0.0, **options)
    assert ViewMixing(chosen, 8, clips).describe() is None
    assert ViewMixing(settings(tiny, tmp_path, epochs=10, views=0, **options), 8, clips).describe() is None


@pytest.mark.integration
def test_options_without_effect_are_logged_and_change_nothing(tiny, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "embedonce"):
        training.train(settings(tiny, tmp_path / "a", views=0, evaluation_view_share=0.5, epochs=1))
    assert "without effect: --evaluation-view-share 0.5" in caplog.text and "(--views 0)" in caplog.text
    training.train(settings(tiny, tmp_path / "b", views=0, epochs=1))
    weights = [training_state._read(tmp_path / name / "training_state.pt").students["tiny"]["student"] for name in "ab"]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[1])


@pytest.mark.integration
def test_a_run_is_not_continued_with_another_mixture(tiny, tmp_path):
    training.train(settings(tiny, tmp_path, epochs=1))
    for option in ("evaluation_view_share", "evaluation_view_warmup"):
        with pytest.raises(InputError, match=f"holds another training run .*{option}: (None|0.0) -> 0"):
            training.train(settings(tiny, tmp_path, epochs=1, **{option: 0.5}))


def log_of(distances: list[tuple[float, float]]) -> list[dict]:
    """Logs of epochs with these distances of training and of selection clips."""
    return [{"feature": training, "selection_cosine": 1 - selection / 2} for training, selection in distances]


@pytest.mark.parametrize(
    "distances, expected",
    [
        ([], False),
        ([(1.0, 1.5)], False),  # a single epoch
        ([(1.0, 1.2), (0.8, 1.0), (0.6, 0.7)], False),
        ([(1.0, 1.5), (0.8, 1.0), (0.6, 0.9)], False),  # not in a row
        ([(1.0, 1.2), (0.8, 1.2), (0.6, 0.9)], True),
        ([(0.8, 1.2), (0.6, 0.9), (0.6, 0.6)], True),  # once begun, it stays
    ],
)
def test_clips_are_memorized_if_others_are_much_farther_in_two_epochs_in_a_row(distances, expected):
    assert is_memorizing(log_of(distances), {}) == expected


def test_runs_wait_where_there_is_something_to_compare(tiny, tmp_path):
    config = settings(tiny, tmp_path)
    assert ViewMixing(config, 2, 3).waits and not ViewMixing(config, 2, 3).starts_random
    assert not ViewMixing(config, 0, 3).waits and not ViewMixing(config, 2, 0).waits
    for changes in ({"alpha": 0.0}, {"evaluation_view_share": 0.0}):
        mixing = ViewMixing(dataclasses.replace(config, **changes), 2, 3)
        assert not mixing.waits and mixing.draws_random_views([[]]) and mixing.starts_random


@pytest.mark.parametrize("epochs, latest", [(1, 0), (8, 0), (9, 1), (10, 2), (16, 8), (32, 24), (41, 30)])
def test_random_views_begin_only_if_enough_epochs_are_left(tiny, tmp_path, epochs, latest):
    mixing = ViewMixing(settings(tiny, tmp_path, epochs=epochs), 8, 3)
    known, memorized = [(1.0, 1.0)] * max(0, latest - 2), [(0.5, 1.0)] * 2
    late = log_of([(1.0, 1.0)] * max(0, latest - 1) + memorized)
    assert mixing.draws_random_views([log_of(known + memorized)]) == (latest >= 2)
    assert not mixing.draws_random_views([late])
    assert "too few epochs are left for random views" in str(mixing.news([late], len(late) + 1))


def test_several_teachers_are_weighed_as_in_the_feature_term(tiny, tmp_path):
    mixing = ViewMixing(settings(tiny, tmp_path, epochs=40), 8, 3, {"second": 0.5})
    same = {"feature": 0.35, "selection_cosine": 0.7, "selection_cosine_second": 0.95}
    assert not mixing.draws_random_views([[same, same]])
    farther = same | {"selection_cosine_second": 0.8}
    assert mixing.draws_random_views([[farther, farther]])


def test_random_views_begin_after_the_warm_up_at_the_earliest(tiny, tmp_path):
    memorized = log_of([(0.5, 1.0)] * 2)
    config = settings(tiny, tmp_path, epochs=40, evaluation_view_warmup=0.5)
    assert "random views from epoch 21 on" in str(ViewMixing(config, 8, 3).news([memorized], 3))
    for changes, expected in (({}, True), ({"evaluation_view_warmup": 1.0}, False), ({"epochs": 9}, False)):
        assert ViewMixing(dataclasses.replace(config, **changes), 8, 3).may_draw_random_views == expected
    assert not ViewMixing(dataclasses.replace(config, evaluation_view_share=1.0), 8, 3).may_draw_random_views


@pytest.mark.integration
def test_random_views_begin_when_clips_are_memorized_also_in_a_resumed_run(tiny, tmp_path, monkeypatch, caplog):
    drawn, stopped, real = [], [], training.run_epoch

    def recorded(run):
        if run.epoch == 3 and not stopped:
            stopped.append(run.epoch)
            raise KeyboardInterrupt
        real(run)
        drawn.append(run.train_set.epoch_state)

    monkeypatch.setattr(training, "run_epoch", recorded)
    monkeypatch.setattr(view_mixing, "MEMORIZED", 0.0)  # at once: after two epochs
    monkeypatch.setattr(view_mixing, "FEWEST_EPOCHS", 3)
    config = settings(tiny, tmp_path, epochs=5)
    with caplog.at_level(logging.INFO, "embedonce"):
        with pytest.raises(KeyboardInterrupt):
            training.train(config)
        training.train(config)
    assert drawn == [(0, False), (1, False), (2, True), (3, True), (4, True)]
    assert caplog.text.count("training clips are memorized: random views from epoch 3 on") == 1


@pytest.mark.integration
@pytest.mark.parametrize(
    "options, expected",
    [
        ({"views": 0}, "no random views are used, which would keep a student from that"),
        ({"evaluation_view_share": 1.0}, "no random views are used"),
        ({}, "too few epochs are left for random views"),
        ({"evaluation_view_share": 0.0}, "memorized although random views are used"),
        ({"alpha": 0.0}, None),
    ],
)
def test_a_run_that_memorizes_says_what_would_help(tiny, tmp_path, monkeypatch, caplog, options, expected):
    monkeypatch.setattr(view_mixing, "MEMORIZED", 0.0)
    with caplog.at_level(logging.INFO, "embedonce"):
        training.train(settings(tiny, tmp_path, epochs=3, **options))
    assert (str(expected) in caplog.text) == (expected is not None)
    assert ("are memorized" in caplog.text) == (expected is not None)


def test_a_cache_without_random_views_is_named_as_the_cause(tiny, tmp_path):
    mixing, memorized = ViewMixing(settings(tiny, tmp_path), 0, 3), log_of([(0.5, 1.0), (0.5, 1.0)])
    assert "extract-teacher --views 8 into a new cache" in str(mixing.news([memorized], 3))
    assert mixing.news([memorized[:1]], 2) is None and mixing.news([[*memorized, memorized[0]]], 4) is None


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loader_processes_draw_as_the_run_says(tiny, tmp_path, num_workers):
    reader = open_reader(tiny)
    data = datasets(settings(tiny, tmp_path), reader, reader.label_set())[0]
    alone = {}
    for state in ((0, True), (0, False)):
        data.epoch_state = state
        alone[state] = torch.stack([data[i]["embeddings"] for i in range(len(data))])
    assert not alone[0, True].equal(alone[0, False])
    with Workers([data], num_workers) as workers:
        for state in ((0, True), (0, False), (0, True)):
            data.epoch_state = state
            found = torch.cat([batch["embeddings"] for batch in batches(data, [list(range(len(data)))], workers)])
            assert found.equal(alone[state])
