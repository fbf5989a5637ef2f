"""Cutting requested frames into fixed units of work. Pure arithmetic on plain data; knows no files."""

import dataclasses

import numpy as np

from cache.schema import PlannedSegment, Unit


def unit_name(number: int) -> str:
    return f"{number:06d}"


def cut_units(segments: list[PlannedSegment], shard_frames: int, first_number: int) -> tuple[Unit, ...]:
    """Cut whole videos into units of at most shard_frames rows, in order.

    A long video gets units of its own; what is left of it, and short videos, share units. Requests that show
    one frame stay together, so that a frame is a row of exactly one unit.
    """
    units: list[list[PlannedSegment]] = []
    room = 0
    for segment in segments:
        for piece in _pieces(segment, shard_frames):
            rows = len(piece.frame_index)
            if not units or rows > room:
                units.append([])
                room = shard_frames
            units[-1].append(piece)
            room -= rows
    return tuple(Unit(unit_name(first_number + i), tuple(pieces)) for i, pieces in enumerate(units))


def _pieces(segment: PlannedSegment, shard_frames: int):
    rows = len(segment.frame_index)
    starts = list(range(0, max(rows, 1), shard_frames))
    # Times that show nothing (row -1) lie before the first frame or after the last: they go with the ends.
    shown = np.flatnonzero(segment.request_row >= 0)
    cuts = [int(shown[np.searchsorted(segment.request_row[shown], start)]) for start in starts[1:]]
    request_bounds = [0, *cuts, len(segment.request_k)]
    for i, start in enumerate(starts):
        stop = min(start + shard_frames, rows)
        requests = slice(request_bounds[i], request_bounds[i + 1])
        row = segment.request_row[requests]
        yield dataclasses.replace(
            segment,
            frame_index=segment.frame_index[start:stop],
            pts=segment.pts[start:stop],
            request_k=segment.request_k[requests],
            request_row=np.where(row >= 0, row - start, row),
        )
