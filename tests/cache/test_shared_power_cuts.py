"""Power cuts after the death of a writer beside another: nothing that the living one builds on may be lost."""

import os
from contextlib import closing, suppress
from pathlib import Path

import pytest

from embedonce.cache.store import has_cache, open_writer
from tests.conftest import make_cache_identity
from tests.support.crash_states import Explorer
from tests.support.recorded_operations import Killed, Naming, Recorder
from tests.support.shared_writers import complaints, work, write

pytestmark = pytest.mark.crash

FEW = {"a": range(5)}  # two units
BACKEND = "webdataset"


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    """The simulated disk decides what is durable: no test waits for the real one."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def recorded(folder: Path, lives_for: float) -> tuple[Recorder, int, int]:
    """A writer that dies after so many operations beside one that then does everything; where it began and died."""
    folder.mkdir()
    recorder, root = Recorder(folder), folder / "cache"
    with recorder.recording(), closing(open_writer(root, make_cache_identity(BACKEND), is_shared=True)) as living:
        began = len(recorder.operations)
        recorder.dies_after = began + lives_for
        with suppress(Killed):
            write(root, BACKEND, FEW, machine=1)
        recorder.dies_after, died = float("inf"), len(recorder.operations)
        work(living, FEW, machine=2)
    return recorder, began, died


def examine(folder: Path) -> tuple[dict, list[str]]:
    root = folder / "cache"
    try:
        return {}, complaints(root, FEW) if has_cache(root) else []
    except Exception as error:  # whatever it is: no state may lead to it
        return {}, [f"{type(error).__name__}: {error}"]


@pytest.mark.parametrize("name", ["000000.tar", pytest.param("", marks=pytest.mark.slow)])
def test_what_a_killed_writer_left_is_durable_before_another_builds_on_it(tmp_path, name):
    """Killed right after a file got this name, or any name that ends so, and before that was durable."""
    recorder, began, died = recorded(tmp_path / "whole", float("inf"))
    steps = range(began, died)
    namings = [step for step in steps if isinstance(recorder.operations[step], Naming)]
    chosen = [step for step in namings if any(new.endswith(name) for new in recorder.operations[step].names)]
    (tmp_path / "scratch").mkdir()
    explorer = Explorer(tmp_path / "scratch", examine)
    for number in (step + 1 - began for step in chosen):
        recorder, _, died = recorded(tmp_path / str(number), number)
        assert list(dict.fromkeys(explorer.violations(recorder, first=died))) == [], f"killed after {number} operations"
    assert chosen and explorer.num_states > 100
