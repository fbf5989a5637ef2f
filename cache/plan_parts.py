"""Cuts an extension of the plan into parts of bounded size, so that no document grows with the data set."""

from collections.abc import Iterator
from typing import NamedTuple

from embedonce.cache.commit import to_json
from embedonce.cache.plan import PlannedVideo, PlanPart, Unit
from embedonce.cache.plan_documents import unit_document, video_document

PART_BYTES = 16 << 20  # of a document, unless a single unit takes more: three quarters of a million rows


class _Piece(NamedTuple):
    """What stays together: a unit with the videos that are not in units before it, or a video without units."""

    videos: tuple[PlannedVideo, ...]
    units: tuple[Unit, ...]

    @property
    def num_bytes(self) -> int:
        documents = [*map(video_document, self.videos), *map(unit_document, self.units)]
        return sum(len(to_json(document)) + 1 for document in documents)


def cut_parts(
    first_number: int, videos: list[PlannedVideo], units: tuple[Unit, ...], num_bytes: int = PART_BYTES
) -> Iterator[PlanPart]:
    """The parts that hold these new videos and units, in order; the same for the same arguments.

    A video is in the part of its first unit, and continued in the parts of later ones. num_bytes: of a part, unless it
    holds a single unit.
    """
    number, size = first_number, 0
    pieces: list[_Piece] = []
    for piece in _pieces(videos, units):
        added = piece.num_bytes
        if pieces and size + added > num_bytes:
            yield _part(number, pieces)
            number, pieces, size = number + 1, [], 0
        pieces.append(piece)
        size += added
    if pieces:
        yield _part(number, pieces)


def _pieces(videos: list[PlannedVideo], units: tuple[Unit, ...]) -> Iterator[_Piece]:
    waiting = {video.uid: video for video in videos}
    for unit in units:
        uids = dict.fromkeys(segment.video_uid for segment in unit.segments)
        yield _Piece(tuple(waiting.pop(uid) for uid in uids if uid in waiting), (unit,))
    for video in waiting.values():
        yield _Piece((video,), ())


def _part(number: int, pieces: list[_Piece]) -> PlanPart:
    videos = tuple(video for piece in pieces for video in piece.videos)
    units = tuple(unit for piece in pieces for unit in piece.units)
    listed = {video.uid for video in videos}
    needed = dict.fromkeys(segment.video_uid for unit in units for segment in unit.segments)
    return PlanPart(number, videos, units, tuple(uid for uid in needed if uid not in listed))
