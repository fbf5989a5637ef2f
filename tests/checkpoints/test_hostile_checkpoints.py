"""Hostile checkpoints and states: a file's claims are checked against its content before memory or time is spent.

tests/training/test_stage_two.py tests that pickles are refused and do not run.
"""

import dataclasses
import os
import pickletools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from embedonce.models import names
from embedonce.models.archives import check_archive
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint, tensor_files
from embedonce.pipeline.checkpoints.file_names import TRAINING_STATE
from embedonce.pipeline.checkpoints.tensor_files import FORMAT, write_tensors
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.training import trainer as training
from tests.support import hostile_archives, limited, small_students
from tests.support.hostile_archives import PICKLES, archive, deflated, doubled_list
from tests.support.hostile_cache import bounded
from tests.support.small_students import settings
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def content() -> dict:
    config = student_config("tiny", embed_dim=16, num_classes=3, resolution=128)
    return {
        "format": FORMAT,
        "student": dataclasses.asdict(config),
        "classes": ["a", "b", "c"],
        "label_set": "tiny",
        "teacher": {"name": "x", "weights_sha256": "0", "embed_dim": 16},
        "frames_per_clip": 2,
        "model": build_student(config, pretrained=False).state_dict(),
    }


def refused(path: Path, match: str = "") -> None:
    with bounded(seconds=20), pytest.raises(CheckpointError, match=rf"{path.name}.*{match}") as refusal:
        checkpoint.load_student(path)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("field", ["embed_dim", "num_classes"])
@pytest.mark.integration
def test_a_student_larger_than_its_checkpoint_is_not_built(tmp_path, content, field):
    write_tensors(tmp_path / "good.pt", content)
    assert dataclasses.asdict(checkpoint.load_student(tmp_path / "good.pt")[0].config) == content["student"]
    torch.save(content | {"student": content["student"] | {field: 10_000}}, tmp_path / "greater.pt")
    refused(tmp_path / "greater.pt")


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.integration
def test_a_pickle_that_would_take_memory_is_refused_from_its_opcodes(tmp_path, name):
    refused(archive(tmp_path / "evil.pt", PICKLES[name], {"0": bytes(4)}))
    (tmp_path / "bare.pt").write_bytes(PICKLES[name])  # as torch wrote checkpoints long ago
    refused(tmp_path / "bare.pt")


def test_compressed_entries_are_refused(tmp_path, content):
    model = {"x": torch.zeros(1 << 22)}
    write_tensors(tmp_path / "deflated.pt", content | {"model": model})
    deflated(tmp_path / "deflated.pt")
    assert (tmp_path / "deflated.pt").stat().st_size < 1 << 16
    refused(tmp_path / "deflated.pt", "compressed")


def test_an_archive_with_leading_data_is_refused(tmp_path, content):
    good = hostile_archives.tensors_of(content)
    for name, before in (("twice.pt", good), ("before.pt", b"PK\x03\x04"), ("pickle.pt", b"\x80\x02.")):
        data = before + good
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name)


def test_tensors_that_share_a_small_storage_are_refused(tmp_path, content):
    spread = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in content["model"].items()}
    torch.save(content | {"model": spread}, tmp_path / "spread.pt")
    refused(tmp_path / "spread.pt", "stored")


@pytest.mark.parametrize(
    ("field", "value"),
    limited.thinned(
        [
            *[
                (name, doubled_list(28))
                for name in ("format", "label_set", "classes", "trained_on", "epoch", "student")
            ],
            *[("teacher", {"name": doubled_list(28), "weights_sha256": "0", "embed_dim": 16})],
            *[("frames_per_clip", value) for value in (6000, 257, 0, -1, True, 2.0, 2**62)],
            *[("classes", value) for value in ((), ["a", "b", 7], ["a" * 5000, "b", "c"], "abc", None)],
            *[("label_set", value) for value in (7, None, "x" * 5000)],
            *[("format", value) for value in (1, True, 2.0, "2", None)],
            *[("trained_on", value) for value in ("x", [1], {"a": 1})],
            *[("selection", [1]), ("epoch", "x")],
            *[("model", value) for value in ([], {}, {"x": 1}, {1: torch.zeros(1)})],
            *[("selection", {"selection_top1": value}) for value in ("x", float("nan"), [1])],
        ]
    ),
)
@pytest.mark.integration
def test_invalid_checkpoint_values_are_refused_in_one_sentence(tmp_path, content, field, value):
    torch.save(content | {field: value}, tmp_path / "odd.pt")
    refused(tmp_path / "odd.pt")


