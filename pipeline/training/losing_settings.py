"""Warnings before a training with settings that lost to others when they were measured. The rules are one table."""

from collections.abc import Callable
from dataclasses import dataclass

from embedonce.pipeline.training.settings import TrainConfig


@dataclass(frozen=True)
class PlannedTraining:
    """What rules look at.

    clips: training clips, without those for selection. random_views: stored ones that are used. starts_random: whether
    all draws are such from the first epoch on. steps: optimizer steps of the whole run.
    """

    config: TrainConfig
    clips: int
    random_views: int
    starts_random: bool
    steps: int


@dataclass(frozen=True)
class Rule:
    """Settings that lose. warning: what is lost and which options avoid it; placeholders: of the planned training."""

    applies: Callable[[PlannedTraining], bool]
    warning: str


def _has_more_views_than_epochs(run: PlannedTraining) -> bool:
    return run.starts_random and run.random_views > run.config.epochs


# docs/distillation.md has the measurements
RULES = (
    Rule(
        _has_more_views_than_epochs,
        "--epochs {config.epochs} is fewer than the {random_views} random views: clips are seen in some of them only, "
        "and never in the evaluation crop; short runs learned more from fewer views: set --views, "
        "--evaluation-view-share or more epochs",
    ),
)


def warnings(run: PlannedTraining, rules: tuple[Rule, ...] = RULES) -> list[str]:
    """One sentence for each rule that applies to a training."""
    values = {name: getattr(run, name) for name in ("config", "clips", "random_views", "starts_random", "steps")}
    return [rule.warning.format(**values) for rule in rules if rule.applies(run)]
