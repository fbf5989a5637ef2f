"""Replacements for parts of an extraction in the processes of killed_run: some die, some are wrong."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.decode_tasks import decode_video

SLOW_SEC = 0.1


@dataclass(frozen=True)
class Deadly:
    """decode_video, except that one video kills its process in the middle, the first few times.

    counter: an existing file that grows by a byte each time.
    """

    uid: str
    times: int
    counter: Path

    def __call__(self, task):
        for number, message in enumerate(decode_video(task)):
            if task.uid == self.uid and number == 2 and self.counter.stat().st_size < self.times:
                with self.counter.open("ab") as file:
                    file.write(b"x")
                os.kill(os.getpid(), signal.SIGKILL)
            yield message


def dies_before_it_has_folders() -> None:
    """Kill all processes when the cache has an identity and nothing else."""
    commit.make_folder = _dying(commit.make_folder, lambda folder: folder.name == "records")


def dies_before_its_first_record() -> None:
    """Kill all processes when the first shard is published, and its record is written but has no name yet."""
    os.link = _dying(os.link, lambda temp, path: path.parent.name == "records")


def _dying(call: Callable, where: Callable[..., bool]) -> Callable:
    def dying(*arguments):
        if where(*arguments):
            os.killpg(0, signal.SIGKILL)
        return call(*arguments)

    return dying


# -- wrong ways to commit, slow so that kills hit them -------------------------------------------------------------


def written_in_place() -> None:
    """Write documents under their final names, and slowly."""
    publish = commit.publish

    def slowly(path: Path, data: bytes) -> None:
        if path.suffix != ".json":
            return publish(path, data)
        with open(path, "wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            time.sleep(SLOW_SEC)
            file.write(data[len(data) // 2 :])

    commit.publish = slowly


def record_before_shard() -> None:
    publish, shards = commit.publish, {}

    def swapped(path: Path, data: bytes) -> None:
        if path.parent.name in ("frames", "logits"):
            shards[path] = data
            return
        publish(path, data)
        if shards:
            time.sleep(SLOW_SEC)
            publish(*shards.popitem())

    commit.publish = swapped


def acknowledged_too_early() -> None:
    """Acknowledge a unit before it is committed, which happens when the next one comes."""
    commit_frames, waiting = CacheWriter.commit_frames, []

    def late(writer, *arguments) -> None:
        if waiting:
            time.sleep(SLOW_SEC)
            commit_frames(writer, *waiting.pop())
        waiting.append(arguments)

    late.__name__ = "commit_frames"
    CacheWriter.commit_frames = late
