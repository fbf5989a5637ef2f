"""Logits of a label set that stores none: computed from cached embeddings and its head when they are read."""

import numpy as np

from embedonce.cache.backends.shard_format import Shard, checked_logits
from embedonce.cache.heads import logits_from


def compute_logits(head: dict[str, np.ndarray], embeddings: np.ndarray, location: str) -> np.ndarray:
    """(…, D) embeddings -> (…, C) float32 logits. DamagedError if they are not finite. location: of the embeddings."""
    return checked_logits(logits_from(head, embeddings), f"logits over {location}")


class ComputedLogits:
    """The logits of one unit, in the form in which a shard would have them."""

    def __init__(self, frames: Shard, head: dict[str, np.ndarray]):
        """frames: the frame shard of the unit. head: as for logits_from()."""
        self._frames, self._head = frames, head

    def logits(self, start: int, stop: int, view: int) -> np.ndarray:
        """(stop - start, C) float32 of rows [start, stop), before softmax. DamagedError if they are not finite."""
        return compute_logits(self._head, self._frames.embeddings(start, stop, view), self._frames.location)
