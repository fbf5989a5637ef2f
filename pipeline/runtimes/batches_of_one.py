"""Programs that run one image or one clip at a time, called with batches of any size."""

from collections.abc import Callable

import numpy as np

MAX_FRAMES = 64  # of a clip: the memory of such programs is planned for this many


def row_by_row(run: Callable[..., list[np.ndarray]]) -> Callable[..., list[np.ndarray]]:
    """A call that runs the rows of its arrays one after the other. run: takes and returns arrays of one row each."""

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        rows = [run(*(array[i : i + 1] for array in arrays)) for i in range(len(arrays[0]))]
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    return call
