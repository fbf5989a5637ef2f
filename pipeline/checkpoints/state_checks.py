"""Checks of a training state before a run continues from it: types of its fields, and fit with this very run."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.metrics.json_forms import OrNull, Text, find_mismatch

if TYPE_CHECKING:
    from embedonce.pipeline.checkpoints.training_state import TrainingState

_LIMIT = 1 << 31  # of any counter
_FORMS = {  # forms of metrics.json_forms
    "run": {...: object},
    "epoch": int,
    "position": int,
    "stopped_early": bool,
    "device": Text(100),
    "sums": [{...: {...: float}}],
    "students": {...: {...: object}},
}
_COUNTERS = ("epoch", "position")
_SCHEDULED = {"lr", "initial_lr"}  # settings of an optimizer's group that change during training
_STUDENT_FORMS = {
    "epochs_since_best": int,
    "history": [{...: OrNull(float)}],
}


def check_types(path: Path, content: dict) -> None:
    """CheckpointError if a field of a state has another type or range than in any run."""
    for name, form in _FORMS.items():
        if problem := find_mismatch(content[name], form, name):
            raise _refused(path, problem)
    for name in _COUNTERS:
        if not 0 <= content[name] < _LIMIT:
            raise _refused(path, f"{name} is {content[name]}")


def check_state(path: Path, state: "TrainingState", initial: dict[str, dict], names: list[str], processes: int) -> None:
    """CheckpointError if a state is not one of this run.

    initial: states of the run's students before training, by size. names: what each student sums up in an epoch.
    processes: how many train together.
    """
    if set(state.students) != set(initial) or len(state.sums) != processes:
        raise _refused(path, "it has other students or another number of processes")
    for sums in state.sums:
        if problem := find_mismatch(sums, {size: dict.fromkeys(names, float) for size in initial}, "sums"):
            raise _refused(path, problem)
    for size, student in state.students.items():
        if problem := _student_problem(student, initial[size]) or _history_problem(student["history"], state.epoch):
            raise _refused(path, f"student {size}: {problem}")


def check_moments(path: Path, size: str, optimizer: torch.optim.Optimizer) -> None:
    """CheckpointError if what a loaded optimizer keeps of a parameter of a student has another shape than that."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            kept = {name: value for name, value in optimizer.state.get(parameter, {}).items() if name != "step"}
            if any(value.shape != parameter.shape for value in kept.values()):
                raise _refused(path, f"student {size}: optimizer has moments of other shapes")


def _refused(path: Path, problem: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a state of this run ({problem}); start anew with --overwrite")


def _student_problem(state: dict, initial: dict) -> str | None:
    """Why training of one student cannot continue from this state; None if it can."""
    if set(state) != set(initial):
        return "it has other parts"
    problem = find_mismatch({name: state[name] for name in _STUDENT_FORMS}, _STUDENT_FORMS)
    if problem or state["epochs_since_best"] < 0:
        return problem or "epochs_since_best is below 0"
    best = state["best"]
    if type(best) is not list or len(best) != 2 or any(type(n) is not float or n != n for n in best):
        return "best is not a score"
    for name in ("student", "average", "schedule", "scaler"):
        if problem := _difference(state[name], initial[name], name):
            return problem
    return _optimizer_problem(state["optimizer"], initial)


def _history_problem(history: list[dict], num_epochs: int) -> str | None:
    """Why these are not the logs of so many epochs, on which later ones depend."""
    if len(history) != num_epochs:
        return f"it has the logs of {len(history)} epochs instead of {num_epochs}"
    needed = ("feature", *(("selection_cosine",) if any("selection_cosine" in entry for entry in history) else ()))
    if any(type(entry.get(name)) is not float for entry in history for name in needed):
        return f"an epoch's log lacks {' or '.join(needed)}"
    return None


def _difference(value, expected, place: str) -> str | None:
    """The first place where the types, keys or tensor shapes of a value are not the expected ones."""
    if isinstance(expected, torch.Tensor):
        fits = isinstance(value, torch.Tensor) and value.shape == expected.shape and value.dtype == expected.dtype
        return None if fits else f"{place} is not a tensor of shape {tuple(expected.shape)}"
    if isinstance(expected, dict):
        if not isinstance(value, dict) or set(value) != set(expected):
            return f"{place} has other parts"
        parts = (_difference(value[name], part, f"{place}.{name}") for name, part in expected.items())
        return next(filter(None, parts), None)
    if isinstance(expected, list):
        if type(value) is not list or len(value) != len(expected):
            return f"{place} is not a list of {len(expected)}"
        pairs = zip(value, expected, strict=True)
        return next(filter(None, (_difference(one, other, place) for one, other in pairs)), None)
    if type(expected) is float:
        return find_mismatch(value, float, place)
    if type(value) is not type(expected) or (type(expected) is int and not 0 <= value < _LIMIT):
        return f"{place} is not a valid {type(expected).__name__}"
    return None


def _optimizer_problem(state, initial: dict) -> str | None:
    """A new optimizer has no moments to compare with: they are checked by themselves and by the parameters' indexes."""
    groups = initial["optimizer"]["param_groups"]
    if not isinstance(state, dict) or set(state) != {"state", "param_groups"}:
        return "optimizer has other parts"
    if problem := _difference(state["param_groups"], groups, "optimizer"):
        return problem
    for group, expected in zip(state["param_groups"], groups, strict=True):
        if any(group[name] != value for name, value in expected.items() if name not in _SCHEDULED):
            return "optimizer has other settings"
    names = {index: _names_of_moments(group) for group in groups for index in group["params"]}
    if not isinstance(state["state"], dict) or not set(state["state"]) <= set(names):
        return "optimizer has other parameters"
    problems = (_moments_problem(part, names[index]) for index, part in state["state"].items())
    return next(filter(None, problems), None)


def _names_of_moments(group: dict) -> set[str]:
    """What the optimizer keeps of each parameter of a group, beside the number of its steps."""
    return {"momentum"} if group.get("matrices") else {"exp_avg", "exp_avg_sq"}


def _moments_problem(part, names: set[str]) -> str | None:
    if not isinstance(part, dict) or set(part) != {"step", *names}:
        return "optimizer has other moments"
    if not all(isinstance(value, torch.Tensor) for value in part.values()):
        return "optimizer has moments that are not tensors"
    moments = [part[name] for name in sorted(names)]
    is_counted = part["step"].shape == () and part["step"].dtype == torch.float32
    if is_counted and all(one.is_floating_point() and one.shape == moments[0].shape for one in moments):
        return None
    return "optimizer has invalid moments"
