"""The plan of one training epoch: its batches, their counts, and which gradients are measured.

All processes compute the same plan, so that each knows the size of an optimizer step without communication.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.models.losses.batch import Counts
from embedonce.models.losses.term import MeanOver

BATCHES_PER_MEASUREMENT = 16  # measuring one costs about two steps: an eighth of the time
MAX_MEASUREMENTS = 8  # of batches with labels, and of batches without


@dataclass(frozen=True)
class EpochPlan:
    """The global batches of an epoch in order, their counts, and the number of batches per optimizer step.

    measured: position of each batch whose gradient is measured term by term -> number of batches it represents.
    """

    batches: list[list[int]]
    counts: list[Counts]
    accumulate_steps: int
    measured: dict[int, int]

    @property
    def total(self) -> Counts:
        """Counts of the whole epoch."""
        return _sum(self.counts)

    def step_counts(self, position: int) -> Counts:
        """Counts of the optimizer step that includes the batch at this position."""
        first = self._first_of_step(position)
        return _sum(self.counts[first : first + self.accumulate_steps])

    def ends_step(self, position: int) -> bool:
        """Whether an optimizer step is taken after the batch at this position."""
        return position + 1 == min(self._first_of_step(position) + self.accumulate_steps, len(self.batches))

    def saves_after(self, position: int, every: int) -> bool:
        """Whether the training state is saved after the batch at this position, within the epoch.

        It is saved at the end of the optimizer step that completes another `every` batches: accumulated gradients are
        not part of a state.
        """
        first, done = self._first_of_step(position), position + 1
        return self.ends_step(position) and done < len(self.batches) and done // every > first // every

    def _first_of_step(self, position: int) -> int:
        return position - position % self.accumulate_steps


def plan_epoch(
    batches: list[list[int]], frames: np.ndarray, labeled: np.ndarray, accumulate_steps: int, draw: tuple[int, int]
) -> EpochPlan:
    """The plan for these batches of indexes; i + r N is the r-th further draw of clip i.

    frames, labeled (N,): number of frames of each clip, and whether it has a label. draw: (seed, epoch), which select
    the batches to measure.
    """
    clips = [np.array(batch) % len(labeled) for batch in batches]
    counts = [Counts(int(frames[c].sum()), len(c), int(labeled[c].sum())) for c in clips]
    measured = choose_measured([bool(count.labeled) for count in counts], draw)
    return EpochPlan(batches, counts, accumulate_steps, measured)


def choose_measured(has_labels: list[bool], draw: tuple[int, int]) -> dict[int, int]:
    """Positions of batches to measure -> number of batches each represents, so that the weighted mean is unbiased.

    One is drawn from each of several stretches, separately among batches with and without labels: if few clips are
    labeled, a sample of all batches would often hold none of them.
    """
    generator = np.random.default_rng((*draw, 2))
    measured: dict[int, int] = {}
    for labeled in (True, False):
        places = np.flatnonzero(np.array(has_labels) == labeled)
        count = min(MAX_MEASUREMENTS, -(-len(places) // BATCHES_PER_MEASUREMENT))
        for stretch in np.array_split(places, count) if count else ():
            measured[int(generator.choice(stretch))] = len(stretch)
    return measured


def _sum(counts: list[Counts]) -> Counts:
    return Counts(*(sum(count[unit] for count in counts) for unit in MeanOver))
