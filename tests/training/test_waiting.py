"""No training step waits for an accelerator: tried on the device `meta`, whose tensors have no values."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from embedonce.models.losses.batch import Counts
from embedonce.models.losses.registry import loss_settings
from embedonce.models.student_config import student_config
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.training import student_run, training_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun
from tests.support.small_student import build_small_student
from tests.support.tiny_cache import make_tiny_cache

ACCELERATOR = torch.device("meta")
COPIES = {"aten::_to_copy", "aten::copy_"}


class Waits(TorchDispatchMode):
    """Records copies between an accelerator and this machine that wait for it.

    Whatever else needs values of an accelerator's tensors, such as selecting by a bool mask, fails on this one.
    """

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function._schema.name in COPIES and not _is_free(args, kwargs or {}):
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            if len({tensor.device for tensor in tensors}) > 1:
                self.found.append(str(function))
        return result


class Uploads(TorchFunctionMode):
    """Records tensors that are made from numbers on an accelerator, which waits for it. Modes of dispatch miss them."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.__name__ in ("new_tensor", "tensor", "as_tensor") and result.device == ACCELERATOR:
            self.found.append(function.__name__)
        return result


def _is_free(args: tuple, kwargs: dict) -> bool:
    """Whether a copy is a non-blocking one: an argument of its own, or the third of copy_()."""
    return bool(kwargs.get("non_blocking")) or args[2:3] == (True,)


def items() -> dict[str, torch.Tensor]:
    """Three clips of up to four frames, one of them without label and text."""
    return {
        "text_vector": torch.randn(3, 16),
        "text_number": torch.tensor([1, -1, 1]),
        "frames": torch.randint(0, 256, (3, 4, 3, 128, 128), dtype=torch.uint8),
        "embeddings": torch.randn(3, 4, 16),
        "logits": torch.randn(3, 4, 3),
        "mask": torch.arange(4)[None] < torch.tensor([4, 2, 3])[:, None],
        "t_rel_sec": torch.arange(4.0).expand(3, 4),
        "label": torch.tensor([2, -1, 0]),
        "index": torch.arange(3),
    }


def new_run(device: torch.device = ACCELERATOR, **changes) -> StudentRun:
    values = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 4, "amp": False}
    config = TrainConfig(Path(), Path(), **(values | changes))
    with device:
        student = build_small_student(student_config("tiny", 16, 3, 128), False)
    weights = dataclasses.replace(loss_settings(text_weight=0.5), class_weights=(0.5, 2.0, 0.5))
    run = StudentRun(student, config, weights, World(), 100)
    run.train_mode()
    return run


@pytest.mark.parametrize("measured", [0, 3])
@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}])
def test_a_step_waits_for_nothing(changes, measured):
    run = new_run(**changes)
    with Waits() as waits, Uploads() as uploads:
        run.step(ClipBatch.from_items(items()).to(ACCELERATOR, non_blocking=True), Counts(9, 3, 2), measured=measured)
    assert waits.found == uploads.found == []


def test_losses_of_an_accelerator_are_checked_at_intervals_and_before_they_are_used(monkeypatch):
    """On a CPU that is treated like one."""
    torch.manual_seed(0)
    monkeypatch.setattr(student_run, "batches_per_check", lambda device: 4)
    run, ruined = new_run(torch.device("cpu")), items()
    ruined["logits"] = ruined["logits"] * torch.nan
    steps = iter([items(), ruined, items(), items()])
    for _ in range(3):
        run.step(ClipBatch.from_items(next(steps)))
    with pytest.raises(PipelineError, match=r"loss of student tiny .*\(step 2 of the run, response term\).*--lr"):
        run.step(ClipBatch.from_items(next(steps)))
    with pytest.raises(PipelineError, match="step 2 of the run"):  # nobody gets the sums any more
        _ = run.sums


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(training_run, "build_student", build_small_student)


def train(cache: Path, output: Path, **changes) -> Path:
    values = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 2, "num_workers": 0, "epochs": 2}
    values |= {"student_pretrained": False, "batch_size": 2, "device": "cpu", "checkpoint_steps": 4}
    training.train(TrainConfig(cache, output, **(values | changes)))
    return output


@pytest.mark.integration
def test_the_interval_of_checks_changes_nothing_in_a_run(tmp_path, small, monkeypatch):
    cache = make_tiny_cache(tmp_path / "cache", 6)
    usual = train(cache, tmp_path / "usual")
    monkeypatch.setattr(student_run, "batches_per_check", lambda device: 50)
    late = train(cache, tmp_path / "late")
    usual, late = ((folder / "train_log.csv").read_text().splitlines() for folder in (usual, late))
    timed = usual[0].split(",").index("seconds")
    assert [line.split(",")[:timed] for line in usual] == [line.split(",")[:timed] for line in late]


@pytest.mark.integration
def test_no_state_of_a_loss_that_was_not_finite_is_saved(tmp_path, small, monkeypatch):
    monkeypatch.setattr(student_run, "batches_per_check", lambda device: 50)
    cache = make_tiny_cache(tmp_path / "cache", 6)
    with pytest.raises(PipelineError, match=r"\(step [23] of the run, "):
        train(cache, tmp_path / "out", lr=1e18)
    assert not list((tmp_path / "out").glob("*.pt"))


def test_a_gpu_updates_all_weights_in_one_kernel_and_a_state_fits_other_devices(monkeypatch):
    assert student_run.is_fused(torch.device("cuda", 0)) and not student_run.is_fused(torch.device("cpu"))
    usual = new_run(torch.device("cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(student_run, "is_fused", lambda device: True)  # a CPU has such a kernel, too
        fused = new_run(torch.device("cpu"))
    for run in (usual, fused):
        run.step(ClipBatch.from_items(items()))
    assert [group["fused"] for group in fused.optimizer.param_groups] == [True] * 3
    usual.load_state_dict(fused.state_dict())
    assert [group["fused"] for group in usual.optimizer.param_groups] == [None] * 3
    for run in (usual, fused):
        assert [group["fused"] for group in run.state_dict()["optimizer"]["param_groups"]] == [None] * 3
