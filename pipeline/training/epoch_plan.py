"""What one epoch of training does, batch by batch, known before the first of them: pure arithmetic on counts.

All processes make the same plan, so that none has to ask the others what an optimizer step holds.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.models.losses import Counts

BATCHES_PER_MEASUREMENT = 16  # a measurement costs about two more steps: an eighth of the time
MOST_MEASUREMENTS = 8  # of batches with labels, and as many of those without


@dataclass(frozen=True)
class EpochPlan:
    """The global batches of an epoch in order, the counts of each, and how many make an optimizer step.

    measured: position of a batch whose gradient is measured term by term -> how many batches it stands for.
    """

    batches: list[list[int]]
    counts: list[Counts]
    accumulate_steps: int
    measured: dict[int, int]

    @property
    def total(self) -> Counts:
        """Of the whole epoch."""
        return _added(self.counts)

    def step_counts(self, position: int) -> Counts:
        """What the optimizer step holds that the batch at this position is a part of."""
        first = self._first_of_step(position)
        return _added(self.counts[first : first + self.accumulate_steps])

    def ends_step(self, position: int) -> bool:
        """Whether the optimizer moves after the batch at this position."""
        return position + 1 == min(self._first_of_step(position) + self.accumulate_steps, len(self.batches))

    def saves_after(self, position: int, every: int) -> bool:
        """Whether the state is saved after the batch at this position, within the epoch.

        That is at the end of the optimizer step in which another `every` batches are full: gradients that have been
        added up but not used yet are in no state.
        """
        first, done = self._first_of_step(position), position + 1
        return self.ends_step(position) and done < len(self.batches) and done // every > first // every

    def _first_of_step(self, position: int) -> int:
        return position - position % self.accumulate_steps


def plan_epoch(
    batches: list[list[int]], frames: np.ndarray, labels: np.ndarray, accumulate_steps: int, draw: tuple[int, int]
) -> EpochPlan:
    """The plan of these batches. frames, labels (N,): how many frames each clip gives, its label or -1.

    draw: (seed, epoch) of the choice of what is measured.
    """
    counts = [Counts(int(frames[b].sum()), len(b), int((labels[b] >= 0).sum())) for b in batches]
    measured = choose_measured([bool(count.labeled) for count in counts], draw)
    return EpochPlan(batches, counts, accumulate_steps, measured)


def choose_measured(has_labels: list[bool], draw: tuple[int, int]) -> dict[int, int]:
    """Batches to measure, one of each stretch, with the stretch's length: so that a weighted mean is unbiased.

    Those with labels and those without are drawn apart: where labels are few, a few batches drawn from all would hold
    none of them.
    """
    generator = np.random.default_rng((*draw, 2))
    measured: dict[int, int] = {}
    for there in (True, False):
        places = np.flatnonzero(np.array(has_labels) == there)
        count = min(MOST_MEASUREMENTS, -(-len(places) // BATCHES_PER_MEASUREMENT))
        for stretch in np.array_split(places, count) if count else ():
            measured[int(generator.choice(stretch))] = len(stretch)
    return measured


def _added(counts: list[Counts]) -> Counts:
    return Counts(*(sum(getattr(c, name) for c in counts) for name in ("frames", "clips", "labeled")))
