"""Errors in training and evaluation are one sentence, the same with and without loader processes."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from embedonce.cache.errors import DamagedError
from embedonce.cache.store import open_reader
from embedonce.models.student import build_student
from embedonce.pipeline.clips import loader
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import Workers, batches, in_order
from embedonce.pipeline.errors import CheckpointError, InputError, PipelineError
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.metrics.accuracy import mean_cosine
from embedonce.pipeline.processes.timing import synchronizer
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training import training_run
from embedonce.pipeline.training.recipe import datasets, loss_settings_for
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6, num_views=2)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 1}
    values |= {"batch_size": 16, "frames_per_clip": 1, "num_workers": 0, "device": "cpu"}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    training.train(settings(tiny, output))
    return output


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A finished run to spoil."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def training_clips(root) -> ClipDataset:
    reader = open_reader(root)
    return datasets(settings(root, root), reader, reader.label_set())[0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda found: found[:-1], r"delivered \d+ batches instead of"),
        (lambda found: [found[0], *found], "instead of"),
        (lambda found: found[::-1], "instead of"),
    ],
)
def test_a_loader_that_skips_repeats_or_shuffles_is_detected(tiny, monkeypatch, wrong, sentence):
    data, real = training_clips(tiny), loader.DataLoader
    monkeypatch.setattr(loader, "DataLoader", lambda *arguments, **options: wrong(list(real(*arguments, **options))))
    with pytest.raises(PipelineError, match=sentence):
        list(batches(data, in_order(len(data), 4), 0))


# -- loader processes ------------------------------------------------------------------------------------------------


def test_loader_processes_deliver_the_batches_of_the_main_process(tiny):
    data, delivered = training_clips(tiny), {}
    backwards = [batch[::-1] for batch in in_order(len(data), 4)[::-1]]
    for num_workers in (0, 2):
        for data.epoch in (0, 1):
            found = list(batches(data, backwards, num_workers))
            assert torch.cat([batch["index"] for batch in found]).tolist() == list(range(len(data)))[::-1]
            delivered[num_workers, data.epoch] = torch.cat([batch["embeddings"] for batch in found])
    for epoch in (0, 1):
        assert torch.equal(delivered[0, epoch], delivered[2, epoch])
    assert not torch.equal(delivered[2, 0], delivered[2, 1])


def test_processes_that_persist_deliver_each_epoch_of_each_dataset(tiny):
    """Also after an iteration that was left in the middle."""
    data, other = training_clips(tiny), training_clips(tiny)
    planned = in_order(len(data), 4)
    with Workers((data, other), 2) as workers:
        for one, one.epoch in ((data, 3), (data, 4), (other, 1), (data, 3)):
            next(batches(one, planned[::-1], workers))
            found, expected = (list(batches(one, planned, loaded_by)) for loaded_by in (workers, 0))
            for name in ("index", "frames", "embeddings", "t_rel_sec"):
                assert torch.equal(torch.cat([b[name] for b in found]), torch.cat([b[name] for b in expected]))


@pytest.mark.parametrize("is_pinned", [False, True])
def test_batches_for_a_gpu_are_loaded_into_pinned_memory(tiny, monkeypatch, is_pinned):
    data, real, pinned = training_clips(tiny), loader.DataLoader, []
    monkeypatch.setattr(loader, "DataLoader", lambda *a, **k: pinned.append(k.pop("pin_memory")) or real(*a, **k))
    with Workers((data,), 0, is_pinned) as workers:
        (batch,) = batches(data, [[0, 1]], workers)
    assert pinned == [is_pinned] and batch["frames"].dtype == torch.uint8  # a quarter of what float32 takes


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_shard_is_named_in_one_sentence(tmp_path, num_workers):
    root = make_tiny_cache(tmp_path / "c", 3)
    shard = root / "frames" / "000001.h5"
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    shard.write_bytes(damaged)
    with pytest.raises(
        DamagedError, match=r"^shard \S+000001.h5 is damaged.*videos v1(\nin another process|$)"
    ) as caught:
        training.train(settings(root, tmp_path / "out", num_workers=num_workers))
    assert "\n" not in str(caught.value)


class Broken(torch.utils.data.Dataset):
    def __init__(self, fault):
        self.fault = fault

    def __len__(self):
        return 2

    def __getitem__(self, index):
        self.fault()


def disk_fails():
    raise OSError(5, "Input/output error", "/disk/x.h5")


def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def has_a_bug():
    raise RuntimeError("a bug")


def test_other_faults_of_a_loader_process_keep_their_meaning():
    with pytest.raises(OSError, match="Input/output") as caught:
        list(batches(Broken(disk_fails), [[0, 1]], 1))
    assert (caught.value.errno, caught.value.filename) == (5, "/disk/x.h5")
    with pytest.raises(PipelineError, match=r"loader process was killed.*--num-workers"):
        list(batches(Broken(is_killed), [[0, 1]], 1))
    with pytest.raises(RuntimeError, match="a bug"):  # a mistake of this program is not explained away
        list(batches(Broken(has_a_bug), [[0, 1]], 1))


# -- continuing and starting anew ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_overwriting_starts_from_the_pretrained_weights_again(tiny, run, monkeypatch):
    requested = []
    monkeypatch.setattr(
        training_run, "build_student", lambda c, pretrained: requested.append(pretrained) or build_student(c, 0)
    )
    training.train(settings(tiny, run, student_pretrained=True, overwrite=True))
    training.train(settings(tiny, run, student_pretrained=True))
    assert requested == [True, False]


def test_a_run_is_identified_by_its_cache_not_by_the_path(tiny, run, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    assert training.train(settings(Path("cache"), run)).summary.startswith("already trained")
    other = make_tiny_cache(run.parent / "cache", 6, num_views=3)
    with pytest.raises(InputError, match="cache's num_views: 2 -> 3"):
        training.train(settings(other, run))


def test_missing_logs_are_rewritten_on_resume(tiny, run):
    for name in ("train_log.csv", "train_log.json"):
        (run / name).unlink()
    training.train(settings(tiny, run))
    assert len(json.loads((run / "train_log.json").read_text())) == 1 and (run / "train_log.csv").exists()


def test_a_run_that_cannot_be_resumed_names_the_remedy(tiny, run):
    last, best = run / "training_state.pt", run / "best_student.pt"
    content = torch.load(last, weights_only=True)
    torch.save({name: value for name, value in content.items() if name != "students"}, last)
    with pytest.raises(CheckpointError, match=r"training_state.pt lacks students; start anew with --overwrite"):
        training.train(settings(tiny, run))
    last.write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"training_state.pt.*--overwrite"):
        training.train(settings(tiny, run))
    torch.save(content, last)
    best.unlink()
    with pytest.raises(CheckpointError, match=r"best_student.pt.*--overwrite"):
        training.train(settings(tiny, run))
    assert training.train(settings(tiny, run, overwrite=True)).best_paths == (best,) and best.exists()


# -- NaN values, files that are not student checkpoints --------------------------------------------------------------


def test_non_finite_weights_after_the_last_step_are_not_saved(tiny, tmp_path):
    with pytest.raises(
        PipelineError, match=r"output of student tiny is NaN or infinite \(after the last step of epoch 1\).*--lr"
    ):
        training.train(settings(tiny, tmp_path, lr=1e30))
    assert {path.name for path in tmp_path.iterdir()} == {"train_config.yaml", "verified_shards.jsonl"}


def test_a_student_with_nan_outputs_is_refused(tiny, run):
    content = torch.load(run / "best_student.pt", weights_only=True)
    content["model"]["projection.bias"].fill_(float("nan"))
    torch.save(content, run / "nan.pt")
    with pytest.raises(CheckpointError, match=r"nan.pt: .*NaN or infinite.*--lr"):
        evaluate(EvaluateConfig(tiny, run / "nan.pt", run / "out", num_workers=0, device="cpu"))
    assert not (run / "out").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("teacher", "x"), ("teacher", {}), ("classes", 5), ("classes", ["one"])],
        *[("frames_per_clip", "two"), ("frames_per_clip", 0), ("student", [1]), ("model", 5)],
    ],
)
def test_checkpoint_fields_of_wrong_types_are_refused(tiny, run, field, value):
    content = torch.load(run / "best_student.pt", weights_only=True)
    torch.save(content | {field: value}, run / "wrong.pt")
    with pytest.raises(CheckpointError, match=r"wrong\.pt"):
        evaluate(EvaluateConfig(tiny, run / "wrong.pt", run / "out", num_workers=0, device="cpu"))


def test_labels_of_held_out_clips_do_not_count_for_training(tmp_path, tiny):
    labels = open_reader(tiny).label_set()
    held_out = tuple(dataclasses.replace(clip, split="val") for clip in labels.clips)
    with pytest.raises(InputError, match="--gamma 0"):
        loss_settings_for(settings(tmp_path, tmp_path), dataclasses.replace(labels, clips=held_out))


def test_the_cosine_of_a_zero_vector_is_zero():
    assert mean_cosine(torch.zeros(1, 4).numpy(), torch.ones(1, 4).numpy()) == 0


def test_timing_synchronizes_asynchronous_devices():
    waits = {kind: synchronizer(torch.device(kind)) for kind in ("cuda", "mps", "cpu")}
    assert waits == {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize, "cpu": None}
