"""One epoch of a training run: training steps, validation on the selection clips, logs and saved files."""

import contextlib
import logging
import time
from collections.abc import Iterator

import torch

from embedonce.models.device import uncompiled
from embedonce.pipeline.clips.batch import ClipBatch
from embedonce.pipeline.clips.inference import Predictions, predict
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.processes import interrupts
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.training.distributed import World
from embedonce.pipeline.training.epoch_plan import EpochPlan
from embedonce.pipeline.training.recipe import random_seed
from embedonce.pipeline.training.selection_score import MAP, MEAN_CLASS, TOP1, selection_score
from embedonce.pipeline.training.training_run import TrainingRun

log = logging.getLogger(__name__)


def run_epoch(run: TrainingRun) -> None:
    """Train for one epoch, or what remains of it, then validate, log and save."""
    started = time.perf_counter()
    run.train_set.epoch_state = run.epoch, run.draws_random_views()
    plan = run.plan(run.epoch)
    for student in run.students.values():
        student.train_mode()
    waiting = _train(run, plan)
    predictions = _predict_selection(run)
    timing = {"seconds": time.perf_counter() - started, "seconds_waiting_for_data": waiting}
    with deferred_interrupts(run.world):
        run.epoch, run.position = run.epoch + 1, 0
        _close_epoch(run, plan, predictions, timing)


def deferred_interrupts(world: World) -> contextlib.AbstractContextManager:
    """Defers interrupts so that a consistent state can be saved.

    Not with several processes, which would have to agree on the batch: they resume from the last saved state.
    """
    return interrupts.deferred() if world.size == 1 else contextlib.nullcontext()


def _train(run: TrainingRun, plan: EpochPlan) -> float:
    """Train on the remaining batches of the epoch; returns the seconds spent waiting for data."""
    label = f"epoch {run.epoch + 1}/{run.config.epochs}"
    seconds = 0.0
    with (
        Progress(plan.total.clips, label, "clips", quiet=not run.world.is_first) as progress,
        deferred_interrupts(run.world),
    ):
        progress.update(sum(map(len, plan.batches[: run.position])))
        waiting_since = time.perf_counter()
        for batch in _load(run, plan.batches[run.position :]):
            seconds += time.perf_counter() - waiting_since
            train_step(run, batch, plan)
            progress.update(len(plan.batches[run.position]))
            run.position += 1
            is_last = run.world.size == 1 and interrupts.requested() and plan.ends_step(run.position - 1)
            if is_last or plan.saves_after(run.position - 1, run.config.checkpoint_steps):
                run.save_state()
            if is_last:
                break
            waiting_since = time.perf_counter()
    for student in run.students.values():
        student.check_losses()
    return seconds


def _load(run: TrainingRun, planned: list[list[int]]) -> Iterator[ClipBatch]:
    """This process's shard of each batch, on its device."""
    shards = [run.world.shard(batch) for batch in planned]
    for items in batches(run.train_set, shards, run.workers):
        yield ClipBatch.from_items(items).to(run.device, non_blocking=True)


def train_step(run: TrainingRun, batch: ClipBatch, plan: EpochPlan) -> None:
    """Train all students on one batch. Dropout is seeded by the batch's place in the run, so resuming is exact."""
    position = run.position
    counts, ends_step = plan.step_counts(position), plan.ends_step(position)
    for student in run.students.values():
        torch.manual_seed(random_seed(run.config.seed, run.epoch, position, run.world.rank))
        student.step(batch, counts, ends_step, plan.measured.get(position, 0))


def _predict_selection(run: TrainingRun) -> dict[str, Predictions]:
    """Each student's predictions for the selection clips, in the first process. An interrupt saves the state."""
    if not (run.world.is_first and len(run.selection_set)):
        return {}
    config = run.config
    try:
        with uncompiled():  # compiling for other batch sizes costs more than these few forward passes
            return {
                size: predict(student.eval_model, run.selection_set, config.batch_size, run.workers, run.device)
                for size, student in run.students.items()
            }
    except KeyboardInterrupt:
        if run.world.size == 1:
            run.save_state()
        raise


def _close_epoch(run: TrainingRun, plan: EpochPlan, predictions: dict[str, Predictions], timing: dict) -> None:
    """Validate, log, decide on early stopping, and save; the first process does it for all."""
    for size, student in run.students.items():
        entry = student.close_epoch(run.epoch, run.world.all_reduce_sum(student.sums, run.device), plan.total)
        if run.world.is_first:
            validate(run, size, predictions.get(size), entry | timing)
    patience = run.config.patience
    waited = min(student.epochs_since_best for student in run.students.values())
    run.stopped_early = run.world.broadcast(bool(patience) and waited >= patience)
    if run.stopped_early:
        log.info("stopped early: no improvement in %d epochs", patience)
    run.save_state()


def validate(run: TrainingRun, size: str, predictions: Predictions | None, entry: dict) -> None:
    """Score one student's epoch, save it if it is the best so far, and write its logs.

    entry: the epoch's log, to which the scores on the selection clips are added. Without such clips the epoch with the
    lowest loss is the best.
    """
    student = run.students[size]
    score = (-entry["total"], 0.0)
    if predictions is not None:
        if not predictions.is_finite:  # the last step can ruin weights without a loss that shows it
            raise student.non_finite_error("output", f"after the last step of epoch {run.epoch}")
        entry |= {"selection_top1": predictions.top1, "selection_mean_class_accuracy": predictions.mean_class_accuracy}
        if predictions.multi_hot is not None:
            entry |= {"selection_mean_average_precision": predictions.mean_average_precision}
        entry |= {"selection_cosine": predictions.cosine}
        entry |= {f"selection_cosine_{name}": cosine for name, cosine in predictions.added_cosines.items()}
        score = selection_score(predictions, run.rule)
    is_best = student.take_score(entry, score)
    prefix = f"{size}: " if len(run.students) > 1 else ""
    log.info("%s%s", prefix, epoch_line(entry, run.config.epochs, run.rule.score))
    if is_best:
        run.files.save_best(size, run.checkpoint_of(size, entry, predictions))
    run.files.write_logs(size, student.history)


def epoch_line(entry: dict, num_epochs: int, selected_by: str = TOP1) -> str:
    """One line about an epoch, from its log: mean loss, scores on the selection clips, time."""
    parts = [f"epoch {entry['epoch']}/{num_epochs}: loss {entry['total']:.4g}"]
    scores = {"top-1": entry.get("selection_top1"), "cosine": entry.get("selection_cosine")}
    if selected_by == MEAN_CLASS:
        scores = {"mean class": entry["selection_mean_class_accuracy"], **scores}
    if selected_by == MAP:
        scores = {"mAP": entry["selection_mean_average_precision"], **scores}
    parts += [f"{name} {value:.3f}" for name, value in scores.items() if value is not None]
    loading = entry["seconds_waiting_for_data"] / entry["seconds"] if entry["seconds"] else 0.0
    parts += [f"lr {entry['lr']:.2g}", f"{entry['seconds']:.1f} s ({loading:.0%} waiting for data)"]
    return ", ".join(parts)
