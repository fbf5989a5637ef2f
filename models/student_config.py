"""The architecture of a student as plain values: what its size stands for, and what a checkpoint says."""

import dataclasses
from dataclasses import dataclass

from embedonce.models.errors import ModelOptionError
from embedonce.models.names import (
    ATTENTION,
    MAX_CLASSES,
    MAX_WIDTH,
    MEAN,
    NARROW_SIZES,
    POOLINGS,
    PROJECTIONS,
)


@dataclass(frozen=True)
class StudentConfig:
    """The architecture of a student: JSON values, stored in every checkpoint.

    size: one of STUDENT_SIZES, or the name of a timm model. projection: one of PROJECTIONS. attention_rank: 0 for a
    student without attention, which takes the mean of a clip's frames.
    """

    size: str
    embed_dim: int
    num_classes: int
    resolution: int  # pixels; the input is square
    projection_hidden: int
    attention_rank: int
    head_hidden: int
    projection: str = "mlp"
    dropout: float = 0.1


# projection_hidden, attention_rank, head_hidden of each size, small next to its backbone
_PARTS = {
    "tiny": (96, 16, 128),
    "xxs": (160, 32, 224),
    "xs": (160, 32, 240),
    "s": (256, 64, 256),
    "lcnet050": (96, 16, 128),
    "lcnet100": (128, 16, 192),
    "mnv3s050": (96, 16, 128),
    "mnv3s100": (144, 32, 256),
    "mnv4s050": (72, 16, 112),
    "mnv4s100": (128, 16, 96),
}
_OTHER_PARTS = (160, 32, 256)


def default_projection(size: str) -> str:
    """The projection of a student for which none is chosen: `linear`, where it fits the size's parameter budget.

    It learns photographs and synthetic clips faster than `mlp` (docs/distillation.md).
    """
    return "mlp" if size in NARROW_SIZES else "linear"


def student_config(
    size: str,
    embed_dim: int,
    num_classes: int,
    resolution: int,
    projection: str | None = None,
    pooling: str = ATTENTION,
) -> StudentConfig:
    """The architecture for a student size. projection: None is the default of this size.

    Raises ModelOptionError for an invalid projection, pooling or resolution.
    """
    projection = projection or default_projection(size)
    if projection not in PROJECTIONS:
        raise ModelOptionError(f"--projection must be one of {', '.join(PROJECTIONS)}, got {projection!r}")
    if pooling not in POOLINGS:
        raise ModelOptionError(f"--pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    if resolution not in range(128, 257, 32):
        raise ModelOptionError(f"--student-resolution must be a multiple of 32 from 128 to 256, got {resolution}")
    hidden, rank, head_hidden = _PARTS.get(size, _OTHER_PARTS)
    rank = 0 if pooling == MEAN else rank
    return StudentConfig(size, embed_dim, num_classes, resolution, hidden, rank, head_hidden, projection)


def config_from(document: dict) -> StudentConfig:
    """The StudentConfig of a checkpoint. Raises ModelOptionError for missing or unknown fields and invalid values."""
    names = {field.name for field in dataclasses.fields(StudentConfig)}
    if set(document) != names:
        got = ", ".join(ascii(name)[:40] for name in list(document)[:20])
        raise ModelOptionError(f"a student's settings are {', '.join(sorted(names))}, not {got}")
    config = StudentConfig(**document)
    _check_values(config)
    shape = (config.embed_dim, config.num_classes, config.resolution, config.projection)
    student_config(config.size, *shape)  # raises for what cannot be built
    return config


def _check_values(config: StudentConfig) -> None:
    """Raise ModelOptionError for a setting of the wrong type or out of range."""
    ranges = {
        **dict.fromkeys(("embed_dim", "projection_hidden", "head_hidden"), (1, MAX_WIDTH)),
        "attention_rank": (0, MAX_WIDTH),
        "num_classes": (0, MAX_CLASSES),
        "resolution": (1, 1024),
    }
    for name, (low, high) in ranges.items():
        if type(getattr(config, name)) is not int or not low <= getattr(config, name) <= high:
            raise ModelOptionError(f"a student's {name} must be a whole number from {low} to {high}")
    if type(config.dropout) not in (int, float) or not 0 <= config.dropout < 1:
        raise ModelOptionError("a student's dropout must be a number from 0 to below 1")
    if any(type(text) is not str or len(text) > 100 for text in (config.size, config.projection)):
        raise ModelOptionError("a student's size and projection must be names")
    if config.attention_rank % 4:
        raise ModelOptionError("a student's attention_rank must be a multiple of 4, its number of heads")
