"""Making a damaged cache whole again: what cannot be trusted is taken out, so that the next extraction makes it anew.

Makes nothing itself; touches nothing that verify found sound.
"""

from pathlib import Path

from cache import commit
from cache.errors import DamagedError, some
from cache.layout import BACKENDS, Layout, read_identity
from cache.verify import Problem, Remedy, Report


def repair(root: Path, report: Report) -> list[str]:
    """Do what each problem's remedy says; a line about each thing done.

    DamagedError, and nothing is done, where the identity, the plan or a label set itself is damaged.
    """
    hopeless = [problem.message for problem in report.problems if problem.remedy == Remedy.NONE]
    if hopeless:
        raise DamagedError(
            f"this cannot be repaired, and nothing was changed: {'; '.join(hopeless)}. Extract into another --cache-dir"
        )
    layout, suffix = Layout(root), BACKENDS[read_identity(root).backend].suffix
    lock = commit.Lock(layout.lock)
    try:
        lines = [_mend(layout, suffix, problem) for problem in report.problems]
    finally:
        lock.close()
    return list(dict.fromkeys(lines))


def _mend(layout: Layout, suffix: str, problem: Problem) -> str:
    if problem.remedy == Remedy.REDO_UNIT:
        for label_set in sorted(path.parent.name for path in layout.labels.glob("*/label_set.json")):
            _take_out(layout, label_set, problem.unit, suffix)
        _take_out(layout, None, problem.unit, suffix)
        videos = some(problem.videos, 3) or "its videos are unknown"
        return f"unit {problem.unit} ({videos}): to be extracted again"
    if problem.remedy == Remedy.REDO_LOGITS:
        _take_out(layout, problem.label_set, problem.unit, suffix)
        return f"logits of unit {problem.unit}, label set {problem.label_set}: to be computed again"
    commit.remove(problem.path)
    return f"{problem.path}: removed"


def _take_out(layout: Layout, label_set: str | None, unit: str, suffix: str) -> None:
    """Record first: a shard without a record does not exist."""
    shards, records = layout.columns(label_set)
    commit.remove(records / f"{unit}.json")
    commit.remove(shards / f"{unit}{suffix}")
