"""The state of a training run (training_state.pt), from which a stopped run continues: writing and reading it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache.limits import brief
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.file_names import BEST_STUDENT, TRAINING_STATE
from embedonce.pipeline.checkpoints.state_checks import check_types
from embedonce.pipeline.checkpoints.tensor_files import FORMAT, check_format, read_tensors, write_tensors
from embedonce.pipeline.errors import CheckpointError, InputError

MOST_DIFFERENCES = 20  # that a message lists


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training run continues from.

    run: the settings and data that identify the run, flat. device: "cpu", "cuda" or "mps". epoch, position: numbers of
    epochs done, and of batches done in the next one. sums: for each process, the sums of this epoch by student size
    and name. students: StudentRun.state_dict() by student size.
    """

    run: dict[str, object]
    device: str
    epoch: int = 0
    position: int = 0
    stopped_early: bool = False
    sums: list[dict[str, dict[str, float]]] = dataclasses.field(default_factory=list)
    students: dict[str, dict] = dataclasses.field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether the run has done no batch yet: this state only marks its folder as in use."""
        return not self.epoch and not self.position


def has_state(folder: Path) -> bool:
    """Whether a folder holds a training run."""
    return (folder / TRAINING_STATE).exists()


def save_state(folder: Path, state: TrainingState) -> None:
    """Write or replace the state of the run in this folder atomically."""
    _write(folder, state)


def claim_folder(folder: Path, state: TrainingState) -> None:
    """Write the initial state of a run, which only marks the other files of this folder as the run's."""
    _write(folder, state)


def _write(folder: Path, state: TrainingState) -> None:
    fields = {one.name: getattr(state, one.name) for one in dataclasses.fields(state)}
    write_tensors(folder / TRAINING_STATE, {"format": FORMAT, **fields})


def load_state(folder: Path, run: dict[str, object], student_folders: list[Path]) -> TrainingState | None:
    """The state of the run in this folder; None if it holds another run that has done no batch yet.

    run: what identifies the run that is to be continued. student_folders: where the best students must be once an
    epoch is complete. CheckpointError if the state cannot be used, InputError if it belongs to another run.
    """
    try:
        state = _read(folder / TRAINING_STATE)
        for student_folder in student_folders if state.epoch else ():
            checkpoint.load(student_folder / BEST_STUDENT)
    except CheckpointError as error:
        raise CheckpointError(f"this run cannot be continued: {error}; start anew with --overwrite") from error
    old = state.run
    names = [name for name in old | run if old.get(name) != run.get(name)]
    differences = [f"{_short(name)}: {_short(old.get(name))} -> {_short(run.get(name))}" for name in names]
    if differences and state.is_new:
        return None
    if differences:
        raise InputError(
            f"{folder} holds another training run ({_list(differences)}); choose another --output-dir, or replace it "
            "with --overwrite"
        )
    return state


def _read(path: Path) -> TrainingState:
    content = read_tensors(path)
    names = [one.name for one in dataclasses.fields(TrainingState)]
    if missing := [name for name in names if name not in content]:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}")
    check_format(path, content)
    check_types(path, content)
    return TrainingState(**{name: content[name] for name in names})


def _list(differences: list[str]) -> str:
    more = len(differences) - MOST_DIFFERENCES
    return "; ".join([*differences[:MOST_DIFFERENCES], *([f"{more} more"] if more > 0 else [])])


def _short(value) -> str:
    """A setting in a message, cut where it is long."""
    return str(value)[:100] if value is None or isinstance(value, (str, bool, int, float)) else brief(value)
