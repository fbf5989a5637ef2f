"""A task of a worker process that writes its process id and waits for a file. Fast to import."""

import os
import time
from pathlib import Path


def task_of_a_worker(task: tuple[str, str]):
    """task: a folder and a name. Writes the process id into folder/name, and continues when folder/go exists."""
    folder, name = Path(task[0]), task[1]
    (folder / f"{name}.part").write_text(str(os.getpid()))
    (folder / f"{name}.part").rename(folder / name)
    yield 1
    while not (folder / "go").exists():
        time.sleep(0.02)
    yield 2
