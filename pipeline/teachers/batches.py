"""Embeds any number of images in batches of a limited size, which shrinks when memory runs out."""

import functools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.machine_errors import is_out_of_memory
from embedonce.pipeline.teachers.batch_size import (
    AHEAD,
    FOUND,
    first_images,
    found_images,
    max_images,
    no_room,
    origin,
)
from embedonce.pipeline.teachers.output_checks import checked_vectors
from embedonce.pipeline.teachers.teacher import OverlappingTeacher, Teacher

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class BatchedTeacher:
    """A teacher that is given at most batch_size images at once, however many embed() gets.

    When a batch does not fit into memory, its images are tried again in halves, and batch_size stays at the size that
    fitted. The first time is logged.
    """

    def __init__(self, teacher: Teacher, batch_size: int | None = None, most: int | None = None):
        """batch_size: None for the one that suits the device. most: of the sizes that choose_batch_size() may find."""
        device = teacher.device_facts().get("device", "")
        identity = teacher.identity
        self._teacher, self.batch_size = teacher, first_images(batch_size, device, identity.window)
        self._device, self._most = device, most or max_images(identity.input_bytes)
        self._origin = origin(batch_size, device)
        self._is_chosen = self._origin != FOUND
        self._too_many = 0  # images that did not fit at first
        self._is_logged = self._embeds_parts = False
        self._overlapping = teacher if isinstance(teacher, OverlappingTeacher) else None

    @property
    def members(self) -> Sequence["BatchedTeacher"]:
        """What embeds batches independently of each other."""
        return (self,)

    @property
    def ahead(self) -> int:
        """How many batches may be begun before the first of them is finished."""
        return 1 if self._overlapping is None else AHEAD

    @property
    def cpu_sec(self) -> float:
        """Processor time of other processes that embed."""
        return 0.0

    @property
    def identity(self) -> TeacherIdentity:
        return self._teacher.identity

    def device_facts(self) -> dict[str, str]:
        return self._teacher.device_facts()

    def batch_facts(self) -> dict[str, Any]:
        """JSON values recorded with every shard: the batch size, and where it comes from."""
        return {"batch_size": self.batch_size, "batch_size_from": self._origin}

    def choose_batch_size(self) -> None:
        """Find the batch size by trying, the first time, unless it was given or the device has a fixed one."""
        if self._is_chosen:
            return
        self.batch_size = found_images(self._teacher, self._device, self._most)
        self._is_chosen = True
        log.info("batch size %d (found for %s)", self.batch_size, self._device)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """As Teacher.embed(). PipelineError if there is too little memory even for one image."""
        vectors = [np.zeros((0, self.identity.embed_dim), np.float32)]
        done = 0
        while done < len(crops):
            batch = crops[done : done + self.batch_size]
            embedded = self._embed_if_it_fits(batch)
            if embedded is None:
                self._too_many = self._too_many or len(batch)
                self.batch_size = len(batch) // 2
                continue
            self._log_once()
            vectors.append(embedded)
            done += len(batch)
        return np.concatenate(vectors)

    def begin(self, images: Sequence[np.ndarray]) -> Callable[[], np.ndarray]:
        """Start embedding images, uint8 of `identity.input_shape`; the function waits for what embed() returns.

        More than batch_size, for which another device may have the memory, are embedded in parts, which overlap too.
        """
        if self._overlapping is not None and len(images) > self.batch_size:
            self._embeds_parts = True  # from here on: parts of a batch must not be begun after the batch behind it
        if self._embeds_parts:
            return functools.partial(self._embed_parts, images)
        return self._begin_at_once(np.stack(images))

    def _begin_at_once(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        if self._overlapping is not None:
            finish = self._if_it_fits(functools.partial(self._overlapping.begin, crops))
            if finish is not None:
                return lambda: self._finished(finish, crops)
        return functools.partial(self.embed, crops)

    def _embed_parts(self, images: Sequence[np.ndarray]) -> np.ndarray:
        size, begun = self.batch_size, deque[Callable[[], np.ndarray]]()
        vectors = []
        for start in range(0, len(images), size):
            begun.append(self._begin_at_once(np.stack(images[start : start + size])))
            if len(begun) >= self.ahead:
                vectors.append(begun.popleft()())
        return np.concatenate([*vectors, *(finish() for finish in begun)])

    def _finished(self, finish: Callable[[], np.ndarray], crops: np.ndarray) -> np.ndarray:
        vectors = self._if_it_fits(finish)
        return self.embed(crops) if vectors is None else self._checked(vectors, len(crops))

    def _checked(self, vectors: np.ndarray, count: int) -> np.ndarray:
        """A copy: the teacher may use the memory again for the next batch."""
        return checked_vectors(vectors, count, self.identity).copy()

    def _if_it_fits(self, step: Callable[[], Value]) -> Value | None:
        """None if there is too little memory for this batch beside the one before: they no longer overlap then."""
        try:
            return step()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._overlapping = None
            return None

    def _embed_if_it_fits(self, batch: np.ndarray) -> np.ndarray | None:
        """None if there is too little memory: after this returns, what the failed batch occupied is free again."""
        try:
            return self._checked(self._teacher.embed(batch), len(batch))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) > 1:
                return None
            raise no_room() from error

    def _log_once(self) -> None:
        """Log that batches were made smaller, once the size that fits is known."""
        if not self._too_many or self._is_logged:
            return
        self._is_logged = True
        log.warning(
            "out of memory with %d images at once: the teacher gets at most %d from here on, and fewer if they do not "
            "fit (--batch-size %d starts with that)",
            self._too_many,
            self.batch_size,
            self.batch_size,
        )
