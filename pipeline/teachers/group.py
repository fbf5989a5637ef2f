"""Several teacher processes, on one device or several, as one teacher."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.engines.shared_ring import close_memories, shared_memories
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.cores import usable_cores
from embedonce.pipeline.teachers.batch_size import FOUND, first_images, max_images, origin
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.lanes import TeacherProcessError
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.serving import ClassText, Embed, FindLongTexts, Orders
from embedonce.pipeline.teachers.teacher import LongTexts, Teacher, TeacherOptions, TextHead
from embedonce.pipeline.teachers.teacher_process import MAX_IMAGES_AHEAD, Patience, TeacherProcess

ALL_SHARED_BYTES = 512 << 20  # of memory that all teacher processes together share with their parent, at most
UNKNOWN_INPUT_SIZE = 336  # pixels, of teachers that only tell it once they are loaded
_ROUNDING_BYTES = 64  # of each image in that memory
Value = TypeVar("Value")


class TeacherGroup:
    """Teacher processes that have loaded the same teacher. embed() is for a few images; the members do the work."""

    def __init__(self, members: Sequence[TeacherProcess]):
        self.members = members

    @property
    def identity(self) -> TeacherIdentity:
        return self.members[0].identity

    @property
    def batch_size(self) -> int:
        """Images that at least one member can embed at once; the others embed as many in parts."""
        return max(member.batch_size for member in self.members)

    def batch_facts(self) -> dict[str, Any]:
        """As BatchedTeacher.batch_facts(); a list of batch sizes if those of the members differ."""
        sizes = [member.batch_size for member in self.members]
        same = sizes[0] if len(set(sizes)) == 1 else sizes
        return {"batch_size": same, "batch_size_from": self.members[0].batch_size_from}

    def choose_batch_size(self) -> None:
        """As BatchedTeacher.choose_batch_size(): each member for its own device, all at once."""
        waiting = [(member, _unless_it_dies(member, member.begin_choosing)) for member in self.members]
        for member, wait in waiting:
            _unless_it_dies(member, wait)

    @property
    def cpu_sec(self) -> float:
        """Processor time of all members, without that of loading."""
        return sum(member.cpu_sec for member in self.members)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """As Teacher.embed()."""
        first, size = self.members[0], self.members[0].batch_size
        vectors = [np.zeros((0, self.identity.embed_dim), np.float32)]
        for start in range(0, len(crops), size):
            request = Embed(list(crops[start : start + size]))
            vectors.append(_unless_it_dies(first, partial(first.call, request)))
        return np.concatenate(vectors)

    def device_facts(self) -> dict[str, str]:
        """As Teacher.device_facts(): of each fact the different values."""
        facts = [member.facts for member in self.members]
        return {name: ", ".join(dict.fromkeys(one.get(name, "") for one in facts)) for name in facts[0]}

    def close(self) -> None:
        """End all processes."""
        for member in self.members:
            member.close()


class TextTeacherGroup(TeacherGroup):
    """A TextTeacher. The first process embeds all texts."""

    def class_text(self, prompts: list[list[str]]) -> TextHead:
        """As TextTeacher.class_text()."""
        return TextHead(*_unless_it_dies(self.members[0], partial(self.members[0].call, ClassText(prompts))))

    def long_texts(self, prompts: list[list[str]]) -> LongTexts:
        """As LimitedTextTeacher.long_texts()."""
        return _unless_it_dies(self.members[0], partial(self.members[0].call, FindLongTexts(prompts)))

    def drop_text_tower(self) -> None:
        """As TextTeacher.drop_text_tower()."""
        for member in self.members:
            _unless_it_dies(member, member.drop_text_tower)


def batched(teacher: Teacher, batch_size: int | None) -> BatchedTeacher | TeacherGroup:
    """A teacher in batches of this size, or of one that suits its device; as it is if it embeds in batches already."""
    return teacher if isinstance(teacher, BatchedTeacher | TeacherGroup) else BatchedTeacher(teacher, batch_size)


def start_group(
    module: Path | None,
    options: TeacherOptions,
    devices: Sequence[str],
    batch_size: int | None,
    patience: Patience | None = None,
) -> TeacherGroup:
    """Start a process for each of these devices, all at once, and wait until they have loaded the teacher.

    module: the file that registers the teacher. batch_size: None for one that suits each device. Raises what loading
    raises; IdentityMismatchError if the teachers differ; PipelineError if a process ends.
    """
    members: list[TeacherProcess] = []
    logged: set[str] = set()
    input_size, _ = loader_of(options.model).shape(options.model) or (UNKNOWN_INPUT_SIZE, 0)
    image_bytes = 3 * input_size**2 + _ROUNDING_BYTES
    each = ALL_SHARED_BYTES // len(devices)
    most = max(1, min(max_images(3 * input_size**2), MAX_IMAGES_AHEAD, each // (2 * image_bytes)))
    at_once = max(most if origin(batch_size, one) == FOUND else first_images(batch_size, one) for one in devices)
    memories = shared_memories(len(devices), min(2 * at_once * image_bytes, each))
    threads = max(1, usable_cores() // len(devices))
    try:
        for number, (device, memory) in enumerate(zip(devices, memories, strict=True), start=1):
            orders = Orders(module, dataclasses.replace(options, device=device), batch_size, most, threads)
            name = f"teacher process {number} ({device})"
            members.append(TeacherProcess(name, orders, memory, logged, patience and dataclasses.replace(patience)))
        for member in members:
            _unless_it_dies(member, member.wait_until_loaded)
        _check_same(members)
    except BaseException:
        TeacherGroup(members).close()
        close_memories(memories[len(members) :])
        raise
    has_text = all(member.loaded is not None and member.loaded.has_text for member in members)
    return (TextTeacherGroup if has_text else TeacherGroup)(members)


def _unless_it_dies(member: TeacherProcess, call: Callable[[], Value]) -> Value:
    """What a call returns; PipelineError if the process ends meanwhile."""
    try:
        return call()
    except TeacherProcessError as died:
        raise PipelineError(f"{member.name} ended before it embedded any frame: {died}") from died


def _check_same(members: Iterable[TeacherProcess]) -> None:
    """IdentityMismatchError, which lists the fields that differ, unless all have loaded the same teacher."""
    first, *others = members
    for other in others:
        pairs = zip(dataclasses.astuple(first.identity), dataclasses.astuple(other.identity), strict=True)
        names = [field.name for field in dataclasses.fields(TeacherIdentity)]
        differing = [f"{name}: {a} -> {b}" for name, (a, b) in zip(names, pairs, strict=True) if a != b]
        if differing:
            raise IdentityMismatchError(
                f"{first.name} and {other.name} have loaded different teachers ({'; '.join(differing)}): a cache holds "
                "embeddings of one only, so nothing was embedded"
            )
