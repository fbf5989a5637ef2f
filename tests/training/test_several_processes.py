"""What the other processes do at the end of a run, and how long they wait for the first. Does not start torchrun."""

import logging
from datetime import timedelta

import pytest
import torch
from click.testing import CliRunner

from embedonce import cli
from embedonce.pipeline.training import distributed
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.distributed import World, join
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture
def loud():
    yield
    logging.disable(logging.NOTSET)  # training silences processes that are not the first


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.integration
def test_only_the_first_process_prints_the_summary(tmp_path, monkeypatch, loud, rank):
    monkeypatch.setattr(training, "join", lambda device: (World(rank, 1), device))
    cache, out = make_tiny_cache(tmp_path / "c", 4), tmp_path / "out"
    arguments = ["--cache-dir", cache, "--output-dir", out, "--epochs", 1, "--student-size", "tiny", "--device", "cpu"]
    arguments += ["--no-student-pretrained", "--student-resolution", 128, "--frames-per-clip", 1, "--num-workers", 0]
    ran = CliRunner().invoke(cli.main, ["train-student", *map(str, arguments)])
    assert ran.exit_code == 0, ran.output
    printed = ("checkpoint:" in ran.stdout, "next: python cli.py evaluate" in ran.stdout)
    assert printed == ((True, True) if rank == 0 else (False, False)) and (ran.stdout == "") == (rank == 1)


def test_the_process_group_timeout_is_longer_than_a_validation(monkeypatch):
    """It runs the selection clips alone: gloo would give up after 30 minutes, NCCL after 10."""
    options = {}
    monkeypatch.setattr(
        distributed.distributed, "init_process_group", lambda kind, **how: options.update(how, kind=kind)
    )
    for name, value in {"WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    world, _ = join(torch.device("cpu"))
    assert (world.rank, world.size, options["kind"]) == (1, 2, "gloo") and options["timeout"] >= timedelta(hours=12)
