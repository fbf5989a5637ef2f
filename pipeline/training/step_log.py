"""What training steps log: kept on the device until somebody reads it, so that no step waits for an accelerator."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from embedonce.models.losses.batch import Counts
from embedonce.models.losses.registry import loss_terms

TOTAL = "total"


class StepLog:
    """Sums over the steps of an epoch: of each loss term, and of the measured norms of its gradient.

    sums: by name, those of the steps that were read. problem: which loss of which step is the first one read that is
    not finite; None if all are.
    """

    def __init__(self) -> None:
        names = [term.name for term in loss_terms()]
        self.sums: dict[str, float] = dict.fromkeys((*names, *map(norm_name, names)), 0.0)
        self.problem: str | None = None
        self._unread: list[tuple[int, dict[str, float], Tensor]] = []  # step, factors by name, total and values

    def add(
        self, step: int, losses: Mapping[str, Tensor], counts: Counts, norms: Mapping[str, Tensor], measured: int
    ) -> None:
        """Log one batch.

        step: number of its optimizer step. losses: total and terms, scalars. counts: of its optimizer step. norms: of
        the terms' gradients, scalars, if they were measured, for `measured` batches.
        """
        factors: dict[str, float] = {term.name: counts[term.logged_over] for term in loss_terms()}
        values = {name: losses[name] for name in (TOTAL, *factors)} | {norm_name(name): n for name, n in norms.items()}
        factors |= {norm_name(name): measured for name in norms}
        row = torch.stack([value.detach().float() for value in values.values()])
        self._unread.append((step, factors, row))

    @property
    def num_unread(self) -> int:
        return len(self._unread)

    def read(self) -> None:
        """Add what was logged since the last call to the sums. Waits for the device."""
        unread, self._unread = self._unread, []
        if not unread:
            return
        values = iter(torch.cat([row for _, _, row in unread]).tolist())
        for step, factors, _ in unread:
            total, named = next(values), {name: next(values) for name in factors}
            if not math.isfinite(total) and self.problem is None:
                self.problem = _place(step, named)
            for name, factor in factors.items():
                self.sums[name] += named[name] * factor


def norm_name(term: str) -> str:
    """The name of the sum of a term's gradient norms."""
    return f"norm_{term}"


def _place(step: int, values: Mapping[str, float]) -> str:
    """The step and those of its loss terms that are not finite."""
    terms = [term.name for term in loss_terms() if not math.isfinite(values[term.name])]
    named = f", {' and '.join(terms)} term" + "s" * (len(terms) > 1) if terms else ""
    return f"step {step} of the run{named}"
