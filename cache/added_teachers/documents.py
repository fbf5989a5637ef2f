"""Added teachers: what identifies one in a cache, and the document of it.

An added teacher embeds the stored frames of a cache that was made by another one, in the stored views. It has its own
input size, interpolation and normalization; the boxes are those of the cache.
"""

from dataclasses import dataclass, fields

import numpy as np

from embedonce.cache import documents
from embedonce.cache.errors import DamagedError, OtherVersionError, TeacherError
from embedonce.cache.identity_document import check_teacher_of_cache, differences, teacher_document, teacher_from
from embedonce.cache.layout import Layout, teacher_files
from embedonce.cache.limits import brief
from embedonce.cache.schema import (
    INTERPOLATIONS,
    MAX_UID_LENGTH,
    UID_PATTERN,
    VIEW_FIELDS,
    CacheIdentity,
    TeacherIdentity,
)

FIRST = "first"  # the name of the teacher that made the cache
# What two teachers may differ in although they give the same embeddings: names of weights and sizes of the whole model,
# and evaluation crops, which an added teacher does not make
_SAME_ALTHOUGH = {"weights", "resize_mode", "crop_fraction", "parameters_image", "parameters_total"}
_SAME_ALTHOUGH |= {"bytes_image", "bytes_total"}


@dataclass(frozen=True)
class AddedTeacher:
    """name: in the cache, with the form of a uid. identity: as of a teacher that makes a cache."""

    name: str
    identity: TeacherIdentity


def check_name(name: str) -> str:
    """Return name. ValueError if no added teacher can have it."""
    if name == FIRST:
        raise ValueError(f"{FIRST!r} is the name of the teacher that made the cache; choose another one")
    if not UID_PATTERN.fullmatch(name):
        raise ValueError(
            f"a teacher's name has 1 to {MAX_UID_LENGTH} characters of A-Z a-z 0-9 _ - and begins with a letter or a "
            "digit"
        )
    return name


def seen_views(views: np.ndarray, teacher: TeacherIdentity) -> np.ndarray:
    """The stored views (V, 6) as an added teacher sees them: the same boxes, with its own interpolation."""
    seen = views.copy()
    seen[:, VIEW_FIELDS.index("interpolation")] = INTERPOLATIONS[teacher.interpolation]
    return seen


def added_teacher_document(teacher: AddedTeacher) -> dict:
    return {"name": teacher.name, "teacher": teacher_document(teacher.identity)}


def added_teacher_from(document: dict, name: str, num_views: int) -> AddedTeacher:
    """The added teacher in a document. DamagedError, with the document's name, if a field is missing or invalid.

    num_views: stored random views of the cache.
    """
    with documents.as_damaged_error(name):
        return AddedTeacher(check_name(document["name"]), teacher_from(document["teacher"], num_views))


def read_added_teacher(layout: Layout, name: str, num_views: int) -> AddedTeacher:
    """The added teacher of this name. DamagedError if its document cannot be read, or is another one's."""
    path = layout.teacher_document(name)
    layout.refuse_links((layout.teachers, path.parent, *layout.teacher_paths(name)))
    try:
        teacher = added_teacher_from(documents.read(path), str(path), num_views)
        if teacher.name != name:
            raise DamagedError(f"{path} is the document of teacher {brief(teacher.name)}: it was renamed or copied")
    except OtherVersionError:
        raise
    except DamagedError as error:
        advice = f"restore it from a copy, or remove this teacher with: remove --teacher {name}"
        raise DamagedError(f"{error}; {advice}", has_advice=True) from error
    return teacher


def refuse_lost_document(layout: Layout, name: str) -> None:
    """DamagedError if a teacher has files but no document."""
    path = layout.teacher_document(name)
    left = teacher_files(layout, name)
    if left and not path.exists():
        raise DamagedError(
            f"{path.parent} has lost its teacher.json: {left[0]} and {len(left) - 1} more files belong to a teacher "
            "that is not known. Nothing was changed; restore it from a copy, or delete the folder"
        )


def check_addable(wanted: AddedTeacher, cache: CacheIdentity, existing: list[AddedTeacher], root: object) -> None:
    """TeacherError if a teacher cannot be added: its name is another one's, it is in the cache already, or too large.

    existing: the added teachers. root: shown as the cache's place.
    """
    for other in existing:
        if other.name == wanted.name and (differing := differences(wanted.identity, other.identity)):
            raise TeacherError(
                f"teacher {wanted.name!r} of {root} is another one (in the cache -> requested): "
                f"{'; '.join(differing)}. Nothing was changed; choose another --name"
            )
    for other in (AddedTeacher(FIRST, cache.teacher), *existing):
        if other.name != wanted.name and _are_same(other.identity, wanted.identity):
            raise TeacherError(
                f"{root} has the embeddings of this teacher ({wanted.identity.name}) already, under the name "
                f"{other.name!r}; nothing was changed"
            )
    try:
        check_teacher_of_cache(wanted.identity, cache.num_views)
    except (TypeError, ValueError) as error:
        raise TeacherError(f"{root} cannot have the teacher {wanted.name!r}: {error}; nothing was changed") from error


def _are_same(one: TeacherIdentity, other: TeacherIdentity) -> bool:
    """Whether both give the same embeddings of the same stored view."""
    compared = {field.name for field in fields(TeacherIdentity)} - _SAME_ALTHOUGH
    return all(getattr(one, name) == getattr(other, name) for name in compared)
