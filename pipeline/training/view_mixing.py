"""The evaluation crop among random views: what --evaluation-view-share and --evaluation-view-warmup do to a run."""

from embedonce.pipeline.training.settings import TrainConfig

# Runs of programs without these options used neither: they go on where both are 0
MIXING_FIELDS = ("evaluation_view_share", "evaluation_view_warmup")


def evaluation_epochs(config: TrainConfig) -> int:
    """Number of first epochs that train on the evaluation crop alone."""
    return round(config.evaluation_view_warmup * config.epochs)


def used_views(config: TrainConfig, stored_views: int) -> int:
    """Number of random views to train from. stored_views: of the cache."""
    return stored_views if config.views is None else config.views


def describe_mixing(config: TrainConfig, random_views: int) -> str | None:
    """One line on how views are mixed, or why they are not although it was requested; None if they are not mixed.

    random_views: number of those to train from.
    """
    if not random_views:
        return _without_effect(config)
    first, share = evaluation_epochs(config), config.evaluation_view_share
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
