"""The evaluation crop and random views: which of them a run draws, and when.

Random views keep a student from memorizing its frames, and make it learn more slowly. On photographs, which differ
from each other, they are worth more than anything else; on clips of video in short runs they only cost
(docs/distillation.md). So a run uses the evaluation crop alone until a student knows its training clips much better
than the selection clips, and random views alone from then on, unless --evaluation-view-share says otherwise.
"""

from collections.abc import Mapping, Sequence

from embedonce.pipeline.training.settings import TrainConfig

MIXING_FIELDS = ("evaluation_view_share", "evaluation_view_warmup")
MEMORIZED = 1.3  # distance of the selection clips, relative to that of the training clips
EPOCHS_RUNNING = 2  # a single epoch may be chance


def can_see_memorizing(config: TrainConfig, num_selection_clips: int) -> bool:
    """Whether a run's logs have distances of embeddings to compare: of selection clips, and of the feature term."""
    return num_selection_clips > 0 and config.alpha > 0


def waits_for_memorizing(config: TrainConfig, random_views: int, num_selection_clips: int) -> bool:
    """Whether a run begins without random views until a student memorizes its clips."""
    is_left_open = config.evaluation_view_share is None
    return is_left_open and random_views > 0 and can_see_memorizing(config, num_selection_clips)


def is_memorizing(history: Sequence[Mapping[str, float]]) -> bool:
    """Whether a student knew its training clips much better than the selection clips, in any two epochs running.

    history: the log of each epoch. Distances are 2 (1 - cosine), as in the feature term.
    """
    is_far = [2 * (1 - entry["selection_cosine"]) > MEMORIZED * entry["feature"] for entry in history]
    return any(all(is_far[i : i + EPOCHS_RUNNING]) for i in range(len(is_far) - EPOCHS_RUNNING + 1))


def memorizing_message(config: TrainConfig, random_views: int, waits: bool, epoch: int) -> str:
    """The line for the first epoch, from 1, before which clips are memorized."""
    if waits:
        return f"training clips are memorized: random views from epoch {epoch} on"
    if random_views:
        return "training clips are memorized although random views are used: more clips or a smaller student may help"
    remedy = "train without --views 0" if config.views == 0 else "extract-teacher --views 8 stores some in a new cache"
    return f"training clips are memorized, and only random views would keep a student from that: {remedy}"


def evaluation_epochs(config: TrainConfig) -> int:
    """Number of first epochs that train on the evaluation crop alone."""
    return round(config.evaluation_view_warmup * config.epochs)


def used_views(config: TrainConfig, stored_views: int) -> int:
    """Number of random views to train from. stored_views: of the cache."""
    return stored_views if config.views is None else config.views


def describe_mixing(config: TrainConfig, random_views: int, waits: bool) -> str | None:
    """One line on how views are mixed, or why they are not although it was requested; None if they are not mixed.

    random_views: number of those to train from. waits: the result of waits_for_memorizing().
    """
    if not random_views:
        return _without_effect(config)
    first, share = evaluation_epochs(config), config.evaluation_view_share
    if waits:
        how_long = f"for at least {first} of {config.epochs} epochs and " if first else ""
        return f"views: the evaluation crop alone {how_long}until clips are memorized, then {random_views} random ones"
    parts = [f"the evaluation crop alone in the first {first} of {config.epochs} epochs"] if first else []
    if share and first < config.epochs:
        parts.append(f"the evaluation crop in place of {share:.0%} of the {random_views} random ones")
    return f"views: {', then '.join(parts)}" if parts else None


def _without_effect(config: TrainConfig) -> str | None:
    """The line for a run without random views; None if the options have their defaults."""
    options = {option.name: option for option in config.options()}
    changed = [name for name in MIXING_FIELDS if getattr(config, name) != options[name].default]
    if not changed:
        return None
    flags = " and ".join(f"{options[name].flag} {getattr(config, name):g}" for name in changed)
    why = "--views 0" if config.views == 0 else "the cache has no random views"
    return f"without effect: {flags}, as all training uses the evaluation crop anyway ({why})"
