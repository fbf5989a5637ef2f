"""--report-to: trackers get every epoch once under one id, and none of them can stop a training."""

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.tracking import registry
from embedonce.pipeline.tracking.registry import load_tracker, register_tracker
from embedonce.pipeline.tracking.reporting import Reports, check_trackers, run_id
from embedonce.pipeline.tracking.tracker import TrackedRun
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.tiny_cache import make_tiny_cache
from tests.training.test_training import StopError, settings, stopped_after


class Recorder:
    """A tracker that keeps everything it is told."""

    runs: ClassVar[list["Recorder"]] = []
    failing = ""

    def __init__(self):
        self._fail("make")

    def start(self, run: TrackedRun) -> None:
        self.run, self.logged, self.is_closed = run, [], False
        Recorder.runs.append(self)
        self._fail("start")

    def log(self, epoch, figures) -> None:
        self.logged.append((epoch, dict(figures)))
        self._fail("log")

    def close(self) -> None:
        self.is_closed = True
        self._fail("close")

    def _fail(self, what: str) -> None:
        if what == Recorder.failing:
            raise ConnectionError("no network\nat all")


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(registry, "TRACKERS", dict(registry.TRACKERS))
    monkeypatch.setattr(Recorder, "runs", [])
    monkeypatch.setattr(Recorder, "failing", "")
    register_tracker("recorder", f"{__name__}:Recorder")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Recorder.__module__])
    return Recorder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6)


@pytest.mark.integration
def test_a_resumed_run_continues_under_its_id_and_a_new_one_gets_another(tiny, tmp_path, recorder, monkeypatch):
    config = settings(tiny, tmp_path / "out", report_to="recorder", batch_size=16)
    with monkeypatch.context() as patch:
        stopped_after(patch, 1)
        with pytest.raises(StopError):
            training.train(config)
    training.train(config)
    first, second = recorder.runs
    assert first.is_closed and second.is_closed
    assert [epoch for run in recorder.runs for epoch, _ in run.logged] == [1, 2]
    assert first.run.id == second.run.id and second.run.first_epoch == 2
    assert (first.run.name, first.run.group) == ("out-tiny", "out")
    assert first.run.settings["epochs"] == 2 and json.dumps(dict(first.run.settings))
    figures = second.logged[0][1]
    assert {"total", "feature", "gradient_share_feature", "selection_top1", "lr", "seconds"} <= set(figures)
    training.train(replace(config, overwrite=True, epochs=1))
    assert recorder.runs[2].run.id != first.run.id and recorder.runs[2].run.first_epoch == 1


@pytest.mark.slow
def test_students_of_one_training_are_one_group(tiny, tmp_path, recorder):
    training.train(settings(tiny, tmp_path / "out", report_to="recorder", student_size="tiny,xxs", epochs=1))
    runs = [one.run for one in recorder.runs]
    assert [run.name for run in runs] == ["out-tiny", "out-xxs"] and {run.group for run in runs} == {"out"}
    assert len({run.id for run in runs}) == 2


ENTRY = {"epoch": 1, "total": 0.5, "selection_top1": None}
RUN = TrackedRun(Path("x"), "0a", "x-tiny", "x", {})


@pytest.mark.parametrize("what", ["start", "log", "close"])
def test_a_tracker_that_fails_is_dropped_with_one_warning(recorder, caplog, what):
    recorder.failing = what
    reports = Reports(("csv", "recorder"), RUN)
    for epoch in (1, 2):
        reports.log(ENTRY | {"epoch": epoch})
    reports.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"recorder failed ({what}: no network at all); the training goes on without it"]
    assert len(recorder.runs[0].logged) == {"start": 0, "log": 1, "close": 2}[what]


def test_a_tracker_that_cannot_be_made_is_dropped_too(recorder, caplog):
    recorder.failing = "make"
    Reports(("recorder",), RUN).log(ENTRY)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "recorder failed (start: no network at all); the training goes on without it"
    ]


def test_only_numbers_are_reported(recorder):
    reports = Reports(("recorder",), RUN)
    reports.log(ENTRY)
    assert recorder.runs[0].logged == [(1, {"total": 0.5})]