@pytest.mark.parametrize(
    ("field", "value"),
    limited.thinned(
        [
            *[("dropout", value) for value in (float("nan"), 7, -0.1, 1.0, float("inf"), "x", None)],
            *[("attention_rank", value) for value in (0, -4, 17, 2**40, 16.0, True)],
            *[("projection_hidden", value) for value in (0, 10**9, "x")],
            *[
                ("head_hidden", 10**9),
                ("embed_dim", 0),
                ("embed_dim", 10**9),
                ("num_classes", -1),
                ("num_classes", 10**9),
            ],
            *[("resolution", value) for value in (0, 127, 10**6, 128.0)],
            *[("size", value) for value in (5, "x" * 90_000, [], "hf-hub:timm/mobilevit_s", "../x")],
            *[("projection", value) for value in ([], "odd")],
        ]
    ),
)
@pytest.mark.integration
def test_invalid_student_configs_are_refused(tmp_path, content, field, value):
    torch.save(content | {"student": content["student"] | {field: value}}, tmp_path / "odd.pt")
    refused(tmp_path / "odd.pt")


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "zero.pt").symlink_to("/dev/zero")
    (tmp_path / "folder.pt").mkdir()
    for name in ("pipe.pt", "zero.pt", "folder.pt"):
        refused(tmp_path / name)


def test_a_permission_error_is_raised_unchanged(tmp_path, content, monkeypatch):
    write_tensors(tmp_path / "good.pt", content)

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "good.pt")

    monkeypatch.setattr(tensor_files, "check_archive", refuse)
    with pytest.raises(PermissionError):
        checkpoint.load(tmp_path / "good.pt")


@pytest.mark.integration
def test_reading_a_checkpoint_keeps_within_its_memory_limit(tmp_path, content):
    wide = content | {"model": {"x": torch.zeros(1 << 24)}}
    write_tensors(tmp_path / "wide.pt", wide)
    code, message = limited.run(lambda: checkpoint.load(tmp_path / "wide.pt"), limited.MEGABYTES * (256 + 4 * 64))
    assert (code, message) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("part", [b"}", b"]", b"K\x01\x85", b"}q\x00", b"X\x01\x00\x00\x00a"])
