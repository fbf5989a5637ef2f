"""The registry of trackers: their names, and where each one is implemented. Imports none until it is used."""

from importlib import import_module

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.tracking.tracker import Tracker

CSV = "csv"  # train_log.csv, which every training writes
# name, as in --report-to -> "module:class" of a Tracker
TRACKERS: dict[str, str] = {
    "tensorboard": "embedonce.pipeline.tracking.tensorboard:TensorBoard",
    "wandb": "embedonce.pipeline.tracking.wandb:WeightsAndBiases",
    "trackio": "embedonce.pipeline.tracking.trackio:Trackio",
}


def tracker_names() -> tuple[str, ...]:
    """The names that --report-to accepts."""
    return (CSV, *TRACKERS)


def register_tracker(name: str, location: str) -> None:
    """Add a tracker. location: "package.module:Class", imported when it is first used.

    ValueError for a name that is taken or that --report-to could not express, or for a malformed location.
    """
    if name in tracker_names():
        raise ValueError(f"tracker {name!r} is registered already; choose another name")
    if not name or "," in name or name != name.strip():
        raise ValueError(f"invalid tracker name {name!r}: it must not be empty or hold commas or outer spaces")
    if ":" not in location:
        raise ValueError(f"invalid location {location!r} of tracker {name!r}: give 'package.module:Class'")
    TRACKERS[name] = location


def load_tracker(name: str) -> type[Tracker]:
    """The class of this name. InputError if its module cannot be imported, or has no such class."""
    module, _, attribute = TRACKERS[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # whatever a package of others raises
        problem = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"--report-to {name} needs a package that cannot be imported ({problem}): leave it out, or install it with "
            "pip install 'embedonce[tracking]'"
        ) from error
