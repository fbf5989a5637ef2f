"""Several students at once, moving averages, resuming within an epoch, and several processes."""

import copy
import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from embedonce.cache.store import open_reader
from embedonce.models.ema import ModelEma
from embedonce.models.losses.registry import loss_settings
from embedonce.pipeline.checkpoints import training_state
from embedonce.pipeline.clips.sampling import ClipSampling, choose_jitter
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training import training_run
from embedonce.pipeline.training.distributed import World, global_batches
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import gradient_norms, gradient_shares
from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6, num_views=2)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 2}
    values |= {"batch_size": 2, "frames_per_clip": 1, "num_workers": 0, "device": "cpu"}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


def curve(folder: Path) -> list[dict]:
    """What a run logged, without what time it took."""
    entries = json.loads((folder / "train_log.json").read_text())
    return [{name: value for name, value in entry.items() if "seconds" not in name} for entry in entries]


def weights_of(folder: Path, size: str = "tiny") -> dict:
    return torch.load(folder / "training_state.pt", weights_only=True)["students"][size]["student"]


class StopError(Exception):
    pass


def stopped_after(monkeypatch, saves: int):
    """The run ends with StopError right after it has saved its state so many times."""
    real, count = training_state.save_state, []

    def save(*arguments):
        real(*arguments)
        count.append(1)
        if len(count) == saves:
            raise StopError

    monkeypatch.setattr(training_state, "save_state", save)


@pytest.mark.slow  # as test_exact_resume.py does with small students
@pytest.mark.parametrize("saves", [1, 2, 4])
def test_a_run_resumed_within_an_epoch_has_the_curve_of_an_unstopped_run(tiny, tmp_path, monkeypatch, saves):
    """Two students at once, an average, batches of one step added up, colors jittered: everything has a state."""
    options = {"student_size": "tiny,mobilenetv3_small_050", "ema": 0.9, "accumulate_steps": 2, "jitter": 0.2}
    options |= {"checkpoint_steps": 2}
    whole = tmp_path.parent / "whole"
    if not whole.exists():
        training.train(settings(tiny, whole, **options))
    with monkeypatch.context() as patch:
        stopped_after(patch, saves)
        with pytest.raises(StopError):
            training.train(settings(tiny, tmp_path, **options))
    result = training.train(settings(tiny, tmp_path, **options))
    assert len(result.best_paths) == 2 and "student tiny: best student of 2 epochs" in result.summary
    for size in options["student_size"].split(","):
        assert curve(tmp_path / size) == curve(whole / size)
        ours, theirs = weights_of(tmp_path, size), weights_of(whole, size)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        best = [torch.load(f / size / "best_student.pt", weights_only=True)["model"] for f in (tmp_path, whole)]
        assert all(torch.equal(best[0][name], best[1][name]) for name in best[1])


@pytest.mark.slow  # as test_exact_resume.py does with small students
def test_students_trained_jointly_equal_those_trained_alone(tiny, tmp_path, monkeypatch):
    """But for chance, which they share: without dropout they are the same to the bit."""
    real = training_run.build_student

    def without_dropout(config, pretrained):
        torch.manual_seed(len(config.size))
        student = real(config, pretrained)
        for module in student.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return student

    monkeypatch.setattr(training_run, "build_student", without_dropout)
    training.train(settings(tiny, tmp_path / "both", student_size="tiny,xxs", epochs=1))
    training.train(settings(tiny, tmp_path / "alone", student_size="xxs", epochs=1))
    assert curve(tmp_path / "both" / "xxs") == curve(tmp_path / "alone")
    shared = weights_of(tmp_path / "both", "xxs")
    assert all(torch.equal(shared[name], value) for name, value in weights_of(tmp_path / "alone", "xxs").items())


def test_fewer_views_than_stored_can_be_used(tiny, tmp_path):
    reader = open_reader(tiny)
    for views, met in ((None, {1, 2}), (2, {1, 2}), (1, {1}), (0, {0})):
        data, _ = datasets(settings(tiny, tmp_path, views=views), reader, reader.label_set())
        found = set()
        for data.epoch in range(2):
            row, timeline = data[0], reader.timeline(data.clips[0].video_uid)
            i = int(abs(timeline.t_sec - float(row["t_rel_sec"][0]) - data.clips[0].start_sec).argmin())
            shard, at = reader.frames(timeline.unit[i]), int(timeline.row[i])
            stored = [shard.embeddings(at, at + 1, view)[0] for view in range(3)]
            found.add(int(np.argmax([embedding @ row["embeddings"][0].numpy() for embedding in stored])))
        assert found == met
    with pytest.raises(
        InputError, match=r"--views 3: .* has 2 random views; give at most that, or .*extract-teacher --views 3"
    ):
        training.train(settings(tiny, tmp_path, views=3))


