"""Which frames of a clip are drawn, in which view and with which jitter, and in which order clips come.

All are pure functions of seed, epoch and index, so that a run can be resumed exactly.
"""

from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.frames.clip_frames import segment_centers

SHARDS_PER_WINDOW = 8  # shards whose clips are shuffled together: more are more random, fewer keep fewer files open


@dataclass(frozen=True)
class ClipSampling:
    """How a fixed number of frames is taken from each clip.

    resolution: side of the frames in pixels; 0: items have no frames. random: draw new frames and views every epoch,
    else always take segment centers in `view`. jitter: largest relative change of brightness, contrast and saturation,
    the same for all frames of a clip. views: number of stored random views to use; 0: only the evaluation crop, None:
    all. evaluation_epochs: number of first epochs in which only the evaluation crop is used; evaluation_share: share of
    the draws of later epochs that use it, from 0 to 1. time_shift: largest share of its
    length by which a clip's window is moved if random; see moved_rows().
    """

    frames_per_clip: int
    resolution: int
    random: bool
    seed: int
    jitter: float = 0.0
    views: int | None = None
    view: int = 0
    evaluation_epochs: int = 0
    evaluation_share: float = 0.0
    time_shift: float = 0.0

    @property
    def largest_shift(self) -> float:
        """The largest share of its length by which a clip's window is moved."""
        return self.time_shift if self.random else 0.0


def choose_frames(rows: np.ndarray, sampling: ClipSampling, epoch: int, index: int) -> np.ndarray:
    """Up to frames_per_clip of the clip's rows, in order: one from each of T equal segments of the clip.

    With sampling.random every row is equally likely to be chosen, even if segments end within a row.
    """
    count = min(sampling.frames_per_clip, len(rows))
    if not sampling.random:
        return rows[segment_centers(len(rows), count)]
    generator = np.random.default_rng((sampling.seed, epoch, index))
    return rows[_one_of_each_segment(len(rows), generator.random(count))]


def _one_of_each_segment(num_rows: int, draws: np.ndarray) -> np.ndarray:
    """(T,) distinct row indexes in order, one from each of T equal segments; draws (T,) uniform in [0, 1).

    A row that straddles two segments has a share of each. If the first segment took it, the second draws from its other
    rows; if not, its probability in the second is raised so that every row is chosen with probability T / N.
    """
    chosen = np.empty(len(draws), int)
    taken, chance_taken = -1, 0.0
    for i, draw in enumerate(draws):
        start, stop = i * num_rows, (i + 1) * num_rows  # in units of 1/T of a row
        candidates = np.arange(start // len(draws), -(-stop // len(draws)))
        ends = np.minimum((candidates + 1) * len(draws), stop)
        parts = (ends - np.maximum(candidates * len(draws), start)) / num_rows
        last_part = parts[-1]
        if start % len(draws):
            first = 0.0 if taken == candidates[0] else parts[0] / (1 - chance_taken)
            parts[1:] *= (1 - first) / (1 - parts[0])
            parts[0] = first
        taken = chosen[i] = candidates[min(np.searchsorted(np.cumsum(parts), draw, "right"), len(parts) - 1)]
        chance_taken = last_part
    return chosen


def choose_view(num_views: int, sampling: ClipSampling, epoch: int, index: int) -> int:
    """The view for all frames of a clip: the given one, or in training each of K random views once in K epochs.

    The evaluation crop takes the place of an epoch's random view where sampling.evaluation_epochs and evaluation_share
    say so.
    """
    if not sampling.random or num_views == 1:
        return sampling.view
    if epoch < sampling.evaluation_epochs or _evaluation_draw(sampling, epoch, index) < sampling.evaluation_share:
        return 0
    order = np.random.default_rng((sampling.seed, index)).permutation(num_views - 1)
    return 1 + int(order[epoch % (num_views - 1)])


def _evaluation_draw(sampling: ClipSampling, epoch: int, index: int) -> float:
    """Uniform in [0, 1): compared with the share of draws that use the evaluation crop."""
    return float(np.random.default_rng((sampling.seed, epoch, index, 2)).random())


def choose_jitter(sampling: ClipSampling, epoch: int, index: int) -> np.ndarray:
    """(3,) factors of brightness, contrast and saturation, between 1 - jitter and 1 + jitter."""
    return 1 + sampling.jitter * np.random.default_rng((sampling.seed, epoch, index, 1)).uniform(-1, 1, 3)


def epoch_order(shard_of_clip: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """(N,) indexes of all clips: shards in random order, clips shuffled within windows of a few shards."""
    generator = np.random.default_rng((seed, epoch))
    shards = generator.permutation(sorted(set(shard_of_clip.tolist())))
    place = {shard: i // SHARDS_PER_WINDOW for i, shard in enumerate(shards)}
    window = np.array([place[shard] for shard in shard_of_clip], np.int64)
    shuffled = generator.permutation(len(window))
    return shuffled[np.argsort(window[shuffled], kind="stable")]
