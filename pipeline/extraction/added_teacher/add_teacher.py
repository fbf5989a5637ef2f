"""add-teacher as one call: a second teacher embeds the stored frames of a cache. No video is opened."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import IdentityMismatchError
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.store import open_reader, open_writer, refuse_busy
from embedonce.cache.stores.registry import open_store
from embedonce.cache.vectors import MIN_COSINE
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.console.next_commands import next_line, train_line
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.console.units import format_duration, in_bytes
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.added_teacher.embedding import embed_units
from embedonce.pipeline.extraction.added_teacher.settings import AddTeacherConfig
from embedonce.pipeline.extraction.added_teacher.stored_rows import windows_of
from embedonce.pipeline.extraction.estimates import CRC_BYTES, EMBEDDING_BYTES
from embedonce.pipeline.extraction.identity import default_short_side
from embedonce.pipeline.extraction.teacher_check import NUM_CHECKED_ROWS, added_cosines, choose_rows
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.group import TeacherGroup, batched
from embedonce.pipeline.teachers.modules import module_errors
from embedonce.pipeline.teachers.places import check_place
from embedonce.pipeline.teachers.teacher import Teacher

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AddedTeacherResult:
    """What add-teacher did: units that it embedded, with their frames, and all committed units of the cache."""

    name: str
    identity: TeacherIdentity
    num_units: int
    num_rows: int
    total_units: int
    cache_dir: Path | str

    @property
    def summary(self) -> str:
        """The text at the end of a run."""
        teacher = f"teacher {self.name} ({self.identity.name}, {self.identity.embed_dim}-d)"
        lines = [
            f"{teacher}: {self.num_rows} frames in {self.num_units} shards embedded; all {self.total_units} shards of "
            f"{self.cache_dir} have its embeddings",
            "after extract-teacher has added videos, run the same command again",
        ]
        if self.identity.weights == "random":
            lines.append("random teacher: its embeddings carry no meaning; use them to test the software only")
        return block([*lines, self._next()])

    def _next(self) -> str:
        reader, teachers = open_reader(self.cache_dir), f"{FIRST}:1,{self.name}:1"
        if names := reader.label_sets():
            return train_line(reader, reader.label_set(names[0]), teachers)
        return next_line("train-student", {"cache_dir": self.cache_dir, "teachers": teachers})


def run(config: AddTeacherConfig) -> AddedTeacherResult:
    """Run add-teacher."""
    with module_errors(config.teacher_module), contextlib.ExitStack() as stack:
        config = teacher_loading.with_registered_teacher(config)
        reader = _prepared(config)
        teacher = teacher_loading.load_teacher(config)
        if isinstance(teacher, TeacherGroup):
            stack.callback(teacher.close)
        _note_differences(config, reader, teacher.identity)
        writer = stack.enter_context(contextlib.closing(open_writer(config.cache_dir, reader.identity)))
        return _add(config, writer, batched(teacher, config.most_images))


def dry_run(config: AddTeacherConfig) -> str:
    """Run add-teacher --dry-run; returns its text. The teacher is loaded, to time it."""
    with module_errors(config.teacher_module):
        config = teacher_loading.with_registered_teacher(config)
        reader = _prepared(config)
        units = _lacking(reader, config.name)
        rows, views = _num_rows(reader, units), 1 + reader.identity.num_views
        teacher = teacher_loading.embedding_facts(config)
        windows = sum(1 for unit in units for _ in windows_of(reader, unit, teacher))
        as_windows = f"as {windows} windows of {teacher.window} frames, " if teacher.window > 1 else ""
        seconds = windows * views * teacher.time.sec
        lines = [
            f"to embed with teacher {config.name}: {rows} frames in {len(units)} of {len(reader.records)} shards, "
            f"{as_windows}{views} views each",
            f"space: {in_bytes(_num_bytes(reader, units, teacher.embed_dim))}",
            f"time of the teacher on this machine: about {format_duration(seconds)}",
            "dry run: nothing was written",
        ]
        return block(lines)


def _prepared(config: AddTeacherConfig) -> CacheReader:
    """A reader of the cache, after everything that can be found wrong before a teacher is loaded was checked."""
    check_place(config.device)
    reader = open_reader(config.cache_dir)
    views = 1 + reader.identity.num_views
    nothing = np.zeros((0, views, 1), np.float16), np.zeros((0, views), np.uint32)
    BACKENDS[reader.identity.backend].encode_embeddings([], *nothing)  # CacheError if it stores no added teachers
    teacher_loading.check_teacher_options(config)
    open_store(config.cache_dir).check_writable()
    refuse_busy(config.cache_dir)
    return reader


def _add(config: AddTeacherConfig, writer: CacheWriter, teacher: BatchedTeacher | TeacherGroup) -> AddedTeacherResult:
    """Embed what the teacher has not embedded yet."""
    reader, name = writer.reader(), config.name
    units = _lacking(reader, name)
    check_space(config.cache_dir, _num_bytes(reader, units, teacher.identity.embed_dim), "choose a smaller teacher")
    writer.teachers.create(name, teacher.identity)
    check_added_teacher(reader, name, teacher)
    writer.teachers.write_settings(name, config.as_yaml())
    log.info("%d frames in %d of %d shards to embed", _num_rows(reader, units), len(units), len(reader.records))
    try:
        if units:
            teacher.choose_batch_size()
        embed_units(writer, name, teacher, units)
    finally:
        writer.write_manifest()
    return AddedTeacherResult(
        name, teacher.identity, len(units), _num_rows(reader, units), len(reader.records), writer.cache_dir
    )


def check_added_teacher(reader: CacheReader, name: str, teacher: Teacher) -> None:
    """IdentityMismatchError if a teacher does not reproduce a few of its embeddings in the cache."""
    embedded = set(reader.teachers.records(name))
    rows = choose_rows(reader, NUM_CHECKED_ROWS, seed=0, units=embedded)
    if not rows:
        return
    cosines = added_cosines(reader, name, teacher, rows)
    if not cosines.min() >= MIN_COSINE:
        raise IdentityMismatchError(
            f"{reader.cache_dir} has embeddings of teacher {name!r} that it does not reproduce on this machine (cosine "
            f"{cosines.min():.4f} for one of {len(rows)} stored frames, at least {MIN_COSINE} expected). Nothing was "
            "changed; use another --name, or the device and library versions that they were made with"
        )


def _note_differences(config: AddTeacherConfig, reader: CacheReader, teacher: TeacherIdentity) -> None:
    """Warn if the stored frames are smaller than this teacher's images, or cropped in another way than for it alone."""
    first, side = reader.identity.teacher, reader.identity.canonical_short_side
    if side < teacher.input_size:
        log.warning(
            "the stored frames have a short side of %d pixels, and teacher %s takes images of %d: its crops are "
            "enlarged; frames of %d pixels (extract-teacher --canonical-short-side) would suit it",
            *(side, config.name, teacher.input_size, default_short_side(teacher.input_size)),
        )
    if (first.resize_mode, first.crop_fraction) != (teacher.resize_mode, teacher.crop_fraction):
        log.info(
            "teacher %s sees the stored evaluation crop (%s, fraction %g), not its own (%s, fraction %g)",
            *(config.name, first.resize_mode, first.crop_fraction, teacher.resize_mode, teacher.crop_fraction),
        )


def _lacking(reader: CacheReader, name: str) -> list[str]:
    """The committed units that this teacher has not embedded; all if it is new."""
    return reader.teachers.lacking(name) if name in reader.teachers.names() else sorted(reader.records)


def _num_rows(reader: CacheReader, units: Sequence[str]) -> int:
    return sum(reader.records[unit].num_rows for unit in units)


def _num_bytes(reader: CacheReader, units: Sequence[str], width: int) -> int:
    """About the size of the embeddings of these units."""
    row = (1 + reader.identity.num_views) * (EMBEDDING_BYTES * width + CRC_BYTES)
    return _num_rows(reader, units) * (row + BACKENDS[reader.identity.backend].row_overhead_bytes // 2)
