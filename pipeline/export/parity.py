"""How close an exported student must be to the trained one. Arrays in, figures out; runs nothing."""

from dataclasses import asdict, dataclass, replace

import numpy as np

from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.metrics import accuracy


class DivergedError(PipelineError):
    """The outputs of an exported student differ from those of the trained one by more than its format allows."""

    exit_code = 4


@dataclass(frozen=True)
class Parity:
    """An exported student compared with PyTorch, on the same clips of the cache.

    max_difference: the largest absolute one between logits (between embeddings if there are no logits). rounding: the
    largest one between PyTorch in float32 and in float64 there, which a few inputs multiply by a hundred. agreement:
    share of clips with the same top-1 class; None without classes. cosine: mean over clips. top1: accuracy of the
    exported student; None without labels. evaluated_by: what computed its outputs, if not the runtime of the format.
    """

    clips: int
    max_difference: float
    rounding: float
    agreement: float | None
    cosine: float
    top1: float | None
    evaluated_by: str | None = None

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """What a format must achieve. Beyond max_difference, up to twice PyTorch's own rounding is allowed."""

    max_difference: float
    agreement: float
    cosine: float

    def for_temperature(self, temperature: float) -> "Limits":
        """The limits of logits that are divided by a temperature: below 1, it multiplies their rounding, too."""
        return replace(self, max_difference=self.max_difference / min(1.0, temperature))


EXACT = Limits(max_difference=1e-4, agreement=1.0, cosine=0.99999)
HALF = Limits(max_difference=np.inf, agreement=0.98, cosine=0.999)
INT8 = Limits(max_difference=np.inf, agreement=0.9, cosine=0.97)


def measure_parity(exported: Predictions, trained: Predictions, in_double: Predictions) -> Parity:
    """Compare predictions for the same N clips. in_double: the trained student's in float64."""
    has_classes = bool(trained.logits.shape[1])
    outputs, pytorch, exact = (p.logits if has_classes else p.embeddings for p in (exported, trained, in_double))
    return Parity(
        clips=len(trained.labels),
        max_difference=float(np.abs(outputs - pytorch).max()),
        rounding=float(np.abs(pytorch - exact).max()),
        agreement=accuracy.agreement(outputs, pytorch) if has_classes else None,
        cosine=accuracy.mean_cosine(exported.embeddings, trained.embeddings),
        top1=exported.top1,
    )


def check_parity(name: str, parity: Parity, limits: Limits) -> None:
    """DivergedError if a figure is outside its limit or NaN. name: of the format."""
    largest = max(limits.max_difference, 2 * parity.rounding)
    checks = [
        ("the largest difference", parity.max_difference, "at most", largest),
        ("the share of clips with PyTorch's class", parity.agreement, "at least", limits.agreement),
        ("the mean cosine of embeddings", parity.cosine, "at least", limits.cosine),
    ]
    for figure, value, direction, limit in checks:
        if value is None:
            continue
        if not (value <= limit if direction == "at most" else value >= limit):  # NaN fails both comparisons
            raise DivergedError(
                f"the {name} export differs from PyTorch on {parity.clips} clips: {figure} is {value:.4g} and must be "
                f"{direction} {limit:g}; nothing was written; leave this format out of --formats, or report this"
            )
