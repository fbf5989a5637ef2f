"""The files of a training run: settings, state, best students and logs; and which files it may replace."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from embedonce.cache import commit
from embedonce.pipeline.checkpoints import checkpoint, training_state
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT
from embedonce.pipeline.checkpoints.training_state import TrainingState
from embedonce.pipeline.files.output_folder import check_replaceable
from embedonce.pipeline.files.recognition import is_list_of_objects, is_settings, is_table
from embedonce.pipeline.reporting.training_log import CSV_LOG, JSON_LOG, write_logs
from embedonce.pipeline.tracking.reporting import Reports, run_id
from embedonce.pipeline.tracking.tracker import TrackedRun
from embedonce.pipeline.training.settings import TrainConfig

TRAIN_SETTINGS = "train_config.yaml"
_COLUMN = "epoch"  # the first of both logs


class RunFiles:
    """Files of one run. Only the first process of a run uses it.

    run: what identifies the run. device: "cpu", "cuda" or "mps".
    """

    def __init__(self, config: TrainConfig, run: dict[str, object], device: str):
        self._config, self._run, self._device = config, run, device
        self._folders = student_folders(config)
        self._reports: dict[str, Reports] = {}
        self._owns_folder = False  # whether the state on disk is this run's

    def find_state(self) -> TrainingState | None:
        """The state to continue from; None to start at the beginning.

        InputError if the output folder holds another run, or files that this run did not write.
        """
        state, folder = None, self._config.output_dir
        if not self._config.overwrite and training_state.has_state(folder):
            state = training_state.load_state(folder, self._run, list(self._folders.values()))
        check_folders(self._config, state is not None)
        self._owns_folder = state is not None
        return None if state is None or state.is_new else state

    def create(self, first_epoch: int) -> None:
        """Make the folders, and start the trackers. first_epoch: from 1, the first that is reported to them."""
        for size, folder in self._folders.items():
            commit.make_folder(folder)
            if self._config.trackers:
                self._reports[size] = Reports(self._config.trackers, self._tracked(size, first_epoch))

    def _tracked(self, size: str, first_epoch: int) -> TrackedRun:
        folder, group = self._folders[size], self._config.output_dir.absolute().name
        found = run_id(folder, is_new=not self._owns_folder)
        return TrackedRun(folder, found, f"{group}-{size}", group, self._config.as_dict(), first_epoch)

    def write_settings(self) -> None:
        commit.replace(self._config.output_dir / TRAIN_SETTINGS, self._config.as_yaml().encode())

    def new_state(self, **fields) -> TrainingState:
        """A state of this run."""
        return TrainingState(run=self._run, device=self._device, **fields)

    def save_state(self, state: TrainingState) -> None:
        training_state.save_state(self._config.output_dir, state)
        self._owns_folder = True

    def save_best(self, size: str, student: Checkpoint) -> None:
        self.claim_folder()
        checkpoint.save(self._folders[size] / BEST_STUDENT, student)

    def claim_folder(self) -> None:
        """Write an initial state before the first checkpoint of a run, so that the folder is known to be this run's.

        A run killed between the two finds it and starts anew.
        """
        if not self._owns_folder:
            training_state.claim_folder(self._config.output_dir, self.new_state())
            self._owns_folder = True

    def write_logs(self, size: str, history: list[dict]) -> None:
        """Write the log of one student, and report its last epoch."""
        self.restore_logs(size, history)
        if size in self._reports:
            self._reports[size].log(history[-1])

    def restore_logs(self, size: str, history: list[dict]) -> None:
        """Write the log files of one student."""
        write_logs(self._folders[size], history)

    def close(self) -> None:
        for reports in self._reports.values():
            reports.close()


def student_folders(config: TrainConfig) -> dict[str, Path]:
    """The folder of each student's files, by its size."""
    sizes = config.student_sizes
    return {size: config.output_dir / size if len(sizes) > 1 else config.output_dir for size in sizes}


def check_folders(config: TrainConfig, continues: bool) -> None:
    """InputError if training would replace files that its run did not write.

    continues: whether the folder holds the state of this very run, so that its checkpoints and logs are the run's own.
    """
    is_own_config = partial(is_settings, kind=TrainConfig)
    files: dict[Path, Callable[[bytes], bool]] = {config.output_dir / TRAIN_SETTINGS: is_own_config}
    for folder in student_folders(config).values():
        files |= {folder / name: is_own if continues else _unknown for name, is_own in _STUDENT_FILES.items()}
    check_replaceable(files, config.overwrite, "this run of train-student", "--output-dir", may_be_in_cache=True)


def _unknown(data: bytes) -> bool:
    return False


_STUDENT_FILES: dict[str, Callable[[bytes], bool]] = {
    BEST_STUDENT: lambda data: True,  # it was read together with the state
    CSV_LOG: partial(is_table, columns=(_COLUMN,)),
    JSON_LOG: partial(is_list_of_objects, keys=(_COLUMN,)),
}
