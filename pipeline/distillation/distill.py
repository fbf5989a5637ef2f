"""distill: from videos to an exported student, by the four commands in turn. What is done already is skipped."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT
from embedonce.pipeline.console.next_commands import name_if_needed, split_to_evaluate, weights_to_train
from embedonce.pipeline.distillation.request import Request
from embedonce.pipeline.distillation.steps import EVALUATE, EXTRACT, TRAIN, Step
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.evaluation.inputs import why_evaluate
from embedonce.pipeline.evaluation.output_files import REPORT_NAME, is_same_student
from embedonce.pipeline.export.source import SETTINGS_NAME, why_export
from embedonce.pipeline.extraction.completeness import Completeness, completeness
from embedonce.pipeline.files.recognition import settings_in
from embedonce.pipeline.training.run_files import student_folders
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.trainer import FoundRun, find_run

NOT_HELD_OUT = "label set {!r} has no clip with a frame that students are not trained on; add held-out videos"


@dataclass(frozen=True)
class Commands:
    """The commands that the steps are. settings: of a step. run: it, returning the exit code. tell: prints a line."""

    settings: Callable[[Step], Any]
    run: Callable[[Step], int]
    tell: Callable[[str], None]

    def do(self, step: Step, why: str) -> int:
        """Print the command line and run it. why: it is run, and not skipped."""
        self.tell(f"{step.name}: {why}" if why else step.name)
        self.tell(f"$ {step.line}")
        return self.run(step)

    def skip(self, step: Step, why: str) -> None:
        self.tell(f"{step.name}: skipped, {why}")


@dataclass(frozen=True)
class Distilled:
    """What a distillation has made. folders: one for each student. exit_code: of the extraction."""

    exit_code: int
    folders: tuple[Path, ...]
    label_set: str | None
    is_evaluated: bool

    def lines(self, request: Request) -> Iterator[str]:
        yield f"cache:   {request.cache_dir}"
        for folder in self.folders:
            yield f"student: {folder / BEST_STUDENT}"
            if self.is_evaluated:
                yield f"report:  {folder / REPORT_NAME}"
            yield f"export:  {folder / 'export'}"
        if self.is_evaluated:
            yield f"next: open {self.folders[0] / REPORT_NAME} in a browser"


def distill(request: Request, commands: Commands) -> Distilled:
    """Run the steps that are not done yet. Errors of a step end it; the same request continues there."""
    code = _extract(request, commands)
    reader = open_reader(request.cache_dir)
    labels = reader.label_set(_label_set_name(request, reader, commands))
    chosen = {"label_set": name_if_needed(reader, labels)}
    folders = _train(request, commands, {**chosen, **weights_to_train(reader, labels)})
    split = split_to_evaluate(reader, labels)
    needed = chosen | {"split": None if split == "val" else split or "train"}
    for folder in folders:
        if split is None and "split" not in request.given[EVALUATE]:
            commands.skip(request.evaluation(folder, {}), NOT_HELD_OUT.format(labels.name))
        else:
            _evaluate(request, commands, request.evaluation(folder, needed))
        _export(request, commands, request.export(folder, needed))
    is_evaluated = split is not None or "split" in request.given[EVALUATE]
    return Distilled(code, folders, chosen["label_set"], is_evaluated)


def _extract(request: Request, commands: Commands) -> int:
    """The exit code of the extraction: 0, or 3 if some videos cannot be used."""
    step = request.extraction()
    state = _left_to_extract(step, commands)
    if state.remaining:
        return commands.do(step, state.remaining)
    unusable = f", {state.quarantined} of which cannot be used" if state.quarantined else ""
    commands.skip(step, f"the cache has all frames and labels of {state.videos} videos{unusable}")
    return state.exit_code


def _left_to_extract(step: Step, commands: Commands) -> Completeness:
    with _quiet():
        return completeness(commands.settings(step))


def _label_set_name(request: Request, reader: CacheReader, commands: Commands) -> str | None:
    """The given label set, or the first that the extraction has written; None if the cache has only one."""
    names = reader.label_sets()
    for step in (TRAIN, EXTRACT):
        if request.given[step].get("label_set") is not None:
            return str(request.given[step]["label_set"])
    if len(names) < 2:
        return None
    return next((name for name in _left_to_extract(request.extraction(), commands).label_sets if name in names), None)


def _train(request: Request, commands: Commands, needed: Mapping[str, object]) -> tuple[Path, ...]:
    """The folders of the students."""
    step = request.training(needed)
    config = commands.settings(step)
    found, why = _found(config, request.overwrite)
    if found is not None and found.summary is not None:
        commands.skip(step, found.summary.splitlines()[0])
    else:
        replaces = request.overwrite and found is None
        commands.do(replace(step, options={**step.options, "overwrite": replaces}), why)
    return tuple(student_folders(config).values()) or (config.output_dir,)


def _found(config: TrainConfig, overwrite: bool) -> tuple[FoundRun | None, str]:
    """The run that is there already, and why it must be trained."""
    try:
        with _quiet():
            found = find_run(config)
    except PipelineError:  # without --overwrite, train-student says what is in the way
        return None, "replaces the student of other settings or data (--overwrite)" if overwrite else ""
    return found, "there is no student yet" if found is None else "continues the run that was stopped"


def _evaluate(request: Request, commands: Commands, step: Step) -> None:
    with _quiet():
        why = why_evaluate(commands.settings(step))
    if why is None:
        commands.skip(step, "the evaluation there is of this student, these clips and these settings")
        return
    commands.do(replace(step, options={**step.options, "overwrite": request.overwrite}), why)


def _export(request: Request, commands: Commands, step: Step) -> None:
    config = commands.settings(step)
    why = why_export(config)
    if why is None:
        commands.skip(step, "the export there is of this student and these settings")
        return
    settings = config.output_dir / SETTINGS_NAME
    is_own = settings.exists() and is_same_student(settings_in(settings.read_bytes()), config.as_dict())
    commands.do(replace(step, options={**step.options, "overwrite": request.overwrite or is_own}), why)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without notes in the log, which the step itself prints."""
    log = logging.getLogger("embedonce")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
