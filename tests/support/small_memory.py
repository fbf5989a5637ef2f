"""A fake teacher with so little memory that it can embed only a few images at once."""

import numpy as np

from tests.support.fake_teacher import FakeTeacher


class SmallMemory(FakeTeacher):
    """Raises an error for more than `limit` images, and records how many it was given each time."""

    def __init__(self, limit: int, error: Exception | None = None):
        super().__init__()
        self.limit, self.error, self.sizes = limit, error or MemoryError(), []

    def embed(self, crops: np.ndarray) -> np.ndarray:
        self.sizes.append(len(crops))
        if len(crops) > self.limit:
            raise self.error
        return super().embed(crops)


class SmallGpu(SmallMemory):
    """The same on a GPU, for which a batch size is found."""

    def device_facts(self) -> dict[str, str]:
        return {"device": "cuda:7"}
