"""What training_state.pt must hold before a run goes on from it: the shape of the file, and that of this very run.

Knows states as data; runs nothing. Forms are those of metrics.json_forms.
"""

from pathlib import Path

import torch

from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.metrics.json_forms import OrNull, Text, find_mismatch

_LIMIT = 1 << 31  # of any counter
_SHAPE = {
    "run": {...: object},
    "epoch": int,
    "position": int,
    "stopped_early": bool,
    "device": Text(100),
    "sums": [{...: {...: float}}],
    "students": {...: {...: object}},
}
_COUNTERS = ("epoch", "position")
_MEASURED = {"lr", "initial_lr"}  # what moves in an optimizer's group while it trains
_STUDENT = {
    "epochs_since_best": int,
    "history": [{...: OrNull(float)}],
}


def check_shape(path: Path, content: dict) -> None:
    """CheckpointError where a state lacks something that every state has, or has it of another type."""
    for name, form in _SHAPE.items():
        if problem := find_mismatch(content[name], form, name):
            raise _refused(path, problem)
    for name in _COUNTERS:
        if not 0 <= content[name] < _LIMIT:
            raise _refused(path, f"{name} is {content[name]}")


def check_state(path: Path, content: dict, own: dict[str, dict], terms: dict[str, float], processes: int) -> None:
    """CheckpointError where a state is not one of this run.

    own: the states of its students as they begin, by size. terms: what is summed up in an epoch. processes: how many
    train together.
    """
    if set(content["students"]) != set(own) or len(content["sums"]) != processes:
        raise _refused(path, "it is of other students, or of another number of processes")
    for sums in content["sums"]:
        if problem := find_mismatch(sums, {size: dict.fromkeys(terms, float) for size in own}, "sums"):
            raise _refused(path, problem)
    for size, state in content["students"].items():
        if problem := _misfit(state, own[size]):
            raise _refused(path, f"student {size}: {problem}")


def _refused(path: Path, problem: str) -> CheckpointError:
    return CheckpointError(f"{path} is no state of this run ({problem}); give --overwrite to start anew")


def _misfit(state: dict, own: dict) -> str | None:
    """What is wrong with the state of one student, in words; None where it can be gone on from."""
    if set(state) != set(own):
        return "it has other parts"
    problem = find_mismatch({name: state[name] for name in _STUDENT}, _STUDENT)
    if problem or state["epochs_since_best"] < 0:
        return problem or "epochs_since_best is below 0"
    best = state["best"]
    if type(best) is not list or len(best) != 2 or any(type(n) is not float or n != n for n in best):
        return "best is no score"
    for name in ("student", "average", "schedule", "scaler"):
        if problem := _unlike(state[name], own[name], name):
            return problem
    return _optimizer_misfit(state["optimizer"], own)


def _unlike(value, own, place: str) -> str | None:
    """The first place where a value is of another kind than this run's own: types, keys, shapes of tensors."""
    if isinstance(own, torch.Tensor):
        is_alike = isinstance(value, torch.Tensor) and value.shape == own.shape and value.dtype == own.dtype
        return None if is_alike else f"{place} is no tensor of shape {tuple(own.shape)}"
    if isinstance(own, dict):
        if not isinstance(value, dict) or set(value) != set(own):
            return f"{place} has other parts"
        return next(filter(None, (_unlike(value[name], part, f"{place}.{name}") for name, part in own.items())), None)
    if isinstance(own, list):
        if type(value) is not list or len(value) != len(own):
            return f"{place} is no list of {len(own)}"
        return next(filter(None, (_unlike(one, other, place) for one, other in zip(value, own, strict=True))), None)
    if type(own) is float:
        return find_mismatch(value, float, place)
    if type(value) is not type(own) or (type(own) is int and not 0 <= value < _LIMIT):
        return f"{place} is no {type(own).__name__} as it should be"
    return None


def _optimizer_misfit(state, own: dict) -> str | None:
    """An optimizer has nothing to say of its parameters before its first step: they are held against the student's."""
    groups = own["optimizer"]["param_groups"]
    if not isinstance(state, dict) or set(state) != {"state", "param_groups"}:
        return "optimizer has other parts"
    if problem := _unlike(state["param_groups"], groups, "optimizer"):
        return problem
    for theirs, ours in zip(state["param_groups"], groups, strict=True):
        if any(theirs[name] != value for name, value in ours.items() if name not in _MEASURED):
            return "optimizer has other settings"
    indexes = {index for group in groups for index in group["params"]}
    if not isinstance(state["state"], dict) or not set(state["state"]) <= indexes:
        return "optimizer has other parameters"
    return next(filter(None, (_moments_misfit(part) for part in state["state"].values())), None)


def _moments_misfit(part) -> str | None:
    if not isinstance(part, dict) or set(part) != {"step", "exp_avg", "exp_avg_sq"}:
        return "optimizer has other moments"
    if not all(isinstance(value, torch.Tensor) for value in part.values()):
        return "optimizer has moments that are no tensors"
    step, first, second = part["step"], part["exp_avg"], part["exp_avg_sq"]
    is_right = step.shape == () and step.dtype == torch.float32 and first.shape == second.shape
    return (
        None if is_right and first.is_floating_point() and second.is_floating_point() else "optimizer has odd moments"
    )