@pytest.mark.integration
def test_gradient_shares_of_terms_are_logged(tiny, tmp_path):
    training.train(settings(tiny, tmp_path, epochs=1))
    (entry,) = curve(tmp_path)
    shares = [entry[f"gradient_share_{term}"] for term in ("feature", "response", "task")]
    assert sum(shares) == pytest.approx(1) and min(shares) > 0.001  # none of them is inert
    rows = list(csv.DictReader((tmp_path / "train_log.csv").read_text().splitlines()))
    assert float(rows[0]["gradient_share_feature"]) == pytest.approx(shares[0])


def test_gradient_shares_follow_from_the_norms():
    layer = nn.Linear(1, 1, bias=False)
    losses = {"feature": 3 * layer.weight.sum(), "response": 2 * layer.weight.sum(), "task": 5 * layer.weight.sum()}
    norms = gradient_norms(losses, loss_settings(alpha=1.0, beta=1.5, gamma=0.0), layer)
    assert norms.keys() == {"feature", "response"}  # the terms with a weight
    measured = {"task": 0.0, "text": 0.0} | {name: float(norm) for name, norm in norms.items()}
    shares = gradient_shares({f"norm_{name}": norm for name, norm in measured.items()})
    assert shares == pytest.approx({"feature": 0.5, "response": 0.5, "task": 0.0, "text": 0.0})
    assert layer.weight.grad is None


@pytest.mark.slow  # as test_wiring_training.py does with small students
def test_patience_ends_a_run_that_gets_no_better(tiny, tmp_path):
    config = settings(tiny, tmp_path, epochs=30, lr=1e-12, patience=2)
    training.train(config)
    assert 3 <= len(curve(tmp_path)) <= 10  # the running statistics of an untrained student still move
    assert training.train(config).summary.startswith("already trained")


@pytest.mark.slow
def test_tensorboard_has_every_epoch_once(tiny, tmp_path, monkeypatch):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with monkeypatch.context() as patch:
        stopped_after(patch, 1)
        with pytest.raises(StopError):
            training.train(settings(tiny, tmp_path, tensorboard=True, batch_size=16))
    training.train(settings(tiny, tmp_path, tensorboard=True, batch_size=16))
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("feature")] == [1, 2]
    assert events.Scalars("feature")[1].value == pytest.approx(curve(tmp_path)[1]["feature"])


@pytest.mark.numeric
@pytest.mark.integration
def test_accumulated_batches_are_one_step(tiny, tmp_path, monkeypatch):
    """Without batch statistics and dropout, 2 batches of 3 give the gradient of one of 6."""
    real = training_run.build_student

    def still(config, pretrained):
        torch.manual_seed(0)
        student = real(config, pretrained)
        student.train = lambda mode=True: nn.Module.train(student, False)
        return student

    monkeypatch.setattr(training_run, "build_student", still)
    training.train(settings(tiny, tmp_path / "one", epochs=1, batch_size=6))
    training.train(settings(tiny, tmp_path / "two", epochs=1, batch_size=3, accumulate_steps=2))
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-4, rtol=1e-3)


def test_the_moving_average_is_the_decayed_sum():
    layer = nn.BatchNorm1d(2)
    average = ModelEma(layer, 0.5)
    expected = layer.weight.detach().clone()
    for step, value in enumerate((3.0, -1.0, 2.0)):
        layer.weight.data.fill_(value)
        layer.running_mean.fill_(value)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        average.update(layer)
    torch.testing.assert_close(average.student.weight.detach(), expected)
    assert average.student.running_mean.tolist() == [2.0, 2.0]
    other = ModelEma(copy.deepcopy(layer), 0.5)
    other.load_state_dict(average.state_dict())
    assert other.updates == 3 and torch.equal(other.student.weight, average.student.weight)


def test_jitter_differs_between_clips_and_epochs():
    sampling = ClipSampling(4, 32, True, 0, jitter=0.3)
    factors = [choose_jitter(sampling, epoch, index) for epoch in range(2) for index in range(2)]
    assert len({tuple(f) for f in factors}) == 4 and all((np.abs(f - 1) <= 0.3).all() for f in factors)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(canonical_frame.jittered(images, 1.0, 1.0, 1.0), images)
    assert canonical_frame.jittered(images, 0.5, 1.0, 1.0).mean() == pytest.approx(images.mean() / 2, abs=1)
    grey = canonical_frame.jittered(images, 1.0, 1.0, 0.0)
    assert np.ptp(grey.astype(int), axis=-1).max() <= 1
    assert canonical_frame.jittered(images, 1.0, 0.0, 1.0).std() < images.std()


