"""Stage two: students trained from a cache. No teacher, no videos, no text tower comes near it.

Knows the order of things; losses, models, datasets and checkpoints live elsewhere.
"""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from embedonce.cache import commit
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.models.device import choose_device, uncompiled
from embedonce.models.losses import LossWeights
from embedonce.models.student import build_student, count_parameters, student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.training_state import check_state
from embedonce.pipeline.clips.dataset import epoch_order
from embedonce.pipeline.clips.inference import Predictions, predict
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.processes import interrupts
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.reporting.training_log import Board, summary, write_logs
from embedonce.pipeline.training.distributed import World, global_batches, join
from embedonce.pipeline.training.epoch_plan import EpochPlan, plan_epoch
from embedonce.pipeline.training.expected_time import expected_seconds, forecast, seconds_per_clip
from embedonce.pipeline.training.output_files import BEST, check_folders, student_folders
from embedonce.pipeline.training.recipe import (
    active_weights,
    datasets,
    pretrained,
    random_seed,
    run_fields,
    selection_score,
)
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """Where the best students are, and the run's story in a few lines."""

    best_paths: tuple[Path, ...]
    summary: str  # empty in all processes but the first


def train(config: TrainConfig) -> TrainResult:
    """Train the students, or continue a run that was stopped. Writes best_student.pt, the logs and a state to resume.

    Several students are trained from the same batches, each with a folder of its own below the output folder.
    """
    reader = open_reader(config.cache_dir)
    labels = reader.label_set(config.label_set)
    weights = active_weights(config, labels)
    commit.check_writable(config.output_dir)
    world, device = join(choose_device(config.device))
    if not world.is_first:
        logging.disable(logging.CRITICAL)
    try:
        config = config.for_device(device.type)
        with _alone(config, world):
            return _trained(_Run(config, reader, labels, weights, world, device))
    finally:
        world.leave()


@contextlib.contextmanager
def _alone(config: TrainConfig, world: World) -> Iterator[None]:
    """No other training writes into the run's folders meanwhile: BusyError where one does."""
    with contextlib.ExitStack() as held:
        if world.is_first:
            for folder in dict.fromkeys((config.output_dir, *student_folders(config).values())):
                held.enter_context(sole_writer(folder, "train-student"))
        yield


def _trained(run: "_Run") -> TrainResult:
    """The run brought to its end, from wherever it stands."""
    earlier = run.earlier()
    if earlier is not None:
        run.restore(earlier)
    was_finished = run.is_over
    if not was_finished:
        run.prepare()
    while not run.is_over:
        run.one_epoch()
    for board in run.boards.values():
        board.close()
    return run.result(was_finished)


