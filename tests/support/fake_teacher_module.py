"""A --teacher-module with a fake teacher that does what the files in a folder say: `--teacher-model told:FOLDER`.

Each process that loads it leaves a file `loaded-PID` in the folder, and each that embeds a file `embedded-PID`. What
files with these names do:
    kill-ID, fail-ID: the process that embeds next removes it, and then kills itself, or reports that its device failed
    kill-always, fail-always: every process does, and the file stays
    kill-bright: every process that embeds a white image kills itself
    differs-N: the process that removes it has another identity
    refuses, dies: loading raises an error, or kills the process
    limit-N: more than N images at once are too many
    slow: embedding takes a minute
    hang-ID: the process that embeds next removes it, and then never answers
    gpu-N: the process that removes it is on the device cuda:N, which has memory for N images at once
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import numpy as np

from embedonce.models.errors import WeightsError
from embedonce.pipeline.teachers.registry import register
from embedonce.pipeline.teachers.teacher import LongTexts, Teacher, TeacherLoader, TeacherOptions
from tests.support.fake_teacher import SIZE, FakeTeacher


def taken(folder: Path, pattern: str) -> Path | None:
    """A file of this pattern that this process, and no other, has removed."""
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            return path
    return None


class FolderTeacher(FakeTeacher):
    def __init__(self, folder: Path, **changes):
        super().__init__(name="told", **changes)
        self._folder, self.has_text_tower = folder, True
        gpu = taken(folder, "gpu-*")
        self._gpu = int(gpu.name.partition("-")[2]) if gpu else None

    def embed(self, crops: np.ndarray) -> np.ndarray:
        (self._folder / f"embedded-{os.getpid()}").touch()
        if (self._folder / "slow").exists():
            time.sleep(60)
        if self._is_told("hang"):
            time.sleep(10**6)
        is_bright = bool((crops == 255).all((1, 2, 3)).any())
        if self._is_told("kill") or (is_bright and (self._folder / "kill-bright").exists()):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._is_told("fail"):
            raise RuntimeError("CUDA error: uncorrectable ECC error\nCompile with TORCH_USE_CUDA_DSA")
        limits = [int(path.name.partition("-")[2]) for path in self._folder.glob("limit-*")]
        limits += [self._gpu] if self._gpu else []
        if limits and len(crops) > min(limits):
            raise MemoryError
        return super().embed(crops)

    def device_facts(self) -> dict[str, str]:
        device = f"cuda:{self._gpu}" if self._gpu else "cpu"
        return {"device": device, "pid": str(os.getpid()), "threads": os.environ["OMP_NUM_THREADS"]}

    def class_text(self, prompts: list[list[str]]) -> tuple[np.ndarray, float]:
        assert self.has_text_tower
        return super().class_text(prompts)

    def long_texts(self, prompts: list[list[str]]) -> LongTexts:
        long = [(i, text, len(text)) for i, texts in enumerate(prompts) for text in texts if len(text) > 5]
        return LongTexts(len(long), 5, tuple(long))

    def drop_text_tower(self) -> None:
        self.has_text_tower = False
        (self._folder / f"dropped-{os.getpid()}").touch()

    def _is_told(self, what: str) -> bool:
        return (self._folder / f"{what}-always").exists() or taken(self._folder, f"{what}-[0-9]") is not None


class FolderLoader(TeacherLoader):
    def load(self, options: TeacherOptions) -> Teacher:
        folder = Path(options.model.partition(":")[2])
        if (folder / "refuses").exists():
            raise WeightsError(f"the weights of {options.model} are damaged")
        if (folder / "dies").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"loaded-{os.getpid()}").touch()
        changes = {"weights_sha256": "1" * 64} if taken(folder, "differs-*") else {}
        return FolderTeacher(folder, **changes)

    def shape(self, model: str) -> tuple[int, int]:
        return SIZE, 16


register("told", FolderLoader())
