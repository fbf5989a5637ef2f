"""Every setting of a training run takes effect: seen in weights, checkpoints, logs and files."""

import copy
import itertools
import json
import math
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from embedonce.cache.labels import LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.models import backbones
from embedonce.models.losses import registry
from embedonce.models.losses.task import TASK
from embedonce.models.losses.term import WeightOption
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import training_state
from embedonce.pipeline.clips import loader as loading
from embedonce.pipeline.clips.inference import Predictions, predict
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.training import epoch_loop, student_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.recipe import FIELDS_THAT_MAY_DIFFER, datasets, run_fields
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import small_students
from tests.support.small_students import (
    are_equal,
    best_of,
    build_small,
    build_without_dropout,
    settings,
    state_of,
    weights_of,
)
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """20 training clips or so, and some for selection; two stored views."""
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 10, num_views=2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture
def seen(monkeypatch) -> list[dict]:
    """The batches that training is given, in order."""
    real, batches = epoch_loop.batches, []

    def recorded(*arguments):
        for batch in real(*arguments):
            batches.append({name: tensor.clone() for name, tensor in batch.items()})
            yield batch

    monkeypatch.setattr(epoch_loop, "batches", recorded)
    return batches


def log_of(folder) -> list[dict]:
    return json.loads((folder / "train_log.json").read_text())


# -- a whole run, recomputed here ------------------------------------------------------------------------------------

NO_GRADIENT = "attention.qkv.bias"  # of keys: rounding alone, which AdamW makes as large as any other step
RECIPE = {"optimizer": "adamw", "lr": 0.05, "weight_decay": 0.4, "alpha": 0.7, "beta": 0.3, "gamma": 1.3}
RECIPE |= {"temperature": 2.5, "seed": 3, "projection": "mlp"}


def terms_by_hand(student, batch: dict, temperature: float) -> dict[str, torch.Tensor]:
    """The three terms where every clip has a label and all of its frames."""
    output = student(batch["frames"], batch["t_rel_sec"], batch["mask"])
    teacher = functional.normalize(batch["embeddings"], dim=-1)
    clip = functional.normalize(teacher.mean(1), dim=-1)

    def distance(a, b):
        return (a - b).square().sum(-1).mean()

    def divergence(ours, theirs):
        ours, theirs = (functional.log_softmax(x / temperature, -1) for x in (ours, theirs))
        return (theirs.exp() * (theirs - ours)).sum(-1).mean() * temperature**2

    return {
        "feature": (distance(output.frame_embeddings, teacher) + distance(output.clip_embedding, clip)) / 2,
        "response": (
            divergence(output.frame_logits, batch["logits"]) + divergence(output.clip_logits, batch["logits"].mean(1))
        )
        / 2,
        "task": functional.cross_entropy(output.clip_logits, batch["label"]),
    }


class ByHand:
    """AdamW with clipped gradients, warm-up and cosine, and an average of the weights; all written out."""

    def __init__(self, student, steps: int, ema: float):
        self.student, self.average, self.steps, self.ema = student, copy.deepcopy(student), steps, ema
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in student.parameters()]
        self.done = 0

    @property
    def rate(self) -> float:
        warmup = max(1, round(self.steps * 0.05))
        if self.done < warmup:
            return RECIPE["lr"] * (self.done + 1) / warmup
        return RECIPE["lr"] * 0.5 * (1 + math.cos(math.pi * (self.done - warmup) / (self.steps - warmup)))

    @torch.no_grad()
    def step(self, gradients: list[torch.Tensor]) -> None:
        length = torch.sqrt(sum(g.square().sum() for g in gradients))
        gradients, rate = [g * min(1.0, 1.0 / (length + 1e-6)) for g in gradients], self.rate
        self.done += 1
        for parameter, gradient, (first, second) in zip(
            self.student.parameters(), gradients, self.moments, strict=True
        ):
            if parameter.ndim > 1:
                parameter.mul_(1 - rate * RECIPE["weight_decay"])
            first.mul_(0.9).add_(0.1 * gradient)
            second.mul_(0.999).add_(0.001 * gradient.square())
            root = (second / (1 - 0.999**self.done)).sqrt() + 1e-8
            parameter.sub_(rate * first / (1 - 0.9**self.done) / root)
        decay = min(self.ema, self.done / (9 + self.done))
        for mine, theirs in zip(self.average.parameters(), self.student.parameters(), strict=True):
            mine.copy_(decay * mine + (1 - decay) * theirs)


