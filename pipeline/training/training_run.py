"""One training run: its data, its students, and how far it is."""

import dataclasses
import logging
import math
from pathlib import Path

import torch

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.models.losses.term import LossSettings
from embedonce.models.student import build_student, count_parameters
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints.checkpoint import AddedCheckpointTeacher, Checkpoint, new_checkpoint
from embedonce.pipeline.checkpoints.file_names import TRAINING_STATE
from embedonce.pipeline.checkpoints.state_checks import check_moments, check_state
from embedonce.pipeline.checkpoints.training_state import TrainingState
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.clips.loader import Workers
from embedonce.pipeline.clips.sampling import epoch_order
from embedonce.pipeline.errors import CheckpointError, InputError
from embedonce.pipeline.frames.preprocessing import Preprocessing, clip_seconds, preprocessing_of
from embedonce.pipeline.training.class_balance import balanced_order, class_weights
from embedonce.pipeline.training.distributed import World, global_batches
from embedonce.pipeline.training.epoch_plan import EpochPlan, plan_epoch
from embedonce.pipeline.training.expected_time import expected_seconds, forecast, seconds_per_clip
from embedonce.pipeline.training.losing_settings import PlannedTraining, warnings
from embedonce.pipeline.training.preload import Preload
from embedonce.pipeline.training.recipe import datasets, optimizer_of, pretrained, run_fields
from embedonce.pipeline.training.run_files import RunFiles, student_folders
from embedonce.pipeline.training.selection_score import selection_rule
from embedonce.pipeline.training.settings import TrainConfig
from embedonce.pipeline.training.student_run import StudentRun
from embedonce.pipeline.training.teacher_choice import choose
from embedonce.pipeline.training.temperature import selection_calibration
from embedonce.pipeline.training.view_mixing import ViewMixing

log = logging.getLogger(__name__)


