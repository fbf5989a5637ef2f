"""Stage two: trains students from a cache, without the teacher and without videos."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.labels import LabelSet
from embedonce.cache.ledger import LEDGER, Ledger
from embedonce.cache.reader import CacheReader
from embedonce.models.device import choose_device
from embedonce.models.losses.term import LossSettings
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT
from embedonce.pipeline.checkpoints.training_state import has_state
from embedonce.pipeline.clips.open_cache import open_cache
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.reporting.training_log import summary
from embedonce.pipeline.tracking.reporting import check_trackers
from embedonce.pipeline.training.distributed import World, join
from embedonce.pipeline.training.epoch_loop import run_epoch
from embedonce.pipeline.training.recipe import loss_settings_for
from embedonce.pipeline.training.run_files import student_folders
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.training_run import TrainingRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """Paths of the best students, a summary of the run in a few lines, and the cache that it read."""

    best_paths: tuple[Path, ...]
    summary: str  # empty in all processes but the first
    reader: CacheReader
    labels: LabelSet


def train(config: TrainConfig) -> TrainResult:
    """Train students, or continue a run that was stopped. Writes best_student.pt, logs and a state to resume from.

    Several students are trained jointly on the same batches; each has a subfolder of the output folder.
    """
    check_trackers(config.trackers)
    reader, labels, settings = _opened(config)
    commit.check_writable(config.output_dir)
    world, device = join(choose_device(config.device))
    if not world.is_first:
        logging.disable(logging.CRITICAL)
    try:
        config = config.for_device(device.type)
        with _locked_folders(config, world):
            _keep_ledger(config, reader, world)
            run = TrainingRun(config, reader, labels, settings, world, device)
            return TrainResult(*_run_to_end(run), reader, labels)
    finally:
        world.shutdown()


@dataclass(frozen=True)
class FoundRun:
    """The run that an output folder holds. summary: of one that has ended; None while epochs are left."""

    summary: str | None


def find_run(config: TrainConfig) -> FoundRun | None:
    """The run of these settings and data in the output folder; None if it has done no batch yet. Writes nothing.

    InputError if the folder holds another run, CheckpointError if its files are damaged.
    """
    if not has_state(config.output_dir):
        return None
    device = choose_device(config.device)
    reader, labels, settings = _opened(config)
    run = TrainingRun(config.for_device(device.type), reader, labels, settings, World(), device)
    state = run.resumed_from
    if state is None:
        return None
    run.epoch, run.stopped_early = state.epoch, state.stopped_early
    return FoundRun(_result(run, was_finished=True)[1] if run.is_over else None)


def _opened(config: TrainConfig) -> tuple[CacheReader, LabelSet, LossSettings]:
    """The cache, the label set, and the settings of the loss."""
    reader = open_cache(config)
    labels = reader.label_set(config.label_set)
    return reader, labels, loss_settings_for(config, labels, reader)


@contextlib.contextmanager
def _locked_folders(config: TrainConfig, world: World) -> Iterator[None]:
    """Locks the run's folders. BusyError if another training writes into one of them."""
    with contextlib.ExitStack() as locks:
        if world.is_first:
            for folder in dict.fromkeys((config.output_dir, *student_folders(config).values())):
                locks.enter_context(sole_writer(folder, "train-student"))
        yield


def _keep_ledger(config: TrainConfig, reader: CacheReader, world: World) -> None:
    """Remember beside the run which shards were verified: for its other processes, and for when it is continued."""
    ledger = Ledger(config.output_dir / LEDGER)
    if world.is_first and (problem := ledger.problem()):
        log.warning("%s", problem)
    reader.share_ledger(ledger)


def _run_to_end(run: TrainingRun) -> tuple[tuple[Path, ...], str]:
    """Paths of the best students, and the summary."""
    if run.resumed_from is not None:
        run.restore(run.resumed_from)
        run.resumed_from = None  # frees its tensors
    was_finished = run.is_over
    if not was_finished:
        run.prepare()
    try:
        with run.workers:
            while not run.is_over:
                run_epoch(run)
    finally:
        run.files.close()
    return _result(run, was_finished)


def _result(run: TrainingRun, was_finished: bool) -> tuple[tuple[Path, ...], str]:
    paths = tuple(folder / BEST_STUDENT for folder in run.folders().values())
    if not run.world.is_first:  # only the first process has the files
        return paths, ""
    lines = []
    for size, path in zip(run.students, paths, strict=True):
        prefix = f"student {size}: " if len(paths) > 1 else ""
        best = checkpoint.load(path)
        line = summary(best.epoch, best.selection, run.epoch, was_finished)
        lines += [f"{prefix}{line}", f"checkpoint: {path}"]
        lines += [] if best.calibration is None else [f"calibration: {best.calibration}"]
    return paths, block(lines)
