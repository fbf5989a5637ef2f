"""The evaluation crop and random views: which of them a run draws, and when.

Random views keep a student from memorizing its frames, and make it learn more slowly. On photographs, which differ
from each other, they are worth more than anything else; on clips of video in short runs they only cost
(docs/distillation.md). So a run uses the evaluation crop alone until a student knows its training clips much better
than the selection clips, and random views alone from then on, if enough epochs are left for them to pay, and unless
--evaluation-view-share says otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from embedonce.pipeline.training.settings import TrainConfig

MIXING_FIELDS = ("evaluation_view_share", "evaluation_view_warmup")
MEMORIZED = 1.3  # distance of the selection clips, relative to that of the training clips
EPOCHS_IN_A_ROW = 2  # a single epoch may be chance
FEWEST_EPOCHS, SMALLEST_SHARE = 8, 0.25  # that must be left of a run for random views to repay what they cost

History = Sequence[Mapping[str, float]]  # the log of each epoch of a student


@dataclass(frozen=True)
class ViewMixing:
    """What a run draws.

    stored_views: random ones in the cache. num_selection_clips: to compare with. shares: of added teachers in the
    feature term; the rest of 1 is the main teacher's.
    """

    config: TrainConfig
    stored_views: int
    num_selection_clips: int
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def random_views(self) -> int:
        """Number of random views to train from."""
        return self.stored_views if self.config.views is None else self.config.views

    @property
    def waits(self) -> bool:
        """Whether a run begins without random views, until a student memorizes its clips."""
        return self.config.evaluation_view_share is None and self.random_views > 0 and self._can_compare

    @property
    def starts_random(self) -> bool:
        """Whether all draws are random views from the first epoch on."""
        share = self.config.evaluation_view_share or 0.0
        return self.random_views > 0 and not self.waits and share == 0 and not evaluation_epochs(self.config)

    @property
    def may_draw_random_views(self) -> bool:
        """Whether any epoch may draw random views."""
        if not self.random_views or evaluation_epochs(self.config) >= self.config.epochs:
            return False
        return self._latest_epoch >= EPOCHS_IN_A_ROW if self.waits else self.config.evaluation_view_share != 1

    @property
    def _can_compare(self) -> bool:
        """Whether logs have distances of embeddings to compare: of selection clips, and of the feature term."""
        return self.num_selection_clips > 0 and self.config.alpha > 0

    @property
    def _latest_epoch(self) -> int:
        """The last epoch after which random views may begin; 0: none."""
        epochs = self.config.epochs
        return max(0, epochs - max(FEWEST_EPOCHS, math.ceil(SMALLEST_SHARE * epochs)))

    def draws_random_views(self, histories: Sequence[History]) -> bool:
        """Whether the next epoch is to draw random views, by the logs of all students, as a resumed run has them."""
        return not self.waits or any(self._is_memorizing(history[: self._latest_epoch]) for history in histories)

    def _is_memorizing(self, history: History) -> bool:
        return is_memorizing(history, self.shares)

    def news(self, histories: Sequence[History], epoch: int) -> str | None:
        """The line to log before an epoch, from 1, if clips are memorized since the one before it."""
        if not self._can_compare:
            return None
        before, now = (any(self._is_memorizing(history[:end]) for history in histories) for end in (-1, None))
        return f"training clips are memorized{self._consequence(epoch)}" if now and not before else None

    def _consequence(self, epoch: int) -> str:
        if self.may_draw_random_views:
            if not self.waits:
                return " although random views are used: more of them may help, or more clips"
            if epoch <= self._latest_epoch + 1:
                return f": random views from epoch {max(epoch, evaluation_epochs(self.config) + 1)} on"
        if not self.stored_views:
            return ", and only random views would keep a student from that: extract-teacher --views 8 into a new cache"
        if self.waits:
            return "; too few epochs are left for random views"
        return ", and no random views are used, which would keep a student from that"

    def describe(self) -> str | None:
        """One line on how views are mixed, or why not although it was requested; None if they are not."""
        if not self.random_views:
            return _without_effect(self.config)
        if self.waits and not self.may_draw_random_views:
            return f"views: the evaluation crop alone, as {self.config.epochs} epochs are too few for random ones"
        first, share = evaluation_epochs(self.config), self.config.evaluation_view_share
        of_all = f"of {self.config.epochs} epochs"
        if self.waits:
            at_least = f"for at least {first} {of_all} and " if first else ""
            return f"views: the evaluation crop alone {at_least}until clips are memorized, then {self._random_ones}"
        if self.starts_random and share is None:
            return (
                f"views: {self._random_ones} from the start, because without {self._lacking} nothing shows when they "
                "are needed; if clips look alike, a short run may learn more with --views 0"
            )
        parts = [f"the evaluation crop alone in the first {first} {of_all}"] if first else []
        if share and first < self.config.epochs:
            parts.append(f"the evaluation crop in place of {share:.0%} of {self._random_ones}")
        return f"views: {', then '.join(parts)}" if parts else None

    @property
    def _lacking(self) -> str:
        """What there would have to be to compare distances."""
        return "the feature term" if self.num_selection_clips else "selection clips"

    @property
    def _random_ones(self) -> str:
        return "1 random view" if self.random_views == 1 else f"{self.random_views} random views"


def is_memorizing(history: History, shares: Mapping[str, float]) -> bool:
    """Whether a student knew its training clips much better than the selection clips, in any two epochs in a row.

    Distances are 2 (1 - cosine), as in the feature term: of several teachers, their mean, weighted by their shares.
    """
    is_far = [_selection_distance(entry, shares) > MEMORIZED * entry["feature"] for entry in history]
    return any(all(is_far[i : i + EPOCHS_IN_A_ROW]) for i in range(len(is_far) - EPOCHS_IN_A_ROW + 1))


def _selection_distance(entry: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """The feature term of the selection clips, by an epoch's log."""
    cosine = (1 - sum(shares.values())) * entry["selection_cosine"]
    return 2 * (1 - cosine - sum(share * entry[f"selection_cosine_{name}"] for name, share in shares.items()))


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