def test_a_missing_package_is_one_sentence_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "embedonce.pipeline.tracking.wandb", raising=False)
    config = TrainConfig(tmp_path / "no cache", tmp_path / "out", report_to="wandb")
    with pytest.raises(InputError, match=r"^--report-to wandb needs a package .* pip install 'embedonce\[tracking\]'$"):
        training.train(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("code", ["raise ValueError('an old library')", "Other = 1"])
def test_a_tracker_whose_module_does_not_work_is_one_sentence(recorder, tmp_path, monkeypatch, code):
    (tmp_path / "tracker_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tracker_of_mine", raising=False)
    register_tracker("mine", "tracker_of_mine:Tracker")
    with pytest.raises(InputError, match="--report-to mine needs a package that cannot be imported"):
        check_trackers(("mine",))


@pytest.mark.parametrize("names", ["", "csv,csv", "mlflow", "csv, wandb"])
def test_unknown_trackers_are_refused(names):
    with pytest.raises(ValueError, match="--report-to must be one or more of csv, tensorboard, wandb, trackio"):
        TrainConfig(report_to=names)


def test_the_old_option_is_the_same():
    assert TrainConfig().trackers == () and TrainConfig(tensorboard=True).trackers == ("tensorboard",)
    assert TrainConfig(report_to="csv,tensorboard,wandb", tensorboard=True).trackers == ("tensorboard", "wandb")


@pytest.mark.parametrize(
    ("name", "location", "message"),
    [("csv", "m:C", "registered already"), ("a,b", "m:C", "invalid tracker name"), ("new", "m", "give 'package")],
)
def test_invalid_registrations_are_refused(recorder, name, location, message):
    with pytest.raises(ValueError, match=message):
        register_tracker(name, location)


def test_an_id_that_was_changed_is_made_anew(tmp_path):
    first = run_id(tmp_path, is_new=True)
    assert run_id(tmp_path, is_new=False) == first != run_id(tmp_path, is_new=True)
    (tmp_path / "tracking_id.txt").write_text("../etc")
    assert set(run_id(tmp_path, is_new=False)) <= set("0123456789abcdef")


@pytest.mark.integration
def test_wandb_keeps_a_run_on_this_machine(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    run = TrackedRun(tmp_path, "0123456789abcdef", "out-tiny", "out", {"epochs": 2})
    for epoch in (1, 2):  # the second time, it is continued
        tracker = load_tracker("wandb")()
        tracker.start(replace(run, first_epoch=epoch))
        tracker.log(epoch, {"total": 1 / epoch})
        assert tracker._run.id == run.id and tracker._run.group == "out"
        tracker.close()
    files = list((tmp_path / "wandb").glob("offline-run-*/run-0123456789abcdef.wandb"))
    assert files and all(path.stat().st_size for path in files)
    assert any(b"total" in path.read_bytes() for path in files)


def test_trackio_gets_the_run_as_it_asks_for_it(monkeypatch, tmp_path):
    """With a stand-in for the package, which needs a web server."""
    calls = []
    run = types.SimpleNamespace(
        log=lambda figures, step: calls.append(("log", figures, step)), finish=lambda: calls.append("finish")
    )
    module = types.SimpleNamespace(init=lambda **options: calls.append(options) or run)
    monkeypatch.setitem(sys.modules, "trackio", module)
    monkeypatch.delitem(sys.modules, "embedonce.pipeline.tracking.trackio", raising=False)
    tracker = load_tracker("trackio")()
    tracker.start(TrackedRun(tmp_path, "0a", "out-tiny", "out", {"epochs": 2}))
    tracker.log(1, {"total": 0.5})
    tracker.close()
    options = {"project": "embedonce", "name": "out-tiny-0a", "group": "out", "config": {"epochs": 2}}
    assert calls == [options | {"resume": "allow"}, ("log", {"total": 0.5}, 1), "finish"]


@pytest.mark.slow
def test_trackio_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    try:
        tracker = load_tracker("trackio")()
    except InputError as error:
        pytest.skip(str(error))
    tracker.start(TrackedRun(tmp_path, "0a", "out-tiny", "out", {"epochs": 2}))
    tracker.log(1, {"total": 0.5})
    tracker.close()
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def test_the_table_alone_needs_no_package(monkeypatch):
    monkeypatch.setattr(registry, "TRACKERS", {})
    check_trackers(("csv",))