def learn_by_hand(by_hand: ByHand, batches: list[dict]) -> Counter:
    """One step from these batches, weighed by clips; the sums over clips of the terms before it."""
    clips, sums = sum(len(batch["index"]) for batch in batches), Counter()
    parameters = [*by_hand.student.parameters()]
    gradients = [torch.zeros_like(p) for p in parameters]
    for batch in batches:
        terms, count = terms_by_hand(by_hand.student, batch, RECIPE["temperature"]), len(batch["index"])
        weights = (("alpha", "feature"), ("beta", "response"), ("gamma", "task"))
        terms["total"] = sum(RECIPE[field] * terms[term] for field, term in weights)
        for gradient, part in zip(gradients, torch.autograd.grad(terms["total"], parameters), strict=True):
            gradient += part * count / clips
        sums.update({name: value.item() * count for name, value in terms.items()})
    by_hand.step(gradients)
    return sums


@pytest.mark.numeric
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.integration
def test_a_run_matches_a_reference_implementation(tiny, tmp_path, monkeypatch, seen, accumulate):
    """Every clip has a label and all of its frames, so that all ways to weigh them are the same."""
    made = []

    def build(config, pretrained):
        made.append(build_without_dropout(config, pretrained))
        return copy.deepcopy(made[-1])

    small_students.use(monkeypatch, build)
    training.train(settings(tiny, tmp_path, **RECIPE, accumulate_steps=accumulate, ema=0.3))
    epochs = [grouped(part, accumulate) for part in grouped(seen, len(seen) // 2)]
    by_hand = ByHand(made[0].train(), sum(map(len, epochs)), ema=0.3)
    for groups, entry in zip(epochs, log_of(tmp_path), strict=True):
        sums = sum((learn_by_hand(by_hand, group) for group in groups), Counter())
        clips = sum(len(batch["index"]) for group in groups for batch in group)
        expected = {name: value / clips for name, value in sums.items()}
        assert {name: entry[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    average = state_of(tmp_path)["students"]["tiny"]["average"]["weights"]
    for found, student in ((weights_of(tmp_path), by_hand.student), (average, by_hand.average)):
        for name, value in student.named_parameters():
            if name != NO_GRADIENT:
                torch.testing.assert_close(found[name], value.detach(), rtol=1e-3, atol=2e-4)
    statistics = "backbone.layers.3.running_mean"
    torch.testing.assert_close(weights_of(tmp_path)[statistics], by_hand.student.state_dict()[statistics])
    torch.testing.assert_close(average[statistics], by_hand.student.state_dict()[statistics])


def grouped(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def reader_and_labels(root):
    reader = open_reader(root)
    return reader, reader.label_set()


# -- each option has its effect ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def usual(tiny, tmp_path_factory):
    """A run with an average of weights, and its folder; the same twice."""
    folders = [tmp_path_factory.mktemp("usual") / str(n) for n in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        small_students.use(patch)
        for folder in folders:
            training.train(settings(tiny, folder, ema=0.5, lr=0.01))
    assert are_equal(weights_of(folders[0]), weights_of(folders[1]))
    return folders[0]


CHANGES = {
    "lr": 0.02,
    "weight_decay": 0.5,
    "alpha": 0.1,
    "beta": 1.0,
    "gamma": 2.0,
    "temperature": 1.0,
    "batch_size": 3,
    "accumulate_steps": 2,
    "epochs": 3,
    "frames_per_clip": 3,
    "views": 0,
    "jitter": 0.5,
    "time_shift": 0.4,
    "seed": 1,
    "student_resolution": 160,
}


@pytest.mark.parametrize("option", CHANGES)
@pytest.mark.integration
def test_an_option_changes_the_weights(tiny, usual, tmp_path, option):
    training.train(settings(tiny, tmp_path, **{"ema": 0.5, "lr": 0.01, option: CHANGES[option]}))
    assert not are_equal(weights_of(tmp_path), weights_of(usual))


@pytest.mark.integration
def test_the_ema_decay_changes_only_the_average(tiny, usual, tmp_path):
    training.train(settings(tiny, tmp_path, ema=0.1, lr=0.01))
    assert are_equal(weights_of(tmp_path), weights_of(usual))
    averages = [state_of(folder)["students"]["tiny"]["average"]["weights"] for folder in (tmp_path, usual)]
    assert not are_equal(*averages)


def test_the_evaluated_weights_are_the_ones_saved(tiny, usual):
    """The saved student's scores on the selection clips are the logged ones, and it is the moving average."""
    content = best_of(usual)
    _, selection = datasets(settings(tiny, usual), *reader_and_labels(tiny))
    student = build_small(student_config("tiny", 16, 3, 128), False)
    student.load_state_dict(content["model"])
    found = predict(student, selection, 4, 0, torch.device("cpu"))
    assert student.training
    predict(student.eval(), selection, 4, 0, torch.device("cpu"))
    assert not student.training  # either is left as it was
    assert found.cosine == pytest.approx(content["selection"]["selection_cosine"], abs=1e-6)
    assert found.top1 == pytest.approx(content["selection"]["selection_top1"])
    raw = weights_of(usual)
    assert not are_equal(content["model"], {name: raw[name] for name in raw if "running" not in name})
    entry = log_of(usual)[content["epoch"] - 1]
    assert content["selection"]["selection_cosine"] == entry["selection_cosine"]


def test_the_saved_student_is_the_moving_average(tiny, tmp_path):
    training.train(settings(tiny, tmp_path, ema=0.9, lr=0.01, epochs=1))
    average = state_of(tmp_path)["students"]["tiny"]["average"]["weights"]
    assert are_equal(best_of(tmp_path)["model"], average)


@pytest.mark.integration
def test_the_seed_determines_weights_order_and_frames(tiny, tmp_path, seen):
    """Each by itself: with hardly any learning, only the first weights differ."""
    starts, orders, times = [], [], []
    for seed in (0, 1):
        seen.clear()
        training.train(settings(tiny, tmp_path / str(seed), seed=seed, lr=1e-12, epochs=1))
        starts.append(weights_of(tmp_path / str(seed))["backbone.layers.2.weight"])
        orders.append([int(i) for batch in seen for i in batch["index"]])
        drawn = {int(i): t.tolist() for batch in seen for i, t in zip(batch["index"], batch["t_rel_sec"], strict=True)}
        times.append([drawn[index] for index in sorted(drawn)])
    assert not torch.allclose(*starts, atol=1e-3)
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]
    assert times[0] != times[1]


@pytest.mark.integration
def test_the_seed_determines_views_and_jitter(tiny, tmp_path):
    def items(**changes):
        data, _ = datasets(settings(tiny, tmp_path, frames_per_clip=5, **changes), *reader_and_labels(tiny))
        return [data[index] for index in range(len(data))]

    views = [[item["embeddings"].tolist() for item in items(seed=seed)] for seed in (0, 1)]
    assert views[0] != views[1]  # all five frames of each clip, so that only the view is drawn
    still, jittered, other = (
        items(views=0, **c) for c in ({"jitter": 0.0}, {"jitter": 0.4}, {"jitter": 0.4, "seed": 1})
    )
    for one, two in itertools.combinations((still, jittered, other), 2):
        assert any((a["frames"] != b["frames"]).any() for a, b in zip(one, two, strict=True))
    weaker = items(views=0, jitter=0.05)
    shifts = [
        np.mean(
            [float((a["frames"].float() - b["frames"].float()).abs().mean()) for a, b in zip(still, x, strict=True)]
        )
        for x in (weaker, jittered)
    ]
    assert 0 < shifts[0] < shifts[1]


@pytest.mark.integration
def test_every_epoch_resamples(tiny, tmp_path, seen):
    training.train(settings(tiny, tmp_path))
    half = len(seen) // 2
    epochs = [
        {int(i): t.tolist() for batch in part for i, t in zip(batch["index"], batch["t_rel_sec"], strict=True)}
        for part in (seen[:half], seen[half:])
    ]
    assert epochs[0].keys() == epochs[1].keys() and epochs[0] != epochs[1]
    orders = [[int(i) for batch in part for i in batch["index"]] for part in (seen[:half], seen[half:])]
    assert orders[0] != orders[1]


def test_frames_resolution_and_batch_size_follow_the_options(tiny, tmp_path, seen):
    training.train(settings(tiny, tmp_path, frames_per_clip=3, student_resolution=160, batch_size=5, epochs=1))
    assert seen[0]["frames"].shape == (5, 3, 3, 160, 160)
    content = best_of(tmp_path)
    assert content["frames_per_clip"] == 3 and content["student"]["resolution"] == 160


# -- which clips -------------------------------------------------------------------------------------------------------


def test_training_and_selection_share_no_recording_and_leave_held_out_clips_alone(tiny, tmp_path):
    reader, labels = reader_and_labels(tiny)
    train, selection = datasets(settings(tiny, tmp_path), reader, labels)
    assert len(train) and len(selection)
    assert {clip.split for clip in (*train.clips, *selection.clips)} == {"train"}
    assert len(train) + len(selection) == sum(clip.split == "train" for clip in labels.clips)
    recordings = [{recording_of(clip.video_uid) for clip in data.clips} for data in (train, selection)]
    assert not recordings[0] & recordings[1]


@pytest.mark.integration
def test_selection_clips_are_the_same_every_epoch(tiny, tmp_path, monkeypatch):
    """The same frames in every epoch, of the evaluation crop, in the colors that are stored."""
    real, evaluated = epoch_loop.predict, []

    def watched(student, dataset, *rest):
        evaluated.append([dataset[index] for index in range(len(dataset))])
        return real(student, dataset, *rest)

    monkeypatch.setattr(epoch_loop, "predict", watched)
    training.train(settings(tiny, tmp_path, jitter=0.5, epochs=3))
    assert len(evaluated) == 3
    _, selection = datasets(settings(tiny, tmp_path), *reader_and_labels(tiny))
    reader = open_reader(tiny)
    for items in evaluated:
        for item, other, clip in zip(items, evaluated[0], selection.clips, strict=True):
            assert all(torch.equal(value, other[name]) for name, value in item.items())
            timeline = reader.timeline(clip.video_uid)
            i = int(np.flatnonzero(np.isclose(timeline.t_sec, float(item["t_rel_sec"][0]) + clip.start_sec))[0])
            stored = reader.frames(timeline.unit[i]).embeddings(int(timeline.row[i]), int(timeline.row[i]) + 1, 0)[0]
            np.testing.assert_array_equal(item["embeddings"][0].numpy(), stored.astype(np.float32))


def test_label_set_selects_the_label_set(tiny, tmp_path):
    root = make_tiny_cache(tmp_path / "c", 6)
    writer = open_writer(root, open_reader(root).identity)
    clips = [replace(clip, label=min(clip.label, 1)) for clip in open_reader(root).label_set("tiny").clips]
    writer.create_label_set(LabelSet("two", "none", ("a", "b"), (), None, {}), None)
    writer.publish_clips("two", 0, clips)
    writer.close()
    training.train(settings(root, tmp_path / "out", label_set="two", beta=0.0, epochs=1))
    content = best_of(tmp_path / "out")
    assert (content["label_set"], content["classes"]) == ("two", ["a", "b"])
    assert content["student"]["num_classes"] == 2 and content["student"]["embed_dim"] == 16


# -- modes, best epoch, patience ---------------------------------------------------------------------------------------


@pytest.mark.integration
def test_students_train_in_train_mode_and_are_evaluated_in_eval_mode(tiny, tmp_path, monkeypatch):
    modes = []

    def build(config, pretrained):
        student = build_small(config, pretrained)
        student.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
        return student.eval()

    small_students.use(monkeypatch, build)
    training.train(settings(tiny, tmp_path))
    assert [mode for mode, _ in itertools.groupby(modes)] == [True, False, True, False]


def scripted(monkeypatch, top1s: list[float], cosines: list[float]) -> None:
    """Epochs get these scores in turn."""
    scores = iter(zip(top1s, cosines, strict=True))

    def scripted(student, dataset, *rest):
        top1, cosine = next(scores)
        count, vectors = 100, np.array([[1.0, 0.0]] * 100, np.float32)
        embeddings = np.array([[cosine, math.sqrt(1 - cosine**2)]] * count, np.float32)
        labels = np.arange(count) >= round(top1 * count)
        return Predictions(
            np.array([[1.0, 0.0]] * count), embeddings, np.zeros((count, 2)), vectors, labels.astype(np.int64)
        )

    monkeypatch.setattr(epoch_loop, "predict", scripted)


@pytest.mark.integration
def test_the_epoch_with_the_best_score_is_kept(tiny, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.7, 0.7, 0.6], [0.9, 0.2, 0.3, 0.95])
    training.train(settings(tiny, tmp_path / "task", epochs=4))
    assert best_of(tmp_path / "task")["epoch"] == 3  # top-1 first, cosine where it is equal
    assert best_of(tmp_path / "task")["selection"]["selection_top1"] == pytest.approx(0.7)
    scripted(monkeypatch, [0.5, 0.7, 0.7, 0.6], [0.9, 0.2, 0.95, 0.3])
    training.train(settings(tiny, tmp_path / "feature", epochs=4, gamma=0.0))
    assert best_of(tmp_path / "feature")["epoch"] == 3
    scripted(monkeypatch, [0.5, 0.7, 0.7, 0.6], [0.9, 0.2, 0.3, 0.95])
    training.train(settings(tiny, tmp_path / "cosine", epochs=4, gamma=0.0))
    assert best_of(tmp_path / "cosine")["epoch"] == 4  # top-1 does not count where no label was trained on


class StopError(Exception):
    pass


def stopped_after(monkeypatch, saves: int) -> None:
    real, count = training_state.save_state, itertools.count(1)

    def save(*arguments):
        real(*arguments)
        if next(count) == saves:
            raise StopError

    monkeypatch.setattr(training_state, "save_state", save)


@pytest.mark.parametrize("stop", [None, 2, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 3))])
@pytest.mark.integration
def test_patience_counts_epochs_since_the_best_across_resumes(tiny, tmp_path, monkeypatch, stop):
    """Best in epoch 2, so with patience 3 epoch 5 is the last, wherever the run was stopped before."""
    top1s = [0.5, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    config = settings(tiny, tmp_path, epochs=8, patience=3)
    scripted(monkeypatch, top1s, [0.5] * 8)
    if stop:
        with monkeypatch.context() as patch:
            stopped_after(patch, stop)
            with pytest.raises(StopError):
                training.train(config)
    training.train(config)
    assert [entry["epoch"] for entry in log_of(tmp_path)] == [1, 2, 3, 4, 5]
    assert best_of(tmp_path)["epoch"] == 2
    assert training.train(config).summary.startswith("already trained")
    assert state_of(tmp_path)["stopped_early"] is True and len(log_of(tmp_path)) == 5


@pytest.mark.integration
def test_without_patience_every_epoch_runs(tiny, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.7, 0.6, 0.6, 0.6, 0.6], [0.5] * 5)
    training.train(settings(tiny, tmp_path, epochs=5))
    assert len(log_of(tmp_path)) == 5


@pytest.mark.numeric
@pytest.mark.parametrize("saves", [3, *(pytest.param(saves, marks=pytest.mark.slow) for saves in (1, 4))])
@pytest.mark.integration
def test_a_resumed_run_has_the_weights_average_and_log_of_an_unstopped_run(tiny, tmp_path, monkeypatch, saves):
    options = {"ema": 0.8, "lr": 0.02, "checkpoint_steps": 2, "jitter": 0.3, "epochs": 3}
    training.train(settings(tiny, tmp_path / "whole", **options))
    with monkeypatch.context() as patch:
        stopped_after(patch, saves)
        with pytest.raises(StopError):
            training.train(settings(tiny, tmp_path / "cut", **options))
    training.train(settings(tiny, tmp_path / "cut", **options))
    whole, cut = (state_of(tmp_path / name)["students"]["tiny"] for name in ("whole", "cut"))
    assert are_equal(cut["student"], whole["student"])
    assert are_equal(cut["average"]["weights"], whole["average"]["weights"])
    assert cut["average"]["updates"] == whole["average"]["updates"] and cut["best"] == whole["best"]
    logs = [
        [{k: v for k, v in e.items() if "seconds" not in k} for e in log_of(tmp_path / n)] for n in ("whole", "cut")
    ]
    assert logs[0] == logs[1] and len(logs[0]) == 3
    assert are_equal(best_of(tmp_path / "cut")["model"], best_of(tmp_path / "whole")["model"])


# -- the machine -------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_states_are_saved_every_checkpoint_steps_batches(tiny, tmp_path, monkeypatch):
    real, positions = training_state.save_state, []

    def save(folder, state):
        positions.append(state.position)
        real(folder, state)

    monkeypatch.setattr(training_state, "save_state", save)
    training.train(settings(tiny, tmp_path / "a", epochs=1, batch_size=2, checkpoint_steps=3))
    within, end = [position for position in positions if position], positions[-1]
    assert within and all(position % 3 == 0 for position in within) and within[0] == 3 and end == 0
    positions.clear()
    training.train(settings(tiny, tmp_path / "b", epochs=1, batch_size=2))
    assert positions == [0]


@pytest.mark.integration
def test_workers_compilation_and_precision_follow_the_options(tiny, tmp_path, monkeypatch):
    workers, compiled, fast, real = [], [], [], student_run.autocast
    loader = loading.DataLoader
    monkeypatch.setattr(loading, "DataLoader", lambda *a, **k: workers.append(k["num_workers"]) or loader(*a, **k))
    monkeypatch.setattr(torch, "compile", lambda model, *a, **k: compiled.append(model) or model)
    monkeypatch.setattr(student_run, "autocast", lambda device: fast.append(device) or real(device))
    training.train(settings(tiny, tmp_path / "a", epochs=1, amp=False))
    assert (set(workers), compiled, fast) == ({0}, [], [])
    workers.clear()
    training.train(settings(tiny, tmp_path / "b", epochs=1, num_workers=1, compile=True))
    assert set(workers) == {1} and len(compiled) == 1 and {device.type for device in fast} == {"cpu"}


@pytest.mark.integration
def test_pretrained_weights_follow_the_option(tiny, tmp_path, monkeypatch):
    requested = []
    small_students.use(
        monkeypatch, lambda config, pretrained: requested.append(pretrained) or build_small(config, False)
    )
    for number, (size, choice) in enumerate((("xxs", None), ("tiny", None), ("xxs", False), ("xxs", True))):
        training.train(settings(tiny, tmp_path / str(number), student_size=size, student_pretrained=choice, epochs=1))
    assert requested == [True, False, False, True]


def test_pretrained_reaches_timm(monkeypatch):
    requested = []

    class Timm:
        is_model = staticmethod(lambda name: True)
        is_model_pretrained = staticmethod(lambda name: True)

        @staticmethod
        def create_model(name, **settings):
            requested.append((name, settings["pretrained"]))
            return small_students.SmallBackbone()

    monkeypatch.setattr(backbones, "import_timm", lambda: Timm)
    for size, is_pretrained in (("xxs", True), ("s", False)):
        build_student(student_config(size, 16, 3, 128), is_pretrained)
    assert requested == [("mobilevit_xxs", True), ("mobilevit_s", False)]


@pytest.mark.integration
def test_projection_selects_the_projection(tiny, tmp_path):
    for kind, layers in (("mlp", 4), ("linear", 0), ("linear-norm", 2)):
        training.train(settings(tiny, tmp_path / kind, projection=kind, epochs=1))
        names = {name.split(".")[1] for name in best_of(tmp_path / kind)["model"] if name.startswith("projection")}
        assert best_of(tmp_path / kind)["student"]["projection"] == kind
        assert len(names) == {4: 3, 0: 2, 2: 2}[layers]  # mlp: layers 0, 1, 3; linear: weight, bias


def test_dropout_acts_only_in_training():
    student = build_small(student_config("tiny", 16, 3, 128), False)
    dropouts = [module.p for module in student.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts == [student.config.dropout] and student.config.dropout > 0


@pytest.mark.integration
def test_tensorboard_files_are_written_only_with_the_option(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    for is_on in (False, True):
        folder = tmp_path / str(is_on)
        training.train(settings(tiny, folder, epochs=1, tensorboard=is_on))
        assert (folder / "tensorboard").exists() == is_on


@pytest.mark.integration
def test_overwrite_starts_anew(tiny, usual, tmp_path):
    training.train(settings(tiny, tmp_path, lr=0.01, epochs=1))
    training.train(settings(tiny, tmp_path, lr=0.01, ema=0.5, overwrite=True))
    assert are_equal(weights_of(tmp_path), weights_of(usual)) and len(log_of(tmp_path)) == 2


def test_the_saved_configuration_is_that_of_the_run(tiny, usual):
    config = settings(tiny, usual, ema=0.5, lr=0.01)
    assert (usual / "train_config.yaml").read_text() == config.as_yaml()


def test_every_setting_that_changes_results_identifies_the_run(tiny, tmp_path, monkeypatch):
    reader, labels = reader_and_labels(tiny)
    config = settings(tiny, tmp_path)
    data = datasets(config, reader, labels)
    usual = run_fields(config, reader.identity, labels, data, 1)
    assert run_fields(config, reader.identity, labels, datasets(config, reader, labels), 1) == usual
    others = {
        "student_size": "xs",
        "projection": "mlp",
        "optimizer": "adamw",
        "patience": 4,
        "label_set": "other",
        "amp": False,
    }
    others |= {"class_weights": "balanced", "sampler": "balanced", "text_weight": 0.5, "teachers": "first:2"}
    others |= {"evaluation_view_share": 0.5, "evaluation_view_warmup": 0.5, "pooling": "mean", "selection": False}
    others |= CHANGES | {"ema": 0.9, "student_pretrained": True, "plugin_weights": {"extra_weight": 0.5}}
    monkeypatch.setattr(registry, "_terms", dict(registry._terms))
    registry.register(replace(TASK, name="extra", weight=WeightOption("extra_weight", 0.0, "Weight of a plug-in.")))
    for field in fields(TrainConfig):
        if field.name in FIELDS_THAT_MAY_DIFFER or field.name == "label_set":
            continue
        changed = run_fields(replace(config, **{field.name: others[field.name]}), reader.identity, labels, data, 1)
        assert changed != usual, field.name
    assert run_fields(config, replace(reader.identity, jpeg_quality=95), labels, data, 1) != usual
    assert "cache's snap_tolerance" not in usual  # runs on other caches go on, whichever program began them
    assert run_fields(config, replace(reader.identity, snap_tolerance=0.2), labels, data, 1) != usual
    assert run_fields(config, reader.identity, replace(labels, name="other"), data, 1) != usual
    assert run_fields(config, reader.identity, labels, data, 2) != usual
    for dropped in (part.clips[0] for part in data):  # of training, of selection
        fewer = replace(labels, clips=tuple(clip for clip in labels.clips if clip != dropped))
        assert run_fields(config, reader.identity, labels, datasets(config, reader, fewer), 1) != usual


def test_the_checkpoint_records_its_teacher(tiny, usual):
    identity, recorded = open_reader(tiny).identity.teacher, best_of(usual)["teacher"]
    assert recorded == {name: getattr(identity, name) for name in ("name", "weights_sha256", "embed_dim")}
