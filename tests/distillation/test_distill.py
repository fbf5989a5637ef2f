"""Which steps of a distillation are run and with which options, for everything that may be there already.

Students are trained for real, on a tiny cache; extraction and export are tested with the command.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.distillation import distill as distilling
from embedonce.pipeline.distillation.distill import Commands, Distilled, distill
from embedonce.pipeline.distillation.request import Request
from embedonce.pipeline.distillation.steps import EVALUATE, EXPORT, EXTRACT, SETTINGS, TRAIN, Step
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.extraction.completeness import Completeness
from embedonce.pipeline.training import trainer
from embedonce.pipeline.training.trainer import train
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration
SMALL = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 2, "epochs": 1, "num_workers": 0}


class Recorded:
    """Commands that record what is run and what is skipped. Training and evaluation are real."""

    def __init__(self):
        self.ran: list[Step] = []
        self.lines: list[str] = []

    @property
    def commands(self) -> Commands:
        return Commands(self._settings, self._run, self.lines.append)

    @property
    def names(self) -> list[str]:
        return [step.name for step in self.ran]

    def _settings(self, step: Step):
        return SETTINGS[step.name].from_options({name: v for name, v in step.options.items() if v is not None})

    def _run(self, step: Step) -> int:
        self.ran.append(step)
        if step.name in (TRAIN, EVALUATE):
            {TRAIN: train, EVALUATE: evaluate}[step.name](self._settings(step))
        return 3 if step.name == EXTRACT else 0


@pytest.fixture
def extracted(monkeypatch):
    """Sets what is left to extract."""

    def left(state: Completeness) -> None:
        monkeypatch.setattr(distilling, "completeness", lambda config: state)

    left(Completeness("", ("tiny",), 6))
    monkeypatch.setattr(distilling, "why_export", lambda config: "there is no export yet")
    return left


def request(folder: Path, overwrite: bool = False, **training) -> Request:
    given = {EXTRACT: {"data_dir": folder}, TRAIN: SMALL | training, EVALUATE: {"num_workers": 0}, EXPORT: {}}
    return Request(folder / "cache", folder / "out", given, overwrite)


def run(asked: Request) -> tuple[Recorded, Distilled]:
    recorded = Recorded()
    return recorded, distill(asked, recorded.commands)


def test_students_are_trained_once_and_replaced_only_on_demand(tmp_path, extracted):
    make_tiny_cache(tmp_path / "cache", 6)
    first, done = run(request(tmp_path))
    assert first.names == [TRAIN, EVALUATE, EXPORT] and done.folders == (tmp_path / "out",) and done.is_evaluated
    again, _ = run(request(tmp_path, overwrite=True))
    assert again.names == [EXPORT]  # whose export is not there
    assert any(line.startswith("train-student: skipped, already trained") for line in again.lines)
    with pytest.raises(InputError, match="holds another training run"):
        run(request(tmp_path, epochs=2))
    replaced, _ = run(request(tmp_path, overwrite=True, epochs=2))
    assert replaced.names == [TRAIN, EVALUATE, EXPORT]
    assert all(step.options["overwrite"] for step in replaced.ran)


def test_a_stopped_run_that_replaces_another_is_continued(tmp_path, extracted, monkeypatch):
    make_tiny_cache(tmp_path / "cache", 6)
    run(request(tmp_path))
    real, calls = trainer.run_epoch, []

    def stopped(run):
        if calls:
            raise KeyboardInterrupt
        calls.append(real(run))

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "run_epoch", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(request(tmp_path, overwrite=True, epochs=2))
    recorded, _ = run(request(tmp_path, overwrite=True, epochs=2))
    assert "train-student: continues the run that was stopped" in recorded.lines
    assert recorded.ran[0].options["overwrite"] is False


def test_what_is_left_to_extract_is_extracted_and_its_exit_code_kept(tmp_path, extracted):
    make_tiny_cache(tmp_path / "cache", 6)
    extracted(Completeness("2 new videos"))
    recorded, done = run(request(tmp_path))
    assert recorded.names[0] == EXTRACT and done.exit_code == 3
    assert recorded.lines[0] == "extract-teacher: 2 new videos"
    extracted(Completeness("", ("tiny",), 6, quarantined=1))
    assert run(request(tmp_path))[1].exit_code == 3


def test_terms_without_data_are_off_and_several_label_sets_named(tmp_path, extracted):
    cache = make_tiny_cache(tmp_path / "cache", 6, labeled=False, logits=False)
    recorded, _ = run(request(tmp_path))
    (step,) = [step for step in recorded.ran if step.name == TRAIN]
    assert step.options["beta"] == 0 and step.options["gamma"] == 0 and step.options["label_set"] is None
    reader = open_reader(cache)
    writer = open_writer(cache, reader.identity)
    writer.create_label_set(replace(reader.label_set("tiny"), name="another", clips=()), None)
    writer.publish_clips("another", 0, reader.label_set("tiny").clips)
    writer.close()
    extracted(Completeness("", ("another", "tiny"), 6))
    asked = request(tmp_path, overwrite=True)
    recorded, done = run(asked)
    assert {step.options["label_set"] for step in recorded.ran} == {"another"} and done.label_set == "another"


def test_a_student_without_held_out_clips_is_exported_unevaluated(tmp_path, extracted, monkeypatch):
    make_tiny_cache(tmp_path / "cache", 6)
    monkeypatch.setattr(distilling, "split_to_evaluate", lambda reader, labels: None)
    recorded, done = run(request(tmp_path))
    assert recorded.names == [TRAIN, EXPORT] and not done.is_evaluated
    assert recorded.ran[1].options["split"] == "train"
    assert any("evaluate: skipped, label set 'tiny' has no clip" in line for line in recorded.lines)
    assert not any("report" in line for line in done.lines(request(tmp_path)))


@pytest.mark.slow  # two students
def test_each_of_several_students_is_evaluated_and_exported_in_its_folder(tmp_path, extracted):
    make_tiny_cache(tmp_path / "cache", 6)
    recorded, done = run(request(tmp_path, student_size="tiny,xxs", student_pretrained=False))
    assert recorded.names == [TRAIN, EVALUATE, EXPORT, EVALUATE, EXPORT]
    assert done.folders == (tmp_path / "out" / "tiny", tmp_path / "out" / "xxs")
    exported = [step.options["output_dir"] for step in recorded.ran if step.name == EXPORT]
    assert exported == [folder / "export" for folder in done.folders]
