"""A run that is stopped anywhere and resumed equals, to the bit, the run that was not stopped."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.cache.labels import ClipLabel
from embedonce.cache.store import open_reader
from embedonce.pipeline.clips.fingerprint import fingerprint
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.training import epoch_loop, run_files, training_run
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.epoch_plan import plan_epoch
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.small_student import (
    StopError,
    build_small_student,
    build_still_student,
    record_first_gradient,
    train_stopped,
)
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BASE = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 3, "num_workers": 0, "device": "cpu"}
BASE |= {"epochs": 3, "batch_size": 4, "lr": 0.01, "student_pretrained": False}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 8, num_views=2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(training_run, "build_student", build_small_student)


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    return TrainConfig(cache_dir, output_dir, **(BASE | changes))


def all_of(folder: Path) -> dict:
    """What a finished run leaves, flat, without the times it took."""
    found = {}

    def walk(place: str, value) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                walk(f"{place}.{name}", part)
        elif isinstance(value, list):
            for i, part in enumerate(value):
                walk(f"{place}.{i}", part)
        elif "seconds" not in place:
            found[place] = value

    for path in sorted(folder.rglob("*.pt")):
        walk(str(path.relative_to(folder)), torch.load(path, weights_only=True))
    for path in sorted(folder.rglob("train_log.json")):
        walk(str(path.relative_to(folder)), json.loads(path.read_text()))
    return found


def differing(one: Path, other: Path) -> list[str]:
    ours, theirs = all_of(one), all_of(other)
    assert ours.keys() == theirs.keys() and len(ours) > 50

    def same(a, b) -> bool:
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b

    return [name for name, value in ours.items() if not same(value, theirs[name])]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory) -> dict[int, Path]:
    """Folders of runs that were not stopped, by how many batches make a step."""
    return {steps: tmp_path_factory.mktemp(f"whole{steps}") for steps in (1, 2, 3)}


FULL = {"ema": 0.9, "jitter": 0.3, "patience": 2, "epochs": 2, "batch_size": 2, "frames_per_clip": 2}


USUAL = {(1, 1, 2), (2, 3, 1), (3, 1, 1), (3, 3, 2)}  # each value of each, twice at least but for steps of one or two


@pytest.mark.parametrize(
    ("accumulate", "every", "stop"),
    [
        pytest.param(*case, marks=() if case in USUAL else pytest.mark.slow)
        for case in itertools.product([1, 2, 3], [1, 3], [1, 2])
    ],
)
def test_resume_is_exact_wherever_a_run_stops(tiny, tmp_path, wholes, accumulate, every, stop):
    """12 clips in 6 batches an epoch, with dropout, an average, jitter and patience."""
    options = FULL | {"accumulate_steps": accumulate}
    if not (wholes[accumulate] / "training_state.pt").exists():
        training.train(settings(tiny, wholes[accumulate], **options))
    assert train_stopped(training, settings(tiny, tmp_path, **options, checkpoint_steps=every), stop)
    assert differing(tmp_path, wholes[accumulate]) == []


def test_resume_of_several_students_within_an_epoch_is_exact(tiny, tmp_path):
    options = FULL | {"student_size": "tiny,xxs"}
    training.train(settings(tiny, tmp_path / "whole", **options))
    assert train_stopped(training, settings(tiny, tmp_path / "cut", **options, checkpoint_steps=4), 1)
    assert differing(tmp_path / "cut", tmp_path / "whole") == []


def test_resume_keeps_the_patience_counter(tiny, tmp_path, monkeypatch):
    """Every epoch but the first is as good as the first: the run ends after two more, stopped or not."""
    monkeypatch.setattr(epoch_loop, "selection_score", lambda found, weights: (0.5, 0.5))
    options = {"patience": 2, "epochs": 30}
    training.train(settings(tiny, tmp_path / "whole", **options))
    assert len(json.loads((tmp_path / "whole" / "train_log.json").read_text())) == 3
    assert train_stopped(training, settings(tiny, tmp_path / "cut", **options), 2)
    assert differing(tmp_path / "cut", tmp_path / "whole") == []


@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("every", [1, 2, 3, 4, 7])
def test_states_are_saved_only_after_optimizer_steps(accumulate, every):
    clips = [[i] for i in range(15)]
    plan = plan_epoch(clips, np.ones(15, int), np.ones(15, bool), accumulate, (0, 0))
    saved = [at + 1 for at in range(15) if plan.saves_after(at, every)]
    assert all(position % accumulate == 0 and position < 15 for position in saved)
    assert all(b - a <= every + accumulate - 1 for a, b in itertools.pairwise([0, *saved, 15]))


def test_jointly_trained_students_equal_students_trained_alone(tiny, tmp_path):
    """Initial weights and dropout do not depend on the students trained jointly."""
    training.train(settings(tiny, tmp_path / "both", student_size="xxs,tiny"))
    for size in ("tiny", "xxs"):
        training.train(settings(tiny, tmp_path / size, student_size=size))
        mine, alone = (
            torch.load(folder / "best_student.pt", weights_only=True)["model"]
            for folder in (tmp_path / "both" / size, tmp_path / size)
        )
        assert all(torch.equal(value, mine[name]) for name, value in alone.items())


def test_another_seed_gives_other_weights(tiny, tmp_path):
    for seed in (0, 1):
        training.train(settings(tiny, tmp_path / str(seed), seed=seed, epochs=1))
    found = [torch.load(tmp_path / seed / "best_student.pt", weights_only=True)["model"] for seed in "01"]
    assert not torch.equal(found[0]["backbone.0.weight"], found[1]["backbone.0.weight"])


# -- what is another run ---------------------------------------------------------------------------------------------


def test_other_clips_labels_or_shards_are_another_run(tiny, tmp_path):
    reader = open_reader(tiny)
    labels = reader.label_set()
    config = settings(tiny, tmp_path)
    base = fingerprint(*datasets(config, reader, labels))
    assert fingerprint(*datasets(config, open_reader(tiny), labels)) == base
    clips = list(labels.clips)
    first = next(i for i, clip in enumerate(clips) if clip.split == "train")
    changed = [
        ClipLabel(clips[first].clip_id, clips[first].video_uid, 0.0, 1.5, clips[first].label, "train"),
        ClipLabel(*[getattr(clips[first], n) for n in ("clip_id", "video_uid", "start_sec", "end_sec")], -1, "train"),
    ]
    for clip in changed:
        other = type(labels)(**{**vars(labels), "clips": (*clips[:first], clip, *clips[first + 1 :])})
        assert fingerprint(*datasets(config, reader, other)) != base
    moved = open_reader(tiny)
    moved.timeline(clips[first].video_uid).unit[:] = "000099"
    assert fingerprint(*datasets(config, moved, labels)) != base


def test_a_run_with_another_fingerprint_is_not_resumed(tiny, tmp_path, monkeypatch):
    training.train(settings(tiny, tmp_path, epochs=1))
    monkeypatch.setattr("embedonce.pipeline.training.recipe.fingerprint", lambda *data: "another")
    with pytest.raises(InputError, match=r"another training run \(SHA-256 of clips, labels and shards: .*another\)"):
        training.train(settings(tiny, tmp_path, epochs=1))


def test_resuming_on_another_device_warns(tiny, tmp_path, caplog, monkeypatch):
    def stopped(*arguments):
        raise StopError

    monkeypatch.setattr(run_files, "write_logs", stopped)
    with pytest.raises(StopError):
        training.train(settings(tiny, tmp_path, checkpoint_steps=1))
    monkeypatch.undo()
    monkeypatch.setattr(training_run, "build_student", build_small_student)
    state = torch.load(tmp_path / "training_state.pt", weights_only=True)
    torch.save(state | {"device": "cuda"}, tmp_path / "training_state.pt")
    training.train(settings(tiny, tmp_path))
    assert "trained on cuda so far and continues on cpu" in caplog.text


# -- two processes ---------------------------------------------------------------------------------------------------


SCRIPT = """
from embedonce.pipeline.processes import exiting  # before all others, as in cli.py
import json, sys
from pathlib import Path
import torch
from embedonce.pipeline.training import trainer as training, training_run
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.small_student import build_small_student, build_still_student, record_first_gradient, train_stopped
cache, out, base, runs = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
# Joined once for all runs, and left once: a process that ends as a member of a group may abort.
world, device = training.join(torch.device("cpu"))
shutdown, training.World.shutdown = training.World.shutdown, lambda world: None
training.join = lambda device: (world, device)
for name, changes, stop in runs:
    training_run.build_student = build_still_student if name.startswith("still") else build_small_student
    (out / name).mkdir(exist_ok=True)
    record_first_gradient(training, out / name / "gradient")
    train_stopped(training, TrainConfig(cache, out / name, **(base | changes)), stop)
