"""The interface of a teacher, numpy in and numpy out, and of what loads one. Imports no model library."""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.names import PYTORCH

TIMED_BATCH = 16  # images
TIMED_ROUNDS = 3  # after one that is not counted


@runtime_checkable
class Teacher(Protocol):
    """An image encoder whose embeddings are cached."""

    @property
    def identity(self) -> TeacherIdentity:
        """Fields that decide the embeddings: a cache holds those of one identity only."""

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed a batch of crops: (B, S, S, 3) uint8 RGB -> (B, D) float32, unit length.

        S is `identity.input_size`, D `identity.embed_dim`. If `identity.window` is T > 1, it is given windows of T
        frames in order of time, (B, T, S, S, 3), and can only be added to a cache. Equal crops give equal embeddings,
        whatever else is in the batch (up to a cosine of 0.999, which resuming an extraction checks).
        """

    def device_facts(self) -> dict[str, str]:
        """JSON values recorded with every shard, such as device and precision; they never decide anything."""


class TextHead(NamedTuple):
    """How zero-shot logits follow from image embeddings: logit_scale · cosines + logit_bias.

    class_text: (C, D) float32, unit length. logit_bias: None unless the teacher was trained with a sigmoid loss.
    """

    class_text: np.ndarray
    logit_scale: float
    logit_bias: float | None = None


@runtime_checkable
class TextTeacher(Teacher, Protocol):
    """A teacher with a text tower in the space of its image embeddings; zero-shot logits need one."""

    def class_text(self, prompts: list[list[str]]) -> TextHead | tuple[np.ndarray, float]:
        """Embed the prompts of C classes -> (class_text, logit_scale), and logit_bias if there is one: a TextHead."""

    def drop_text_tower(self) -> None:
        """Free the memory that only class_text() needs. It is not called again afterwards."""


@dataclass(frozen=True)
class LongTexts:
    """Texts that are longer than the context of a text tower, which reads their beginnings only.

    count: how many. context: tokens that it reads. first: (class, text, its tokens) of some.
    """

    count: int
    context: int
    first: tuple[tuple[int, str, int], ...] = ()


@runtime_checkable
class LimitedTextTeacher(TextTeacher, Protocol):
    """A TextTeacher that knows which texts are too long for it."""

    def long_texts(self, prompts: list[list[str]]) -> LongTexts:
        """Those among the prompts of C classes."""


@runtime_checkable
class OverlappingTeacher(Teacher, Protocol):
    """A teacher on a device that computes while this process prepares the next batch."""

    def begin(self, crops: np.ndarray) -> Callable[[], np.ndarray]:
        """Start embedding a batch of crops; the function waits for what embed() returns.

        All calls come from one thread, and the results are asked for in order.
        """


@dataclass(frozen=True)
class TeacherOptions:
    """The user's choice of a teacher, with the names of the command-line options; a loader uses those it needs.

    model: a registered name, `NAME:ANYTHING`, or what the open_clip loader takes. cached: the identity of the teacher
    that made the cache, where there is a cache. runtime: one of the loader's `runtimes`. input_size: pixels, for
    teachers that do not know it themselves.
    """

    model: str
    weights: str | None = None
    activation: str | None = None
    preprocess: str | None = None
    device: str = "auto"
    seed: int = 0
    cached: TeacherIdentity | None = None
    runtime: str = PYTORCH
    input_size: int | None = None


@dataclass(frozen=True)
class CallTime:
    """How long something takes: seconds by the clock, and of processor time on all cores together."""

    sec: float
    cpu_sec: float

    def __truediv__(self, count: int) -> "CallTime":
        return CallTime(self.sec / count, self.cpu_sec / count)


class TeacherLoader(ABC):
    """Loads the teachers of one registered name. Only load() has to be written.

    runtimes: those of models.names.TEACHER_RUNTIMES that may be chosen; the first stands for whatever load() uses.
    has_text_tower: False if none of them has one, which is then known before loading.
    """

    runtimes: tuple[str, ...] = (PYTORCH,)
    has_text_tower = True

    @abstractmethod
    def load(self, options: TeacherOptions) -> Teacher:
        """A teacher ready to embed. Its `identity.name` selects this loader again. Raises ModelError or a subclass."""

    def prepare(self) -> None:
        """Import what load() needs, in another thread, while videos are scanned. Raises ModelError or a subclass."""
        return None

    def check_options(self, options: TeacherOptions) -> None:
        """Raise ModelOptionError for options that contradict each other, without loading weights."""
        return None

    def names(self, options: TeacherOptions) -> tuple[str, str] | None:
        """(name, weights) that the identity of the loaded teacher will have; None if only loading can tell."""
        return None

    def shape(self, model: str) -> tuple[int, int] | None:
        """(input size in pixels, embedding dimension) for estimates; None if only loading can tell."""
        return None

    def time_per_image(self, options: TeacherOptions) -> CallTime:
        """time_per_embedding() of the teacher, for the estimate of a dry run."""
        return time_per_embedding(self.load(options))


def identity_of(
    name: str,
    weights: str,
    arrays: Mapping[str, np.ndarray],
    input_size: int,
    embed_dim: int,
    *,
    activation: str = "none",
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0),
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    interpolation: str = "bicubic",
    resize_mode: str = "shortest",
    window: int = 1,
    window_stride: int = 1,
) -> TeacherIdentity:
    """The identity of a teacher without a text tower, given its weights as named arrays of any shape and dtype."""
    digest = hashlib.sha256()
    for key, array in sorted(arrays.items()):
        digest.update(f"{key} {array.dtype} {array.shape}\n".encode() + np.ascontiguousarray(array).tobytes())
    count, num_bytes = sum(a.size for a in arrays.values()), sum(a.nbytes for a in arrays.values())
    return TeacherIdentity(
        name=name,
        weights=weights,
        weights_sha256=digest.hexdigest(),
        activation=activation,
        input_size=input_size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        resize_mode=resize_mode,
        embed_dim=embed_dim,
        parameters_image=count,
        parameters_total=count,
        bytes_image=num_bytes,
        bytes_total=num_bytes,
        window=window,
        window_stride=window_stride,
    )


def long_texts(teacher: TextTeacher, prompts: list[list[str]]) -> LongTexts:
    """The texts that are too long for a teacher; none if it does not know."""
    return teacher.long_texts(prompts) if isinstance(teacher, LimitedTextTeacher) else LongTexts(0, 0)


def time_per_embedding(teacher: Teacher) -> CallTime:
    """Median time of embedding an image or a window, in batches."""
    count = max(1, TIMED_BATCH // teacher.identity.window)
    crops = np.zeros((count, *teacher.identity.input_shape), np.uint8)
    return median_time(lambda: teacher.embed(crops)) / count


def median_time(call: Callable[[], object]) -> CallTime:
    """Median time of a call that returns when its work is done, after one to warm up."""
    seconds = []
    for _ in range(1 + TIMED_ROUNDS):
        start, cpu_start = time.perf_counter(), time.process_time()
        call()
        seconds.append((time.perf_counter() - start, time.process_time() - cpu_start))
    return CallTime(*(float(np.median(column)) for column in zip(*seconds[1:], strict=True)))
