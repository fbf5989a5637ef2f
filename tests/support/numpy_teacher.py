"""Writes files for --teacher-module: a teacher of numpy alone, which may kill its process.

The files import nothing of the tests, so that the workers of a cluster can run them.
"""

from pathlib import Path

CODE = """
import os
import signal
import time
from pathlib import Path

import numpy as np

from embedonce.pipeline.teachers.registry import register
from embedonce.pipeline.teachers.teacher import TeacherLoader, identity_of

SIZE, CELLS, DIM = 32, 4, 16
LOG, TIMES, BRIGHT, SECONDS = Path({log!r}), {times!r}, {bright!r}, {seconds!r}


class Numpy:
    def __init__(self):
        generator = np.random.default_rng(0)
        self.matrix = generator.standard_normal((CELLS * CELLS * 3, DIM)).astype(np.float32)
        self.identity = identity_of("numpy", "fixed", {{"matrix": self.matrix}}, SIZE, DIM, mean=(0.5, 0.5, 0.5))
        self.left = 0

    def embed(self, crops):
        if (not BRIGHT or crops.mean((1, 2, 3)).max() > 250) and len(crops) > 1:
            self.die()
        cells = crops.reshape(len(crops), CELLS, SIZE // CELLS, CELLS, SIZE // CELLS, 3).mean((2, 4)) / 255 + 0.01
        vectors = cells.reshape(len(crops), -1).astype(np.float32) @ self.matrix
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def die(self):
        time.sleep(SECONDS)
        deaths = LOG.read_text().split() if LOG.exists() else []
        if len(deaths) < TIMES:
            with LOG.open("a") as log:
                log.write(f"{{os.getpid()}}\\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def device_facts(self):
        return {{}}

    def class_text(self, prompts):
        seeds = [sum(map(ord, "".join(texts))) for texts in prompts]
        vectors = np.stack([np.random.default_rng(s).standard_normal(DIM) for s in seeds]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 100.0

    def drop_text_tower(self):
        self.class_text = None


class NumpyLoader(TeacherLoader):
    def load(self, options):
        return Numpy()

    def shape(self, model):
        return SIZE, DIM


register("numpy", NumpyLoader())
"""


def write_teacher(folder: Path, times: int = 0, bright: bool = False, seconds: float = 0.0) -> Path:
    """The file. times: how many processes it kills by SIGKILL, when they embed; bright: only at white images.

    seconds: that each batch takes. The processes it killed are listed in deaths.txt.
    """
    path = folder / "numpy_teacher.py"
    path.write_text(CODE.format(log=str(folder / "deaths.txt"), times=times, bright=bright, seconds=seconds))
    return path
