"""Loss terms do not depend on how the clips of a step are split into batches and processes; logs are correct."""

import dataclasses
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.store import open_reader
from embedonce.models.backbones import backbone
from embedonce.models.device import fast_layout
from embedonce.models.losses.batch import Counts, Targets
from embedonce.models.losses.registry import loss_settings
from embedonce.models.losses.term import LossSettings
from embedonce.models.student import VideoStudent
from embedonce.models.student_config import student_config
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.sampling import ClipSampling, choose_frames
from embedonce.pipeline.console import units
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.frames.views import evaluation_box, make_views
from embedonce.pipeline.splits.assignment import halves
from embedonce.pipeline.training import expected_time, training_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.epoch_plan import choose_measured, plan_epoch
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import ON_ACCELERATOR, ON_CPU, TrainConfig
from embedonce.pipeline.training.student_run import StudentRun
from tests.support.fake_teacher import fake_identity
from tests.support.small_student import SmallBackbone, build_small_student, build_still_student
from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[2]
CONFIG = student_config("tiny", 16, 3, 128)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    values = {"student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "epochs": 1}
    values |= {"batch_size": 2, "frames_per_clip": 2, "num_workers": 0, "device": "cpu"}
    return TrainConfig(cache_dir, output_dir, **(values | changes))


def still_run(weights: LossSettings) -> StudentRun:
    torch.manual_seed(0)
    run = StudentRun(build_still_student(CONFIG, False), settings(Path(), Path()), weights, World(), 10)
    run.train_mode()
    run._optimizer_step = lambda: None  # gradients stay where they can be looked at
    return run


def clips(num_labeled: int) -> dict:
    """8 clips of up to 4 frames, of which so many have a label."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([4, 1, 3, 4, 1, 2, 1, 4])
    labels = torch.full((8,), -1)
    labels[torch.tensor([0, 4, 5, 1, 2, 3, 6, 7])[:num_labeled]] = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])[:num_labeled]
    return {
        "frames": torch.randint(0, 256, (8, 4, 3, 128, 128), generator=generator, dtype=torch.uint8),
        "embeddings": torch.randn(8, 4, 16, generator=generator),
        "logits": 5 * torch.randn(8, 4, 3, generator=generator),
        "mask": torch.arange(4)[None] < lengths[:, None],
        "t_rel_sec": torch.arange(4).float().expand(8, 4),
        "label": labels,
        "index": torch.arange(8),
    }


def part(batch: dict, indexes: list[int]) -> dict:
    return {name: tensor[indexes] for name, tensor in batch.items()}


def gradient(run: StudentRun) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in run.student.parameters() if p.grad is not None])


SPREADS = [[[0, 1, 2, 3], [4, 5, 6, 7]], [[0, 2, 4, 6], [1, 3, 5, 7]], [[0], [1, 2, 3], [4, 5, 6, 7]]]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("num_labeled", [0, 1, 3, 8])
@pytest.mark.parametrize("weights", [(1.0, 0.1, 0.5), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)])
@pytest.mark.integration
def test_parts_of_a_step_add_up_to_the_step(spread, num_labeled, weights):
    """Batches that are added up, or what processes that add up their gradients compute of one batch."""
    batch = clips(num_labeled)
    chosen = loss_settings(**dict(zip(("alpha", "beta", "gamma"), weights, strict=True)))
    whole, parts = still_run(chosen), still_run(chosen)
    whole.step(ClipBatch.from_items(batch))
    counts = Counts.of(Targets(None, None, batch["label"], batch["mask"]))
    for number, indexes in enumerate(spread):
        parts.step(ClipBatch.from_items(part(batch, indexes)), counts, number + 1 == len(spread))
    expected = gradient(whole)
    assert (gradient(parts) - expected).norm() <= 5e-6 * expected.norm()  # rounding of float32
    assert parts.sums == pytest.approx(whole.sums, rel=1e-5)
    assert expected.norm() > 0 or (weights == (0.0, 0.0, 1.0) and not num_labeled)


def test_an_epoch_plan_counts_frames_clips_and_labels(tiny, tmp_path):
    reader = open_reader(tiny)
    data, _ = datasets(settings(tiny, tmp_path, frames_per_clip=8), reader, reader.label_set())
    batches = [[0, 3, 5], [1, 2], [4, 6]]
    labels = data.label_array
    labels[[0, 5, 4]] = -1
    plan = plan_epoch(batches, data.frame_counts, labels >= 0, 2, (0, 0))
    assert plan.counts == [Counts(sum(int(data[i]["mask"].sum()) for i in b), len(b), n) for b, n in
                           zip(batches, (1, 2, 1), strict=True)]  # fmt: skip
    assert plan.step_counts(0) == plan.step_counts(1) == Counts(25, 5, 3)
    assert plan.step_counts(2) == plan.counts[2] and plan.total == Counts(35, 7, 4)
    assert [plan.ends_step(at) for at in range(3)] == [False, True, True]


def few_labels(reader, keep: int):
    """The label set with so many labeled training clips."""
    labels, left, kept = reader.label_set(), keep, []
    for clip in labels.clips:
        labeled = clip.split != "train" or left > 0
        left -= clip.split == "train" and labeled
        kept.append(clip if labeled else dataclasses.replace(clip, label=-1))
    return dataclasses.replace(labels, clips=tuple(kept))


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"batch_size": 2, "accumulate_steps": 2}])
@pytest.mark.integration
def test_the_logged_task_loss_is_that_of_labeled_clips(tiny, tmp_path, monkeypatch, changes):
    """With a learning rate of almost 0 the weights stay, and the mean over labeled clips can be computed here."""
    monkeypatch.setattr(training_run, "build_student", build_still_student)
    labels = few_labels(open_reader(tiny), 4)
    monkeypatch.setattr(training_run.CacheReader, "label_set", lambda reader, name=None: labels)
    training.train(settings(tiny, tmp_path, lr=1e-30, weight_decay=0.0, **changes))
    (entry,) = json.loads((tmp_path / "train_log.json").read_text())
    data, _ = datasets(settings(tiny, tmp_path), open_reader(tiny), labels)
    torch.manual_seed(0)
    student, losses = build_still_student(CONFIG, False).eval(), []
    for item in (data[i] for i in range(len(data))):
        if item["label"] >= 0:
            with torch.inference_mode():
                output = student(*(item[name][None] for name in ("frames", "t_rel_sec", "mask")))
            losses.append(torch.nn.functional.cross_entropy(output.clip_logits, item["label"][None]).item())
    assert 1 <= len(losses) < len(data) - 2
    assert entry["task"] == pytest.approx(np.mean(losses), rel=1e-4)
    total = entry["feature"] + 0.1 * entry["response"] + 0.5 * entry["task"]
    assert entry["total"] == pytest.approx(total, rel=1e-6)
    assert entry["gradient_share_task"] > 0  # though most batches have no label


def test_labels_of_clips_without_frames_do_not_count_for_training(tiny, tmp_path):
    """Frames of unlabeled clips alone: what is left for training has no label, though the label set has some."""
    reader = open_reader(tiny)
    labels = reader.label_set()
    unlabeled = [dataclasses.replace(clip, label=-1) for clip in labels.clips]
    late = [dataclasses.replace(c, clip_id=f"late {c.clip_id}", start_sec=1e6, end_sec=2e6) for c in labels.clips]
    labels = dataclasses.replace(labels, clips=(*unlabeled, *late))
    with pytest.raises(InputError, match=r"left for training has a label.*--gamma 0"):
        datasets(settings(tiny, tmp_path), reader, labels)
    train, _ = datasets(settings(tiny, tmp_path, gamma=0.0), reader, labels)
    assert len(train) and not (train.label_array >= 0).any()


def test_selection_leaves_the_last_labeled_recording_to_training(tiny, tmp_path):
    """Labels on nothing but the recordings that selection takes where all have one."""
    reader = open_reader(tiny)
    labels = reader.label_set()
    _, selection = datasets(settings(tiny, tmp_path), reader, labels)
    kept = {clip.video_uid for clip in selection.clips}
    clips = [c if c.video_uid in kept else dataclasses.replace(c, label=-1) for c in labels.clips]
    train, _ = datasets(settings(tiny, tmp_path), reader, dataclasses.replace(labels, clips=tuple(clips)))
    assert (train.label_array >= 0).any()


def test_measured_batches_represent_all_batches():
    for has_labels in ([False] * 100, [True] * 7, [i % 50 == 3 for i in range(400)]):
        measured = choose_measured(has_labels, (0, 1))
        for there in (True, False):
            of_kind = {at: weight for at, weight in measured.items() if has_labels[at] == there}
            assert sum(of_kind.values()) == has_labels.count(there) and len(of_kind) <= 8
        assert measured == choose_measured(has_labels, (0, 1))
    assert measured != choose_measured(has_labels, (0, 2))


# -- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_rows", "count"),
    [
        (5, 4),
        (7, 1),
        (12, 4),
        (3, 8),
        *(pytest.param(*c, marks=pytest.mark.slow) for c in [(10, 4), (3, 2), (23, 8), (4, 4)]),
    ],
)
@pytest.mark.integration
def test_every_frame_of_a_clip_is_drawn_equally_often(num_rows, count):
    sampling, drawn, rounds = ClipSampling(count, 32, random=True, seed=3), Counter(), 4000
    for epoch in range(rounds):
        chosen = choose_frames(np.arange(num_rows), sampling, epoch, 5)
        assert len(chosen) == min(count, num_rows) and (np.diff(chosen) > 0).all()
        middle = (np.arange(len(chosen)) + 0.5) * num_rows / len(chosen)
        assert (np.abs(chosen + 0.5 - middle) <= num_rows / len(chosen) / 2 + 0.5).all()  # one of each segment
        drawn.update(chosen.tolist())
    chance = min(1.0, count / num_rows)
    tolerance = 4.5 * math.sqrt(chance * (1 - chance) / rounds)
    assert [abs(drawn[row] / rounds - chance) <= tolerance for row in range(num_rows)] == [True] * num_rows


@pytest.mark.parametrize("size", [(256, 640), (256, 768), (256, 1024), (256, 2560), (4096, 256), (8, 128), (2, 32)])
def test_views_of_long_frames_are_random(size):
    height, width = size
    views = make_views("v", size, 200, 0, fake_identity())[1:]
    top, left, box_height, box_width = views[:, :4].T
    assert (top >= 0).all() and (left >= 0).all() and (top + box_height <= height).all()
    assert (left + box_width <= width).all() and (box_height > 0).all() and (box_width > 0).all()
    is_evaluation = [tuple(view) == evaluation_box(size) for view in views[:, :4].tolist()]
    assert sum(is_evaluation) <= 20
    if min(size) >= 100:
        assert len({tuple(view) for view in views[:, :4].tolist()}) >= 190
        along, room = (left, width - box_width) if width > height else (top, height - box_height)
        places = along / room
        assert places.min() < 0.05 and places.max() > 0.95 and abs(places.mean() - 0.5) < 0.1
        aspect = box_width / box_height
        assert aspect.min() > 0.73 and aspect.max() < 1.37 and aspect.std() > 0.1


def test_a_fitted_head_is_evaluated_on_rows_that_did_not_select_it():
    uids = [f"v{i}" for i in range(9)]
    selection, evaluation = halves(uids)
    assert (
        selection | evaluation == set(uids)
        and not selection & evaluation
        and {len(selection), len(evaluation)} == {4, 5}
    )
    assert halves(["v1"]) == ({"v1"}, frozenset()) and halves([]) == (frozenset(), frozenset())


# -- students that are not like the others ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "fastvit_t8"])
@pytest.mark.integration
def test_strided_1x1_convolutions_are_not_run_channels_last(name):
    made = backbone(name, False, 128)
    assert fast_layout(made) is torch.contiguous_format
    student = VideoStudent(student_config(name, 16, 3, 128), made)
    for layer in student.backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):
            assert layer.weight.is_contiguous()
    seen = []
    student.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].is_contiguous()))
    frames = torch.zeros(1, 2, 3, 128, 128, dtype=torch.uint8).to(memory_format=torch.preserve_format)
    student.eval()(frames, torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert seen == [True]


def test_other_backbones_run_channels_last():
    for name in ("tiny", "mobilenetv3_small_050"):
        assert fast_layout(backbone(name, False, 128)) is torch.channels_last


STEM = """
import torch
from embedonce.models.device import fast_layout
layer = torch.nn.Conv2d(3, 48, 1, stride=2, bias=False)
layout = fast_layout(torch.nn.Sequential(layer))
layer.to(memory_format=layout)
for _ in range(20):
    images = torch.randn(4, 3, 128, 128).contiguous(memory_format=layout)
    layer(images).square().sum().backward()
    others = [torch.randn(997) for _ in range(10)]
"""


@pytest.mark.integration
def test_a_strided_stem_trains(tmp_path):
    ran = subprocess.run([sys.executable, "-c", STEM], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.integration
def test_compiled_students_train(tiny, tmp_path, monkeypatch, backend):
    """With batches that are measured term by term, others that are not, and one of another size."""
    real, calls = torch.compile, []

    def compile_with(*arguments, **options):
        calls.append(1)
        return real(*arguments, **(options | {"backend": backend}))

    monkeypatch.setattr(torch, "compile", compile_with)
    monkeypatch.setattr(training_run, "build_student", build_small_student)
    for compiled in (False, True):
        config = settings(tiny, tmp_path / str(compiled), epochs=2, accumulate_steps=2, ema=0.5, compile=compiled)
        training.train(config)
    logs = [json.loads((tmp_path / str(compiled) / "train_log.json").read_text()) for compiled in (False, True)]
    assert calls and len(logs[1]) == 2
    for plain, compiled in zip(*logs, strict=True):
        for name in ("feature", "response", "gradient_share_feature", "selection_cosine"):
            assert compiled[name] == pytest.approx(plain[name], rel=0.2 if backend == "inductor" else 1e-4, abs=1e-3)


# -- defaults and time ------------------------------------------------------------------------------------------------


def test_defaults_depend_on_the_device_and_given_values_stay():
    left_open = TrainConfig(Path("c"), Path("o"))
    assert left_open.student_size is None and left_open.student_sizes == ()
    for kind, expected in (("cpu", ON_CPU), ("cuda", ON_ACCELERATOR), ("mps", ON_ACCELERATOR)):
        found = left_open.for_device(kind)
        assert {name: getattr(found, name) for name in expected} == expected
        given = TrainConfig(Path("c"), Path("o"), student_size="xs", student_resolution=160, frames_per_clip=3)
        assert given.for_device(kind) == given
    assert ON_CPU["student_size"] == "tiny" and ON_ACCELERATOR["student_size"] == "xxs"


def test_defaults_are_in_the_saved_configuration(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "build_student", build_small_student)
    training.train(TrainConfig(tiny, tmp_path, epochs=1, num_workers=0, device="cpu"))
    saved = (tmp_path / "train_config.yaml").read_text()
    assert "student_size: tiny\nstudent_resolution: 128\n" in saved and "frames_per_clip: 4\n" in saved


def test_the_expected_time_is_logged_before_the_first_epoch(tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training_run, "build_student", build_small_student)
    monkeypatch.setattr(training_run, "seconds_per_clip", lambda *arguments: (1.0, 29.0))
    logged = []
    monkeypatch.setattr(training, "run_epoch", lambda run: logged.append(caplog.text) or setattr(run, "epoch", 100))
    monkeypatch.setattr(training, "_result", lambda run, was_finished: ((), ""))
    with caplog.at_level("INFO"):
        training.train(settings(tiny, tmp_path, epochs=100))
    # 9 clips of 30 s to train on and 3 of 1 + 29/3 s to validate on in each epoch, 100 times
    assert "expected time: 8.4 hours, 5 minutes per epoch (from a few clips); to shorten it: --epochs" in logged[0]


def test_expected_times_and_their_format():
    assert [units.format_duration(s) for s in (0.1, 42, 300, 5000, 36_000)] == [
        *("1 s", "42 s", "5 minutes", "83 minutes", "10.0 hours"),
    ]
    assert expected_time.expected_seconds((2.0, 3.0), 0, 10, 6) == pytest.approx(10 * 5 + 6 * 3)
    assert expected_time.expected_seconds((2.0, 3.0), 2, 10, 6) == pytest.approx(10 * 3 + 6 * 1)
    assert "to shorten" not in expected_time.forecast(10.0, 3)


def test_estimating_the_time_changes_nothing(tiny, tmp_path):
    reader = open_reader(tiny)
    config = settings(tiny, tmp_path)
    data, _ = datasets(config, reader, reader.label_set())
    torch.manual_seed(0)
    student = VideoStudent(CONFIG, SmallBackbone())
    before = {name: value.clone() for name, value in student.state_dict().items()}
    loading, learning = expected_time.seconds_per_clip([student], loss_settings(), data, config, torch.device("cpu"))
    assert loading > 0 and learning > 0
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(p.grad is None for p in student.parameters())