def test_reading_a_pickle_of_many_values_keeps_within_its_memory_limit(tmp_path, part):
    many = part * (1_900_000 // len([*pickletools.genops(part + b".")][:-1]))
    path = archive(tmp_path / "many.pt", hostile_archives.BEGIN + b"}X\x01\x00\x00\x00a](" + many + b"es.")
    code, message = limited.run(lambda: checkpoint.load(path), limited.MEGABYTES * 256 + 4 * path.stat().st_size)
    assert code == 99 and "CheckpointError" in message and "MemoryError" not in message, message[-1000:]


def test_the_limits_of_students_and_caches_are_the_same():
    from embedonce.cache import limits

    assert (names.MAX_WIDTH, names.MAX_CLASSES) == (limits.MAX_EMBED_DIM, limits.MAX_CLASSES)


# -- states of training runs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Iterator[tuple[Path, Path]]:
    """A cache, and a finished run over it with its state."""
    root = tmp_path_factory.mktemp("state")
    make_tiny_cache(root / "cache", 6)
    with pytest.MonkeyPatch.context() as patch:
        small_students.use(patch)
        training.train(settings(root / "cache", root / "run", ema=0.5))
        yield root / "cache", root / "run"


def changed(state: dict, place: tuple, value) -> dict:
    """A state with another value at one place; the others are the same objects."""
    if not place:
        return value
    inner = state[place[0]]
    if isinstance(state, list):
        return [changed(inner, place[1:], value), *state[1:]]
    return {**state, place[0]: changed(inner, place[1:], value)}


STUDENT = ("students", "tiny")
STATES = [
    *[(("epoch",), value) for value in (-1, "x", 1.5, True, None, 2**40, 99, [])],
    *[(("position",), value) for value in (-1, "x", None, 10**6, 1.0)],
    *[(("stopped_early",), value) for value in (1, "no", None)],
    *[(("device",), value) for value in (None, 7, doubled_list(28))],
    *[(("sums",), value) for value in (None, [], {}, [{}], [{"tiny": {}}], "x", [[]])],
    *[(("students",), value) for value in (None, {}, [], {"xs": {}}, {"tiny": None}, {"tiny": {}})],
    *[(("run",), value) for value in (None, 7, {}, {"epochs": doubled_list(28)}, "x")],
    *[((*STUDENT, "student"), value) for value in (None, {}, {"x": torch.zeros(1)})],
    *[((*STUDENT, "optimizer"), value) for value in (None, {}, {"state": {}, "param_groups": []}, 5)],
    *[((*STUDENT, "optimizer", "state"), value) for value in ([], {0: 1}, {10**6: {}}, {0: {"step": 1}})],
    *[((*STUDENT, "schedule"), value) for value in (None, {}, {"last_epoch": "x"})],
    *[((*STUDENT, "schedule", "last_epoch"), value) for value in (-5, "x", 2**62, None)],
    *[((*STUDENT, "scaler"), value) for value in (None, {"scale": float("nan")})],
    *[((*STUDENT, "best"), value) for value in (None, [], [1], ["x", 2], [float("nan"), 0.0], 7)],
    *[((*STUDENT, "history"), value) for value in (None, [7], [{"epoch": "x"}], [{"total": [1]}], {})],
    *[((*STUDENT, "history"), value) for value in ([], [{"total": 1.0}] * 2, [{"feature": None}] * 2)],
    *[((*STUDENT, "epochs_since_best"), value) for value in (None, -1, "x", 1.5)],
    *[((*STUDENT, "average"), value) for value in (None, {}, {"updates": -1, "weights": {}})],
    *[((*STUDENT, "average", "updates"), value) for value in (-1, None, 1.5)],
]


@pytest.mark.parametrize(("place", "value"), limited.thinned(STATES))
@pytest.mark.integration
def test_a_malformed_state_is_refused_in_one_sentence(stopped, tmp_path, place, value):
    cache, run = stopped
    out = tmp_path / "run"
    out.mkdir()
    os.link(run / "best_student.pt", out / "best_student.pt")
    state = torch.load(run / TRAINING_STATE, weights_only=True)
    torch.save(changed(state, place, value), out / TRAINING_STATE)
    with bounded(seconds=30), pytest.raises((CheckpointError, InputError)) as refusal:
        training.train(settings(cache, out, ema=0.5))
    message = str(refusal.value)
    assert "overwrite" in message and "\n" not in message and len(message) < 1500


@pytest.mark.parametrize("kept", [{"exp_avg", "exp_avg_sq"}, {"momentum"}])
@pytest.mark.integration
def test_moments_of_another_shape_are_refused(stopped, tmp_path, kept):
    """Of AdamW and of Muon, which a student from scratch has both."""
    cache, run = stopped
    out = tmp_path / "run"
    out.mkdir()
    os.link(run / "best_student.pt", out / "best_student.pt")
    state = torch.load(run / TRAINING_STATE, weights_only=True)
    moments = state["students"]["tiny"]["optimizer"]["state"]
    part = next(part for part in moments.values() if kept <= set(part))
    part |= {name: torch.zeros(3, 5) for name in kept}
    torch.save(state, out / TRAINING_STATE)
    with pytest.raises(CheckpointError, match=r"optimizer has moments of other shapes.*--overwrite"):
        training.train(settings(cache, out, ema=0.5))


def test_a_valid_state_is_resumed_from(stopped):
    cache, run = stopped
    assert check_archive(run / TRAINING_STATE, 1 << 30)["epoch"] == 2
    assert "already trained" in training.train(settings(cache, run, ema=0.5)).summary