class _Run:
    """One training run: data, students and where it stands."""

    def __init__(self, config: TrainConfig, reader: CacheReader, labels: LabelSet, weights: LossWeights, world, device):
        self.config, self.labels, self.identity, self.device = config, labels, reader.identity, device
        self.world: World = world
        self.train_set, self.selection_set = datasets(config, reader, labels)
        if len(self.train_set) < world.size:
            raise InputError(f"{world.size} processes for {len(self.train_set)} training clips: start fewer of them")
        self.run_fields = run_fields(config, self.identity, labels, (self.train_set, self.selection_set), world.size)
        self._folders = student_folders(config)
        self._owns_folder = False  # whether the state on disk is this run's; known to the first process
        self._earlier = self._found()
        per_epoch = math.ceil(len(self._planned(0).batches) / config.accumulate_steps)
        self.runs = {size: self._student_run(size, weights, per_epoch * config.epochs) for size in config.student_sizes}
        self.epoch, self.position = 0, 0  # epochs and batches done
        self.stopped_early = False
        self.boards: dict[str, Board] = {}

    def _student_run(self, size: str, weights: LossWeights, steps: int) -> StudentRun:
        shape = (self.identity.teacher.embed_dim, len(self.labels.classes), self.config.student_resolution)
        # no download for weights that are replaced
        is_pretrained = pretrained(self.config, size) and self._earlier is None
        torch.manual_seed(self.config.seed)  # whichever students are trained beside it
        student = build_student(student_config(size, *shape, self.config.projection), is_pretrained)
        return StudentRun(student.to(self.device), self.config, weights, self.world, steps)

    def folder(self, size: str) -> Path:
        """Where the files of one student lie."""
        return self._folders[size]

    @property
    def is_over(self) -> bool:
        return self.epoch >= self.config.epochs or self.stopped_early

    def prepare(self) -> None:
        for size, run in self.runs.items():
            parts = count_parameters(run.student)
            told = ", ".join(f"{name} {count:,}" for name, count in parts.items() if name != "training")
            log.info("student %s: %s parameters in training (%s)", size, f"{parts['training']:,}", told)
            if self.world.is_first:
                commit.make_folder(self.folder(size))
                if self.config.tensorboard:
                    self.boards[size] = Board(self.folder(size), self.epoch + 1)
        log.info("%d training clips, %d for selection", len(self.train_set), len(self.selection_set))
        students, weights = [run.student for run in self.runs.values()], next(iter(self.runs.values())).weights
        per_clip = seconds_per_clip(students, weights, self.train_set, self.config, self.device)
        epochs = self.config.epochs - self.epoch - self.position / len(self._planned(self.epoch).batches)
        clips = len(self.train_set) / self.world.size, len(self.selection_set)
        log.info("%s", forecast(expected_seconds(per_clip, self.config.num_workers, *clips), epochs))
        if self.world.is_first:
            commit.replace(self.config.output_dir / "train_config.yaml", self.config.as_yaml().encode())

    def _trained_on(self) -> list[str]:
        """The fingerprints of the files that the students see, or are chosen by."""
        reader = self.train_set.reader
        uids = {clip.video_uid for clip in (*self.train_set.clips, *self.selection_set.clips)}
        return sorted({content for content in map(reader.content_of, uids) if content})

    def _planned(self, epoch: int) -> EpochPlan:
        """What is done in an epoch: the same for any number of processes, but for a last batch that is too small."""
        data, seed = self.train_set, self.config.seed
        order = list(map(int, epoch_order(data.shard_of_clip, seed, epoch)))
        planned = global_batches(order, self.config.batch_size, self.world.size)
        return plan_epoch(planned, data.frame_counts, data.label_array, self.config.accumulate_steps, (seed, epoch))

    def one_epoch(self) -> None:
        started, loading = time.perf_counter(), 0.0
        self.train_set.epoch = self.epoch
        plan = self._planned(self.epoch)
        for run in self.runs.values():
            run.train_mode()
        label = f"epoch {self.epoch + 1}/{self.config.epochs}"
        quiet = not self.world.is_first
        with Progress(plan.total.clips, label, "clips", quiet=quiet) as progress, self._steps_uncut():
            progress.update(sum(map(len, plan.batches[: self.position])))
            waiting = time.perf_counter()
            for batch in self._loaded(plan.batches[self.position :]):
                loading += time.perf_counter() - waiting
                self._learn(batch, plan)
                progress.update(len(plan.batches[self.position]))
                self.position += 1
                is_last = self.world.size == 1 and interrupts.requested() and plan.ends_step(self.position - 1)
                if is_last or plan.saves_after(self.position - 1, self.config.checkpoint_steps):
                    self._save_state()
                if is_last:
                    break
                waiting = time.perf_counter()
        found = self._answers()
        seconds = {"seconds": time.perf_counter() - started, "seconds_waiting_for_data": loading}
        with self._steps_uncut():
            self.epoch, self.position = self.epoch + 1, 0
            self._close_epoch(plan, found, seconds)

    def _steps_uncut(self):
        """Within this an interrupt waits, so that a state can be saved that is one. Not where processes would have to
        agree on the step: they go on from the last state."""
        return interrupts.deferred() if self.world.size == 1 else contextlib.nullcontext()

    def _loaded(self, planned: list[list[int]]) -> Iterator[dict]:
        """This process's part of the batches, on the device."""
        parts = [self.world.part(batch) for batch in planned]
        for batch in batches(self.train_set, parts, self.config.num_workers):
            yield {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def _learn(self, batch: dict, plan: EpochPlan) -> None:
        """One batch, by all students. What is random in it (dropout) depends on nothing but its place in the run."""
        at = self.position
        for run in self.runs.values():
            torch.manual_seed(random_seed(self.config.seed, self.epoch, at, self.world.rank))
            run.step(batch, plan.step_counts(at), plan.ends_step(at), plan.measured.get(at, 0))

    def _answers(self) -> dict[str, Predictions]:
        """What each student answers on the selection clips, in the first process. Interrupted, the state is saved."""
        if not (self.world.is_first and len(self.selection_set)):
            return {}
        batch_size, workers = self.config.batch_size, self.config.num_workers
        try:
            with uncompiled():  # another graph, of batches of other sizes, for a few forward passes
                return {
                    size: predict(run.judged, self.selection_set, batch_size, workers, self.device)
                    for size, run in self.runs.items()
                }
        except KeyboardInterrupt:
            if self.world.size == 1:
                self._save_state()
            raise

    def _close_epoch(self, plan: EpochPlan, found: dict[str, Predictions], seconds: dict) -> None:
        """Judge the epoch by the answers on the selection clips, log it, save; the first process does it for all."""
        for size, run in self.runs.items():
            entry = run.close_epoch(self.epoch, self.world.summed(run.sums, self.device), plan.total)
            if self.world.is_first:
                self._judge(size, run, found.get(size), entry | seconds)
        patience = self.config.patience
        waited = min(run.epochs_since_best for run in self.runs.values())
        self.stopped_early = self.world.agreed(bool(patience) and waited >= patience)
        if self.stopped_early:
            log.info("stopped early: no better epoch in %d", patience)
        self._save_state()

    def _judge(self, size: str, run: StudentRun, found: Predictions | None, entry: dict) -> None:
        score = (-entry["total"], 0.0)
        if found is not None:
            if not found.is_finite:  # a last step can ruin weights that no loss has seen yet
                raise run.explosion("answer", f"after the last step of epoch {self.epoch}")
            entry |= {"selection_top1": found.top1, "selection_cosine": found.cosine}
            score = selection_score(found, run.weights)
        is_best = run.take_score(entry, score)
        named = f"{size}: " if len(self.runs) > 1 else ""
        told = ((name, value) for name, value in entry.items() if value is not None)
        log.info("%s%s", named, "  ".join(f"{name} {_short(value)}" for name, value in told))
        if is_best:
            teacher = self.identity.teacher
            described = checkpoint.describe(
                run.student, self.labels, teacher, self.config.frames_per_clip, self._trained_on()
            )
            state = {**described, "epoch": self.epoch, "selection": entry, "model": run.judged.state_dict()}
            self._claim()
            checkpoint.save(self.folder(size) / BEST, state)
        write_logs(self.folder(size), run.history)
        if size in self.boards:
            self.boards[size].write(entry)

    def _save_state(self) -> None:
        """Save all that the run continues from, at the end of an epoch or within one."""
        sums = self.world.gathered({size: run.sums for size, run in self.runs.items()})
        if self.world.is_first:
            checkpoint.save_state(
                self.config.output_dir,
                {
                    "run": self.run_fields,
                    "device": self.device.type,
                    "epoch": self.epoch,
                    "position": self.position,
                    "stopped_early": self.stopped_early,
                    "sums": sums,
                    "students": {size: run.state_dict() for size, run in self.runs.items()},
                },
            )
            self._owns_folder = True

    def _claim(self) -> None:
        """Make the folder this run's before the first checkpoint is published there, where no state does so yet.

        A run killed between the two knows by it whose the checkpoint is, and starts anew.
        """
        if not self._owns_folder:
            nothing = {"epoch": 0, "position": 0, "stopped_early": False, "sums": [], "students": {}}
            claimed = {"run": self.run_fields, "device": self.device.type, **nothing}
            checkpoint.claim_folder(self.config.output_dir, claimed)
            self._owns_folder = True

    def _found(self) -> dict | None:
        """The run that --output-dir holds, if it is this one, read by the first process for all.

        InputError where it is another, or where files are in the way that this run did not make.
        """
        found, folder = None, self.config.output_dir
        if self.world.is_first:
            if not self.config.overwrite and checkpoint.has_state(folder):
                found = checkpoint.load_state(folder, self.run_fields, list(self._folders.values()))
            check_folders(self.config, found is not None)
            self._owns_folder = found is not None
        if found is not None and checkpoint.is_mere_claim(found):
            found = None
        return self.world.agreed(found)

    def earlier(self) -> dict | None:
        """What there is to continue from; None where the run begins."""
        earlier, self._earlier = self._earlier, None
        return earlier

    def restore(self, content: dict) -> None:
        own = {size: run.state_dict() for size, run in self.runs.items()}
        terms = next(iter(self.runs.values())).sums
        path = self.config.output_dir / checkpoint.STATE
        check_state(path, content, own, terms, self.world.size)
        if content["epoch"] > self.config.epochs or content["position"] > len(self._planned(content["epoch"]).batches):
            raise CheckpointError(f"{path} is of an epoch that this run does not have; give --overwrite to start anew")
        for size, run in self.runs.items():
            run.load_state_dict(content["students"][size])
            run.sums = content["sums"][self.world.rank][size]
            if self.world.is_first and run.history:
                write_logs(self.folder(size), run.history)  # a run may have been stopped between state and logs
        self.epoch, self.position, self.stopped_early = (
            content[name] for name in ("epoch", "position", "stopped_early")
        )
        if not self.is_over:
            within = f", {self.position} batches into the next" if self.position else ""
            log.info("resuming after epoch %d of %d%s", self.epoch, self.config.epochs, within)
            if content["device"] != self.device.type:
                log.warning(
                    "this run was trained on %s so far and goes on on %s: it will not be, to the last digit, what it "
                    "would have been there",
                    content["device"],
                    self.device.type,
                )

    def result(self, was_finished: bool) -> TrainResult:
        paths = tuple(self.folder(size) / BEST for size in self.runs)
        if not self.world.is_first:  # the first speaks, and the files lie where it is
            return TrainResult(paths, "")
        lines = []
        for size, path in zip(self.runs, paths, strict=True):
            named = f"student {size}: " if len(paths) > 1 else ""
            lines += [f"{named}{summary(checkpoint.load(path), self.epoch, was_finished)}", f"checkpoint: {path}"]
        return TrainResult(paths, block(lines))


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