shutdown(world)
exiting.end_at_once_with(0)  # as commands end: a thread of torch may abort an interpreter that is taken apart
"""
ODD = {"batch_size": 5, "checkpoint_steps": 1, "ema": 0.9, "epochs": 2}
SETTINGS = {"odd": ODD, "accumulated": ODD | {"accumulate_steps": 2, "checkpoint_steps": 3, "batch_size": 3}}
WEIGHTS = {
    "feature": {"beta": 0.0, "gamma": 0.0},
    "response": {"alpha": 0.0, "gamma": 0.0},
    "task": {"alpha": 0.0, "beta": 0.0},
    "all": {"accumulate_steps": 2},
}


STOPS = [(name, stop) for name in SETTINGS for stop in (1, 2, 3)]


@pytest.fixture(scope="module")
def of_two(tiny, tmp_path_factory) -> Path:
    """Runs of two processes, one after the other in the same two."""
    runs = [(f"still-{name}", changes | {"batch_size": 5, "epochs": 1}, 0) for name, changes in WEIGHTS.items()]
    return run_in_two(tiny, tmp_path_factory.mktemp("two"), [*runs, ("odd", ODD | {"epochs": 1}, 0)])


@pytest.fixture(scope="module")
def stopped_in_two(tiny, tmp_path_factory) -> Path:
    """Runs of two processes that were stopped and resumed, and the same runs without a stop."""
    runs = [(name, changes, 0) for name, changes in SETTINGS.items()]
    runs += [(f"{name}{stop}", SETTINGS[name], stop) for name, stop in STOPS]
    return run_in_two(tiny, tmp_path_factory.mktemp("stopped"), runs)


def run_in_two(tiny: Path, out: Path, runs: list[tuple[str, dict, int]]) -> Path:
    script = out / "run.py"
    script.write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--standalone"]
    arguments = [str(script), str(tiny), str(out), json.dumps(BASE), json.dumps(runs)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *torchrun, *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stop"), STOPS)
def test_resume_with_two_processes_is_exact(stopped_in_two, name, stop):
    assert differing(stopped_in_two / f"{name}{stop}", stopped_in_two / name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_two_processes_give_the_weights_of_one(tiny, of_two, tmp_path, monkeypatch, name):
    """With all terms and with each alone, where parameters get no gradient; logged alike."""
    monkeypatch.setattr(training_run, "build_student", build_still_student)
    record_first_gradient(training, tmp_path / "gradient")
    training.train(settings(tiny, tmp_path, **(WEIGHTS[name] | {"batch_size": 5, "epochs": 1})))
    one, two = (torch.load(folder / "gradient") for folder in (tmp_path, of_two / f"still-{name}"))
    assert one.keys() == two.keys() and ("head.0.weight" in one) == (name != "feature")
    length = torch.cat([value.flatten() for value in one.values()]).norm()
    for key, value in one.items():
        assert (two[key] - value).norm() < 5e-6 * length
    logs = [json.loads((f / "train_log.json").read_text())[0] for f in (tmp_path, of_two / f"still-{name}")]
    for term in ("total", "feature", "response", "task"):
        assert logs[1][term] == pytest.approx(logs[0][term], rel=1e-3)


@pytest.mark.slow
def test_another_number_of_processes_is_another_run(tiny, of_two, tmp_path):
    with pytest.raises(InputError, match=r"another training run \(processes: 2 -> 1\)"):
        training.train(settings(tiny, of_two / "odd", **(ODD | {"epochs": 1})))
