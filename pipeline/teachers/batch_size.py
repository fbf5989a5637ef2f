"""How many images a teacher should embed at once: a measured number on a CPU; on a GPU, what is found by trying."""

import contextlib
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np

from embedonce.models.machine_errors import is_out_of_memory
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.teachers.teacher import OverlappingTeacher, Teacher

CPU_IMAGES = 64  # smaller batches are slower, larger ones hardly faster (docs/benchmarks.md)
FIRST_IMAGES = 16
MAX_BATCH_BYTES = 128 << 20  # of the pixels of a batch: a few batches wait in memory at any time
MIN_GAIN = 1.03  # a size that is not so many times as fast as a smaller one is not worth its memory
PATIENCE = 2  # sizes in a row without that gain before the search ends: one measurement may be off
TIMED_BATCHES = 4  # after one that is not counted
AHEAD = 2  # batches that a device that computes by itself has at once
_DISTINCT = 16  # random images, repeated to fill a batch
_SEARCHED = re.compile(r"(cuda|mps)(:\d+)?")

# Where a batch size comes from
GIVEN, FOUND, DEFAULT = "given", "found", "default"

_NO_ROOM = (
    "out of memory: the teacher cannot embed even one image at a time; free memory on its device, lower "
    "--decode-workers, or choose a smaller teacher or another --device"
)


def no_room() -> PipelineError:
    """The error for a teacher that cannot embed a single image."""
    return PipelineError(_NO_ROOM)


def origin(given: int | None, device: str) -> str:
    """GIVEN; or, for the number of images that a device such as `cuda:1` takes by default, FOUND or DEFAULT."""
    if given is not None:
        return GIVEN
    return FOUND if _SEARCHED.fullmatch(device) else DEFAULT


def first_images(given: int | None, device: str, window: int = 1) -> int:
    """The images, or windows of so many, that a device takes at once, as long as nothing has been found by trying."""
    return given or max(1, (FIRST_IMAGES if origin(given, device) == FOUND else CPU_IMAGES) // window)


def max_images(image_bytes: int) -> int:
    """The largest batch that is tried for images, or windows, of so many bytes."""
    return max(1, MAX_BATCH_BYTES // image_bytes)


def found_images(teacher: Teacher, device: str, most: int) -> int:
    """find_batch_size() for this teacher on its device, by embedding random images. Leaves room in its memory."""
    seconds_of = timed_batches(teacher)
    with _with_room_left(device) as check_room:

        def try_batch(count: int) -> float:
            seconds = seconds_of(count)
            check_room()
            return seconds

        return find_batch_size(try_batch, most)


def find_batch_size(try_batch: Callable[[int], float], most: int) -> int:
    """The number of images at once, at most `most`, with which the most are embedded per second.

    try_batch: embeds so many images at once -> seconds; raises an error when memory runs out. Doubles from
    FIRST_IMAGES until memory runs out or larger batches are no faster. PipelineError if even one image does not fit.
    """
    size = min(FIRST_IMAGES, most)
    while (seconds := _seconds_if_it_fits(try_batch, size)) is None:
        if size == 1:
            raise no_room()
        size //= 2
        most = size
    best, best_speed, without_gain = size, size / seconds, 0
    while 2 * size <= most and without_gain < PATIENCE:
        size *= 2
        seconds = _seconds_if_it_fits(try_batch, size)
        if seconds is None:
            break
        if size / seconds >= MIN_GAIN * best_speed:
            best, best_speed, without_gain = size, size / seconds, 0
        else:
            without_gain += 1
    return best


def timed_batches(teacher: Teacher, clock: Callable[[], float] = time.perf_counter) -> Callable[[int], float]:
    """A function of a number of images: seconds that the teacher takes for a batch of so many, as in an extraction.

    clock: in seconds. Images are random; a teacher that overlaps batches has the next one begun.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (_DISTINCT, *teacher.identity.input_shape), np.uint8)

    def seconds(count: int) -> float:
        images = [pixels[number % _DISTINCT] for number in range(count)]
        _embed(teacher, images, 1)
        start = clock()
        _embed(teacher, images, TIMED_BATCHES)
        return (clock() - start) / TIMED_BATCHES

    return seconds


def _with_room_left(device: str) -> contextlib.AbstractContextManager[Callable[[], None]]:
    if "torch" not in sys.modules:  # the teacher computes with something else, whose memory is not known
        return contextlib.nullcontext(lambda: None)
    from embedonce.models.teachers.device_memory import with_room_left

    return with_room_left(device)


def _embed(teacher: Teacher, images: list[np.ndarray], times: int) -> None:
    overlapping = teacher if isinstance(teacher, OverlappingTeacher) else None
    begun: deque[Callable[[], np.ndarray]] = deque()
    for _ in range(times):
        crops = np.stack(images)
        begun.append(overlapping.begin(crops) if overlapping else partial(teacher.embed, crops))
        if len(begun) == (AHEAD if overlapping else 1):
            begun.popleft()()
    while begun:
        begun.popleft()()


def _seconds_if_it_fits(try_batch: Callable[[int], float], size: int) -> float | None:
    """None if memory ran out: after this returns, what the batch occupied is free again. More than 0 otherwise."""
    try:
        return max(try_batch(size), 1e-9)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
