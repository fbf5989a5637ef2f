"""OpenMP's threads sleep while they wait for one another in extract-teacher, and not against the user's settings."""

import os

import pytest

from embedonce.pipeline.commands import extract_teacher
from embedonce.pipeline.processes.waiting_threads import WAITING, let_waiting_threads_sleep
from tests.commands.test_cli import error_of

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what a test sets is gone after it
        monkeypatch.delenv(name)


def test_waiting_threads_sleep():
    assert let_waiting_threads_sleep() and os.environ[WAITING] == "PASSIVE"


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_of_the_user_has_precedence(monkeypatch, name):
    monkeypatch.setenv(name, "ACTIVE")
    assert not let_waiting_threads_sleep() and os.environ.get(WAITING, "ACTIVE") == "ACTIVE"


def test_extraction_sets_it_before_anything_else(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(extract_teacher, "let_waiting_threads_sleep", lambda: calls.append("set"))
    error_of("extract-teacher", "--data-dir", tmp_path / "missing", "--cache-dir", tmp_path / "c")
    assert calls == ["set"]