# -- several processes -----------------------------------------------------------------------------------------------


def test_every_process_gets_a_shard_of_every_batch():
    order = list(range(21))
    for size in (1, 2, 3, 4):
        planned = global_batches(order, 5, size)
        assert [*itertools.chain(*planned)] == order and min(map(len, planned)) >= size
        for batch in planned:
            parts = [World(rank, size).shard(batch) for rank in range(size)]
            assert sorted(itertools.chain(*parts)) == batch and min(map(len, parts)) >= 1
    assert global_batches(order, 5, 1) == [order[i : i + 5] for i in range(0, 21, 5)]


RECORDING = """
import os, sys, json, torch
from pathlib import Path
from embedonce.pipeline.training import epoch_loop, trainer as training, training_run
from embedonce.pipeline.training.settings import TrainConfig
seen, real = [], epoch_loop.batches
def recorded(dataset, planned, num_workers):
    seen.append([list(map(int, batch)) for batch in planned])
    return real(dataset, planned, num_workers)
epoch_loop.batches = recorded
build = training_run.build_student
def still(config, pretrained):  # batch statistics would be those of a part of the batch
    torch.manual_seed(0)
    student = build(config, pretrained)
    student.train = lambda mode=True: torch.nn.Module.train(student, False)
    return student
training_run.build_student = still
if __name__ == "__main__":
    cache, out = map(Path, sys.argv[1:3])
    training.train(TrainConfig(cache, out, student_size="tiny", student_resolution=128, student_pretrained=False,
        epochs=2, batch_size=3, frames_per_clip=1, num_workers=0, device="cpu", checkpoint_steps=1))
    rank = os.environ.get("RANK", "0")
    (out / f"seen_{rank}.json").write_text(json.dumps(seen))
"""


@pytest.mark.slow
def test_two_processes_train_on_the_batches_of_one(tiny, tmp_path):
    """torchrun with gloo: together they see what one process sees, step by step; files are written once."""
    script = tmp_path / "run.py"
    script.write_text(RECORDING)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--standalone"]
    commands = {"one": [sys.executable], "two": [sys.executable, *torchrun]}
    for name, command in commands.items():
        ran = subprocess.run(
            [*command, str(script), str(tiny), str(tmp_path / name)], env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
    alone = json.loads((tmp_path / "one" / "seen_0.json").read_text())
    ranks = [json.loads((tmp_path / "two" / f"seen_{rank}.json").read_text()) for rank in (0, 1)]
    for epoch, planned in enumerate(alone):
        assert list(map(len, planned)) == [3, 3, 3] and list(map(len, ranks[0][epoch])) == [2, 2, 2]
        seen = []
        for parts in zip(ranks[0][epoch], ranks[1][epoch], strict=True):
            seen += [part[i] for i in range(len(parts[0])) for part in parts if i < len(part)]
        assert seen == [*itertools.chain(*planned)]
    assert [entry["epoch"] for entry in curve(tmp_path / "two")] == [1, 2]
    for entry, other in zip(curve(tmp_path / "two"), curve(tmp_path / "one"), strict=True):
        for name in ("feature", "response", "task"):  # gradients are those of the whole batch
            assert entry[name] == pytest.approx(other[name], rel=1e-3)


def test_more_processes_than_clips(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "join", lambda device: (World(0, 50), device))
    monkeypatch.setattr(World, "shutdown", lambda world: None)
    with pytest.raises(InputError, match="50 processes for 9 training clips: start fewer of them"):
        training.train(settings(tiny, tmp_path))


MISTAKES = [
    ({"student_size": "tiny,tiny"}, "--student-size must be different names"),
    ({"student_size": "a b"}, "--student-size"),
    ({"projection": "cubic"}, "--projection must be one of linear, mlp"),
    ({"ema": 1.0}, "--ema must be at least 0 and below 1"),
    ({"jitter": -0.1}, "--jitter must be"),
    ({"accumulate_steps": 0}, "--accumulate-steps must be greater than 0"),
    ({"patience": -1}, "--patience must be 0 or more"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_invalid_options_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, tmp_path, **changes)
