"""Which teachers of a cache a student was trained from: they are recognized by their weights, not by their names."""

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, CheckpointTeacher


def main_teacher(meta: Checkpoint, reader: CacheReader) -> tuple[str, TeacherIdentity]:
    """(name in the cache, identity) of the teacher in whose space a student classifies clips.

    The first teacher of the cache unless an added one is the student's.
    """
    first = reader.identity.teacher
    if _is(meta.teacher, first):
        return FIRST, first
    added = {name: reader.teachers.read(name).identity for name in reader.teachers.names()}
    found = [(name, identity) for name, identity in added.items() if _is(meta.teacher, identity)]
    return found[0] if found else (FIRST, first)  # for check_fit() to refuse


def embedded_teachers(meta: Checkpoint, reader: CacheReader) -> tuple[str, ...]:
    """The student's main teacher, then those of its other ones that have embedded all frames under the same names."""
    main, _ = main_teacher(meta, reader)
    known = set(reader.teachers.names())
    names = [teacher.label for teacher in meta.added_teachers or () if teacher.label in known]
    shared = {t.label: t for t in meta.added_teachers or ()}
    same = [name for name in names if _is(shared[name], reader.teachers.read(name).identity)]
    return (main, *(name for name in same if name != main and not reader.teachers.lacking(name)))


def _is(teacher: CheckpointTeacher, identity: TeacherIdentity) -> bool:
    return (teacher.weights_sha256, teacher.embed_dim) == (identity.weights_sha256, identity.embed_dim)
