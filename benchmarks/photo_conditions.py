"""What students of benchmarks/photos.py differ in: named sets of options of train-student, in one table."""

from typing import Any

from benchmarks.own_teacher import FEATURE_ALONE
from embedonce.models.names import PROJECTIONS
from embedonce.pipeline.settings.options import Option
from embedonce.pipeline.training.settings import TrainConfig

BASE: dict[str, Any] = FEATURE_ALONE | {"student_size": "xxs", "views": 8, "epochs": 40}
Overrides = dict[str, Any]
RANDOM = {"evaluation_view_share": 0.0}  # random views from the first epoch on
ADAMW = {"optimizer": "adamw", "lr": 1.5e-3, "weight_decay": 0.05}
PLAIN = RANDOM | ADAMW | {"jitter": 0.0}  # without what the defaults have gained here

# Name -> what differs from BASE, and so from the defaults. The first one is what the others are compared with.
CONDITIONS: dict[str, Overrides] = {
    "K=8": {},
    **{f"K={views}": {"views": views} for views in (0, 1, 4, 16)},
    "no selection": {"selection": False},
    "no selection, lr 0.004": {"selection": False, "lr": 4e-3},
    "random from the start": RANDOM,
    "AdamW": ADAMW,
    "plain, mlp": PLAIN | {"projection": "mlp"},
    "plain, mlp, K=0": PLAIN | {"projection": "mlp", "views": 0},
    "plain, linear": PLAIN,
    **{f"share {share:g}": {"evaluation_view_share": share} for share in (0.1, 0.25, 0.5)},
    **{f"warmup {share:g}": RANDOM | {"evaluation_view_warmup": share} for share in (0.1, 0.25, 0.5)},
    **{f"projection {name}": {"projection": name} for name in PROJECTIONS[1:]},
    **{f"jitter {strength:g}": {"jitter": strength} for strength in (0.0, 0.5)},
    **{f"ema {decay:g}": {"ema": decay} for decay in (0.99, 0.999)},
    **{f"lr {rate:g}": {"lr": rate} for rate in (1e-3, 4e-3)},
    "pooling mean": {"pooling": "mean"},
    **{f"weight decay {decay:g}": {"weight_decay": decay} for decay in (0.05, 0.8)},
    **{f"{epochs} epochs, K=8": {"epochs": epochs} for epochs in (10, 160)},
    **{f"{epochs} epochs, K=0": {"epochs": epochs, "views": 0} for epochs in (10, 160)},
}

DISTANCES: dict[str, Overrides] = {  # of embeddings; only once feature_distances.register() has been called
    "centered too": {"centered_weight": 1.0},
    "relational too": {"relational_weight": 1.0},
    "smooth L1 instead": {"alpha": 0.0, "smooth_l1_weight": 1.0},
}


def chosen_conditions(
    only: tuple[str, ...], given: tuple[str, ...], table: dict[str, Overrides] = CONDITIONS
) -> dict[str, Overrides]:
    """The conditions to train, in order: those that --only and --condition name, or all of the table.

    only: names, or parts of names. given: as parse_condition() reads them. ValueError for what names nothing.
    """
    chosen = {} if only or given else table
    for part in only:
        found = [part] if part in table else [name for name in table if part in name]
        if not found:
            raise ValueError(f"--only {part}: no condition has that in its name; there are: {'; '.join(table)}")
        chosen |= {name: table[name] for name in found}
    return chosen | dict(map(parse_condition, given))


def parse_condition(text: str) -> tuple[str, Overrides]:
    """NAME=option:value,... as a name and options of train-student. ValueError with what is wrong."""
    name, separator, listed = text.rpartition("=")
    if not (separator and name):
        raise ValueError(f"--condition {text}: must be NAME=option:value,... such as 'wide=views:16,projection:linear'")
    options = {option.name: option for option in TrainConfig.options()}
    overrides: Overrides = {}
    for part in filter(None, listed.split(",")):
        flag, _, value = part.partition(":")
        key = flag.strip().replace("-", "_")
        if key not in options:
            raise ValueError(f"--condition {text}: {flag!r} is not an option of train-student")
        overrides[key] = _value(options[key], value, text)
    return name, overrides


def _value(option: Option, value: str, text: str) -> Any:
    """The value of an option, which is written as on the command line, or as true or false."""
    if option.value_type is bool:
        if value not in ("true", "false"):
            raise ValueError(f"--condition {text}: {option.name} must be true or false, got {value!r}")
        return value == "true"
    try:
        return option.value_type(value)
    except ValueError as error:
        kind = option.value_type.__name__
        raise ValueError(f"--condition {text}: {option.name} must be of type {kind}, got {value!r}") from error
