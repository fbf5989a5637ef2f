"""Which teachers of a cache a student was trained from: they are recognized by their weights.

Names decide between several teachers of the same weights, such as one of frames and one of windows.
"""

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TeacherIdentity
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint, CheckpointTeacher


def main_teacher(meta: Checkpoint, reader: CacheReader) -> tuple[str, TeacherIdentity]:
    """(name in the cache, identity) of the teacher in whose space a student classifies clips.

    Of those that have the student's weights and embed single frames, the one that had its name when the student was
    trained, or else the first of the cache, or else any; the first of the cache if there are none.
    """
    known = {FIRST: reader.identity.teacher}
    known |= {name: reader.teachers.read(name).identity for name in reader.teachers.names()}
    found = [name for name, identity in known.items() if _is(meta.teacher, identity) and identity.window == 1]
    name = next((name for name in found if name == meta.main_teacher), next(iter(found), FIRST))
    return name, known[name]  # which check_fit() refuses if it is another one


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
