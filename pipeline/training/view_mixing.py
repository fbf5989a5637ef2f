"""The evaluation crop and random views: which of them a run draws, and when.

Random views keep a student from memorizing its frames, and make it learn more slowly. On photographs, which differ
from each other, they are worth more than anything else; on clips of video in short runs they only cost
(docs/distillation.md). So a run uses the evaluation crop alone until a student knows its training clips much better
than the selection clips, and random views alone from then on, if enough epochs are left for them to pay, and unless
--evaluation-view-share says otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedonce.pipeline.training.settings import TrainConfig

MIXING_FIELDS = ("evaluation_view_share", "evaluation_view_warmup")
MEMORIZED = 1.3  # distance of the selection clips, relative to that of the training clips
EPOCHS_RUNNING = 2  # a single epoch may be chance
FEWEST_EPOCHS, SMALLEST_SHARE = 8, 0.5  # that must be left of a run for random views to repay what they cost

History = Sequence[Mapping[str, float]]  # the log of each epoch of a student


@dataclass(frozen=True)
class ViewMixing:
    """What a run draws. random_views: number of those to train from; num_selection_clips: to compare with."""

    config: TrainConfig
    random_views: int
    num_selection_clips: int

    @classmethod
    def of(cls, config: TrainConfig, stored_views: int, num_selection_clips: int) -> "ViewMixing":
        """stored_views: random ones in the cache."""
        return cls(config, stored_views if config.views is None else config.views, num_selection_clips)

    @property
    def waits(self) -> bool:
        """Whether a run begins without random views, until a student memorizes its clips."""
        return self.config.evaluation_view_share is None and self.random_views > 0 and self._can_compare

    @property
    def _can_compare(self) -> bool:
        """Whether logs have distances of embeddings to compare: of selection clips, and of the feature term."""
        return self.num_selection_clips > 0 and self.config.alpha > 0

    def draws_random_views(self, histories: Sequence[History]) -> bool:
        """Whether the next epoch is to draw random views, by the logs of all students, as a resumed run has them."""
        return not self.waits or any(is_memorizing(history[: self._latest_epoch]) for history in histories)

    @property
    def _latest_epoch(self) -> int:
        """The last epoch after which random views may begin; 0: none."""
        epochs = self.config.epochs
        return max(0, epochs - max(FEWEST_EPOCHS, math.ceil(SMALLEST_SHARE * epochs)))

    def news(self, histories: Sequence[History], epoch: int) -> str | None:
        """The line to log before an epoch, from 1, if clips are memorized since the one before it."""
        if not self._can_compare:
            return None
        before, now = (any(is_memorizing(history[:end]) for history in histories) for end in (-1, None))
        return self._memorized(epoch) if now and not before else None

    def _memorized(self, epoch: int) -> str:
        if self.waits and epoch > self._latest_epoch + 1:
            return "training clips are memorized; the epochs that are left are too few for random views"
        if self.waits:
            return f"training clips are memorized: random views from epoch {epoch} on"
        if self.random_views:
            return "training clips are memorized although random views are used: more of them may help, or more clips"
        without = self.config.views == 0
        remedy = "train without --views 0" if without else "extract-teacher --views 8 stores some in a new cache"
        return f"training clips are memorized, and only random views would keep a student from that: {remedy}"

    def describe(self) -> str | None:
        """One line on how views are mixed, or why not although it was requested; None if they are not."""
        if not self.random_views:
            return _without_effect(self.config)
        first, share = evaluation_epochs(self.config), self.config.evaluation_view_share
        of_all = f"of {self.config.epochs} epochs"
        if self.waits:
            at_least = f"for at least {first} {of_all} and " if first else ""
            then = f"until clips are memorized, then {self.random_views} random ones"
            return f"views: the evaluation crop alone {at_least}{then}"
        parts = [f"the evaluation crop alone in the first {first} {of_all}"] if first else []
        if share and first < self.config.epochs:
            parts.append(f"the evaluation crop in place of {share:.0%} of the {self.random_views} random ones")
        return f"views: {', then '.join(parts)}" if parts else None


def is_memorizing(history: History) -> bool:
    """Whether a student knew its training clips much better than the selection clips, in any two epochs running.

    Distances are 2 (1 - cosine), as in the feature term.
    """
    is_far = [2 * (1 - entry["selection_cosine"]) > MEMORIZED * entry["feature"] for entry in history]
    return any(all(is_far[i : i + EPOCHS_RUNNING]) for i in range(len(is_far) - EPOCHS_RUNNING + 1))


def evaluation_epochs(config: TrainConfig) -> int:
    """Number of first epochs that train on the evaluation crop alone."""
    return round(config.evaluation_view_warmup * config.epochs)


def _without_effect(config: TrainConfig) -> str | None:
    """The line for a run without random views; None if the options have their defaults."""
    options = {option.name: option for option in config.options()}
    changed = [name for name in MIXING_FIELDS if getattr(config, name) != options[name].default]
    if not changed:
        return None
    flags = " and ".join(f"{options[name].flag} {getattr(config, name):g}" for name in changed)
    why = "--views 0" if config.views == 0 else "the cache has no random views"
    return f"without effect: {flags}, as all training uses the evaluation crop anyway ({why})"
