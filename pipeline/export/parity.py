"""How close an exported student must be to the one that was trained. Arrays in, figures out; runs nothing."""

from dataclasses import asdict, dataclass

import numpy as np

from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.metrics import accuracy


class DivergedError(PipelineError):
    """An exported student says something else than the trained one."""

    exit_code = 4


@dataclass(frozen=True)
class Parity:
    """An exported student beside PyTorch, on the same clips of the cache.

    max_difference: the largest of logits (of embeddings, where there are none). rounding: by how much PyTorch itself
    differs from its double precision there; a few inputs multiply it by a hundred. agreement: share of clips with the
    same first class; None without classes. cosine: mean over clips. top1: of the exported student, None without labels.
    """

    clips: int
    max_difference: float
    rounding: float
    agreement: float | None
    cosine: float
    top1: float | None

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """What is claimed of a format; more than max_difference is allowed up to twice PyTorch's own rounding."""

    max_difference: float
    agreement: float
    cosine: float


EXACT = Limits(max_difference=1e-4, agreement=1.0, cosine=0.99999)
HALF = Limits(max_difference=np.inf, agreement=0.98, cosine=0.999)
INT8 = Limits(max_difference=np.inf, agreement=0.9, cosine=0.97)


def compared(exported: Predictions, trained: Predictions, in_double: Predictions) -> Parity:
    """Figures of N clips that all saw. in_double: the trained student's, in double precision."""
    has_classes = bool(trained.logits.shape[1])
    found, pytorch, exact = (p.logits if has_classes else p.embeddings for p in (exported, trained, in_double))
    return Parity(
        clips=len(trained.labels),
        max_difference=float(np.abs(found - pytorch).max()),
        rounding=float(np.abs(pytorch - exact).max()),
        agreement=accuracy.agreement(found, pytorch) if has_classes else None,
        cosine=accuracy.mean_cosine(exported.embeddings, trained.embeddings),
        top1=exported.top1,
    )


def check(name: str, parity: Parity, limits: Limits) -> None:
    """DivergedError, in one sentence, where a figure is beyond its limit or no number."""
    wanted = [
        ("its largest difference", parity.max_difference, "at most", max(limits.max_difference, 2 * parity.rounding)),
        ("the share of clips with PyTorch's class", parity.agreement, "at least", limits.agreement),
        ("the mean cosine of embeddings", parity.cosine, "at least", limits.cosine),
    ]
    for what, value, direction, limit in wanted:
        if value is None:
            continue
        if not (value <= limit if direction == "at most" else value >= limit):  # what is no number is beyond it
            raise DivergedError(
                f"the {name} export differs from PyTorch on {parity.clips} clips: {what} is {value:.4g} and must be "
                f"{direction} {limit:g}; nothing was written: leave it out with --formats, or report this"
            )