class TrainingRun:
    """Everything that the training loop works on.

    settings: of the loss. rule: which score decides which epoch is the best. students: by size. workers: load the
    batches of all epochs. epoch, position: numbers of epochs done, and of batches done in the next one. resumed_from:
    the state found in the output folder, None at the beginning of a run.
    """

    def __init__(
        self,
        config: TrainConfig,
        reader: CacheReader,
        labels: LabelSet,
        settings: LossSettings,
        world: World,
        device: torch.device,
    ):
        self.config, self.labels, self.world, self.device = config, labels, world, device
        self.teachers = choose(config.teachers, reader)
        self.train_set, self.selection_set = datasets(config, reader, labels, self.teachers.names)
        shares, of_windows = self.teachers.shares, self.teachers.of_windows
        self.mixing = ViewMixing(config, reader.identity.num_views, len(self.selection_set), shares)
        settings = dataclasses.replace(settings, teacher_shares=shares, window_teachers=of_windows)
        if config.class_weights == "balanced":
            weights = class_weights(self.train_set.label_array, len(labels.classes))
            settings = dataclasses.replace(settings, class_weights=weights)
        self.settings, self.rule = settings, selection_rule(self.selection_set, settings)
        if len(self.train_set) < world.size:
            raise InputError(f"{world.size} processes for {len(self.train_set)} training clips: start fewer of them")
        fields = run_fields(config, reader.identity, labels, (self.train_set, self.selection_set), world.size)
        fields |= {"best epoch by": self.rule.score}
        self.files = RunFiles(config, fields, device.type)
        self.resumed_from = world.broadcast(self.files.find_state() if world.is_first else None)
        self.students = {size: self._new_student(size) for size in config.student_sizes}
        self.epoch, self.position = 0, 0
        self.stopped_early = False
        num_batches = max(len(self.plan(0).batches), math.ceil(len(self.selection_set) / config.batch_size))
        sets, num_workers = (self.train_set, self.selection_set), min(config.num_workers, num_batches)
        self.workers = Workers(sets, num_workers, pin_memory=device.type == "cuda")
        self._preload = Preload(config.preload, sets, num_workers, world.local_size, self.mixing.may_draw_random_views)

    def _new_student(self, size: str) -> StudentRun:
        main, *others = self.teachers.names
        widths = {name: self.train_set.teachers.identity(name).embed_dim for name in (main, *others)}
        shape = (widths[main], len(self.labels.classes), self.train_set.sampling.resolution)
        architecture = student_config(size, *shape, self.config.projection, self.config.pooling)
        # weights that a resumed run replaces are not downloaded
        is_pretrained = pretrained(self.config, size) and self.resumed_from is None
        torch.manual_seed(self.config.seed)  # for each student: it starts as if it were trained alone
        student = build_student(architecture, is_pretrained)
        student.add_teachers({name: widths[name] for name in others})  # last: the rest begins as without them
        return StudentRun(student.to(self.device), self.config, self.settings, self.world, self._num_steps)

    @property
    def is_over(self) -> bool:
        return self.epoch >= self.config.epochs or self.stopped_early

    def plan(self, epoch: int) -> EpochPlan:
        """The plan of an epoch. It does not depend on the number of processes, except for a last batch too small."""
        data, seed = self.train_set, self.config.seed
        if self.config.sampler == "balanced":
            order = balanced_order(data.shard_of_clip, data.label_array, seed, epoch)
        else:
            order = epoch_order(data.shard_of_clip, seed, epoch)
        planned = global_batches(order.tolist(), self.config.batch_size, self.world.size)
        return plan_epoch(planned, data.frame_counts, data.labeled, self.config.accumulate_steps, (seed, epoch))

    def prepare(self) -> None:
        """Create the output files, and log what is trained and how long it will take."""
        for size, run in self.students.items():
            counts = count_parameters(run.student)
            parts = ", ".join(f"{name} {count:,}" for name, count in counts.items() if name != "training")
            log.info("student %s: %s trainable parameters (%s)", size, f"{counts['training']:,}", parts)
            log.info("optimizer of %s: %s", size, optimizer_of(self.config, size))
        if self.world.is_first:
            self.files.create(self.epoch + 1)
        log.info("%d training clips, %d for selection", len(self.train_set), len(self.selection_set))
        if (weights := self.settings.class_weights) is not None:
            used = [weight for weight in weights if weight]
            log.info("class weights of the task term: %.3g to %.3g", min(used), max(used))
        self._log_views()
        if self.config.teachers is not None:
            log.info("%s", self.teachers)
        log.info("%s", self.rule)
        log.info("%s", self._forecast())
        self._preload.begin()  # the forecast is that of the first epoch, which decodes
        if self.world.is_first:
            self.files.write_settings()

    def _log_views(self) -> None:
        """Log how views are mixed, and warn of settings that lose."""
        if (mixing := self.mixing.describe()) is not None:
            log.info("%s", mixing)
        views = self.mixing.random_views, self.mixing.starts_random
        planned = PlannedTraining(self.config, len(self.train_set), *views, self._num_steps)
        for warning in warnings(planned):
            log.warning("%s", warning)

    def draws_random_views(self) -> bool:
        """Whether the next epoch is to draw random views; the first process decides for all."""
        histories = [run.history for run in self.students.values()]
        news = self.mixing.news(histories, self.epoch + 1)
        if news is not None and self.world.is_first and not self.position:
            log.info("%s", news)
        return self.world.broadcast(self.mixing.draws_random_views(histories))

    @property
    def _num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return math.ceil(len(self.plan(0).batches) / self.config.accumulate_steps) * self.config.epochs

    def _forecast(self) -> str:
        runs = list(self.students.values())
        models = [run.student for run in runs]
        per_clip = seconds_per_clip(models, self.settings, self.train_set, self.config, self.device)
        epochs = self.config.epochs - self.epoch - self.position / len(self.plan(self.epoch).batches)
        clips = len(self.train_set) / self.world.size, len(self.selection_set)
        return forecast(expected_seconds(per_clip, self.config.num_workers, *clips), epochs)

    def restore(self, state: TrainingState) -> None:
        """Continue from a state. CheckpointError if it is not one of this run."""
        initial = {size: run.state_dict() for size, run in self.students.items()}
        names = list(next(iter(self.students.values())).sums)
        path = self.config.output_dir / TRAINING_STATE
        check_state(path, state, initial, names, self.world.size)
        if state.epoch > self.config.epochs or state.position > len(self.plan(state.epoch).batches):
            raise CheckpointError(
                f"{path} was saved beyond the last epoch or batch of this run; start a new run with --overwrite"
            )
        for size, run in self.students.items():
            run.load_state_dict(state.students[size])
            check_moments(path, size, run.optimizer)
            run.sums = state.sums[self.world.rank][size]
            if self.world.is_first and run.history:
                self.files.restore_logs(size, run.history)  # a run may have been stopped between state and logs
        self.epoch, self.position, self.stopped_early = state.epoch, state.position, state.stopped_early
        if not self.is_over:
            self._log_resuming(state)

    def _log_resuming(self, state: TrainingState) -> None:
        within = f", {self.position} batches into the next" if self.position else ""
        log.info("resuming after epoch %d of %d%s", self.epoch, self.config.epochs, within)
        if state.device != self.device.type:
            log.warning(
                "this run was trained on %s so far and continues on %s: results will differ slightly from a run on "
                "one device",
                state.device,
                self.device.type,
            )

    def save_state(self) -> None:
        """Save everything that the run continues from, at the end of an epoch or within one."""
        sums = self.world.all_gather({size: run.sums for size, run in self.students.items()})
        if self.world.is_first:
            progress = {"epoch": self.epoch, "position": self.position, "stopped_early": self.stopped_early}
            students = {size: run.state_dict() for size, run in self.students.items()}
            self.files.save_state(self.files.new_state(sums=sums, students=students, **progress))

    def checkpoint_of(self, size: str, entry: dict, predictions: Predictions | None) -> Checkpoint:
        """The checkpoint of a student at the end of an epoch.

        entry: the epoch's log. predictions: for the selection clips, None without such clips.
        """
        run, frames = self.students[size], self.train_set.sampling.frames_per_clip
        return new_checkpoint(
            run.eval_model,
            self.labels,
            self.train_set.teachers.identity(self.teachers.main),
            frames,
            self._trained_on(),
            epoch=self.epoch,
            selection=entry,
            selected_by=self.rule.score,
            class_weights=self.settings.class_weights,
            main_teacher=None if self.teachers.main == FIRST else self.teachers.main,
            added_teachers=self._added_teachers(),
            preprocessing=self._preprocessing(),
            calibration=selection_calibration(predictions, self.settings),
        )

    def _preprocessing(self) -> Preprocessing:
        data = self.train_set
        return preprocessing_of(data.reader.identity, data.sampling.resolution, clip_seconds(self.labels))

    def _added_teachers(self) -> list[AddedCheckpointTeacher]:
        identity_of, shares = self.train_set.teachers.identity, self.teachers.shares
        return [AddedCheckpointTeacher.of(name, identity_of(name), share) for name, share in shares.items()]

    def _trained_on(self) -> list[str]:
        """SHA-256 of the video files that students are trained on or selected by."""
        reader = self.train_set.reader
        uids = {clip.video_uid for clip in (*self.train_set.clips, *self.selection_set.clips)}
        return sorted({content for content in map(reader.content_of, uids) if content})

    def folders(self) -> dict[str, Path]:
        """The folder of each student's files, by its size."""
        return student_folders(self.config)
