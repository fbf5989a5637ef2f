"""A merge that ends anywhere: what is there is sound, and the same command makes of it what nobody interrupted."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from embedonce.cache import long_documents, plan_parts
from embedonce.cache.errors import CacheError
from embedonce.cache.layout import LOCK
from embedonce.cache.merging.merge import merge
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.store import has_cache, open_reader, open_writer
from embedonce.cache.verify import verify
from tests.conftest import second_backend_slow
from tests.support.cache_parts import OTHER, make_cache, quarantined
from tests.support.crash_states import Explorer
from tests.support.recorded_operations import Killed, Naming, Recorder
from tests.support.shared_units import COMPUTED, LABELS, PLAIN, content

pytestmark = pytest.mark.crash


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(autouse=True)
def several_parts(monkeypatch):
    """What a merge plans is written in a part for each unit."""
    monkeypatch.setattr(plan_parts.cut_parts, "__defaults__", (1,))


def make_inputs(folder: Path, backend: str) -> list[Path]:
    """Two caches that complete each other's videos, with label sets that only one has, and a withdrawn video."""
    a = make_cache(folder / "a", {"a": range(6), "b": range(3)}, backend=backend, label_sets=(LABELS, PLAIN))
    sets = (LABELS, COMPUTED)
    b = make_cache(folder / "b", {"b": range(1, 7), "w": range(2), "d": range(5)}, backend="hdf5", label_sets=sets)
    remove(b, videos_removal(["w"], is_withdrawal=True))
    quarantined(b, "broken")
    return [a, b]


def make_target(folder: Path, backend: str) -> Path:
    """A target with videos of its own, a unit that lacks rows of the inputs, and an entry that they make needless."""
    parts = {"z": range(5)}, {"d": range(4)}
    into = make_cache(folder / "into", *parts, backend=backend, pending=1, label_sets=(LABELS,))
    quarantined(into, "a")
    return into


@pytest.fixture
def prepared(tmp_path, backend, is_new) -> Path:
    """A folder with the inputs, and with a target unless the merge shall make a new one."""
    folder = tmp_path / "prepared"
    folder.mkdir()
    make_inputs(folder, backend)
    if not is_new:
        make_target(folder, OTHER[backend])
    return folder


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != LOCK)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def recorded(prepared: Path, folder: Path, dies_after=float("inf")) -> tuple[Recorder, list[Path], Path]:
    """A merge in a copy of what was prepared, which may be killed: (its operations, inputs, target)."""
    shutil.copytree(prepared, folder)
    inputs, into = [folder / "a", folder / "b"], folder / "into"
    recorder = Recorder(folder, dies_after)
    try:
        with recorder.recording():
            merge(inputs, into)
    except Killed:
        pass
    return recorder, inputs, into


@second_backend_slow
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "existing"])
@pytest.mark.parametrize(
    ("kills", "max_bytes"),
    [
        (4, long_documents.MAX_BYTES),
        pytest.param(1000, long_documents.MAX_BYTES, marks=pytest.mark.slow),
        pytest.param(50, 150, marks=pytest.mark.slow),
    ],
)
def test_a_merge_that_is_killed_anywhere_ends_the_same_when_it_is_run_again(
    tmp_path, prepared, kills, max_bytes, monkeypatch
):
    monkeypatch.setattr(long_documents, "MAX_BYTES", max_bytes)
    whole, inputs, into = recorded(prepared, tmp_path / "whole")
    expected, unchanged = files(into), list(map(files, inputs))
    assert [p.message for p in verify(into).problems] == [] and not verify(into).unfinished
    moments = [i for i, step in enumerate(whole.operations, 1) if isinstance(step, Naming)]
    assert len(moments) > 60
    for moment in moments[:: max(1, len(moments) // kills)]:
        folder = tmp_path / f"killed-{moment}"
        _, inputs, into = recorded(prepared, folder, dies_after=moment)
        problems = [problem.message for problem in verify(into).problems] if has_cache(into) else []
        merge(inputs, into)
        assert files(into) == expected and list(map(files, inputs)) == unchanged and problems == [], moment
        shutil.rmtree(folder)


@pytest.mark.parametrize(("is_new", "backend"), [(False, "hdf5")])
def test_a_merge_that_is_killed_twice_ends_the_same(tmp_path, prepared):
    whole, _, into = recorded(prepared, tmp_path / "whole")
    expected, num_operations = files(into), len(whole.operations)
    _, inputs, into = recorded(prepared, tmp_path / "killed", dies_after=num_operations // 3)
    recorder = Recorder(tmp_path / "killed", dies_after=num_operations // 3)
    with pytest.raises(Killed), recorder.recording():
        merge(inputs, into)
    merge(inputs, into)
    assert files(into) == expected


def shown(before: dict, after: dict, folder: Path) -> tuple[dict, list[str]]:
    """What is wrong with a state: its content is partly that of before, partly that of after; then it is finished."""
    inputs, into, wrong = [folder / "a", folder / "b"], folder / "into", []
    try:
        if has_cache(into):
            found = content(into)
            ours = {key: value for key, value in found.items() if not key.startswith("timeline")}
            wrong += [f"{key} is another one" for key, value in ours.items() if after.get(key) != value]
            wrong += [f"{key} is missing" for key in before if key not in found]
            wrong += [problem.message for problem in verify(into).problems]
            open_writer(into, open_reader(into).identity).close()
        merge(inputs, into)
        wrong += [] if content(into) == after else ["it is not finished by the same command"]
        wrong += [problem.message for problem in verify(into).problems]
    except CacheError as error:
        wrong.append(f"{type(error).__name__}: {error}")
    return {}, wrong


@pytest.mark.slow
@second_backend_slow
@pytest.mark.parametrize("is_new", [True, False], ids=["new", "existing"])
def test_every_state_after_a_power_cut_is_readable_and_finished_by_the_same_command(tmp_path, prepared, is_new):
    before = {} if is_new else content(prepared / "into")
    recorder, _, into = recorded(prepared, tmp_path / "recorded")
    (tmp_path / "scratch").mkdir()
    explorer = Explorer(tmp_path / "scratch", partial(shown, before, content(into)))
    assert list(dict.fromkeys(explorer.violations(recorder)))[:5] == []
    assert len(explorer.examined) > 50
