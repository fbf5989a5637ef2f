"""What a teacher process prepares before it loads its teacher."""

import logging
from pathlib import Path

import pytest
from tqdm import tqdm
from tqdm.std import TqdmDefaultWriteLock

from embedonce.pipeline.teachers import serving
from embedonce.pipeline.teachers.serving import Orders, serve
from embedonce.pipeline.teachers.teacher import TeacherOptions
from tests.support import fake_teacher_module


class Gone:
    """The channel to a parent that has ended."""

    def send(self, message: object) -> None:
        raise EOFError


def test_progress_bars_of_libraries_share_no_semaphore(monkeypatch, tmp_path):
    """Nobody would remove it, since a teacher process ends by SIGKILL."""
    monkeypatch.setenv(serving.THREADS, "1")
    monkeypatch.setattr(serving, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    monkeypatch.delattr(tqdm, "_lock", raising=False)
    options = TeacherOptions(f"told:{tmp_path}", "random", device="cpu")
    with pytest.raises(EOFError):
        serve(Gone(), Orders(Path(fake_teacher_module.__file__), options, 4, 4, 1))
    assert not isinstance(tqdm.get_lock(), TqdmDefaultWriteLock)
