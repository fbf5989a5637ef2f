"""Find parts that were cut out of a Matroska or WebM file, by its index. Reads bytes, no frames.

Section numbers: RFC 9559. The index (Cues) contains times and positions of clusters: times without a frame, and
clusters nearer to the beginning than indexed, show that a part is missing in between.
"""

import bisect
from dataclasses import dataclass, field

from embedonce.pipeline.video.location import VideoLocation

EBML, SEGMENT, TRACKS, CLUSTER, CUES = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0x1F43B675, 0x1C53BB6B
SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, CLUSTER_TIME = 0xAE, 0xD7, 0x83, 0xE7
CUE_POINT, CUE_TIME, CUE_POSITIONS, CUE_TRACK, CUE_CLUSTER = 0xBB, 0xB3, 0xB7, 0xF7, 0xF1
TOP_LEVEL = (CLUSTER, CUES)  # what is looked for where elements do not follow each other
KEPT_TYPES = (1, 2, 17)  # video, audio, subtitles
MAX_ELEMENT = 64_000_000  # bytes of an index or a list of tracks; more is broken
SEARCHED = 1_000_000


@dataclass
class Layout:
    """Positions in bytes from the beginning of the segment's data.

    clusters: time in the file's ticks -> position. cues: (time, track number, indexed position of its cluster). tracks:
    track numbers in order. index_shift: distance between the index and the position that the file's head gives.
    index_named: that position.
    """

    clusters: dict[int, int] = field(default_factory=dict)
    cues: list[tuple[int, int, int]] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    index_shift: int | None = None
    index_named: int | None = None


def read_layout(path: VideoLocation) -> Layout:
    """Walk through the file's elements. OSError if it cannot be read; unknown elements are skipped."""
    layout = Layout()
    with path.open("rb") as file:
        end = path.stat().st_size
        header = _element(file, 0)
        segment = header and header[0] == EBML and header[2] is not None and _element(file, header[1] + header[2])
        if not segment or segment[0] != SEGMENT:
            return layout
        origin = segment[1]
        position: int | None = origin
        while position is not None and position < end:
            element = _element(file, position)
            if element is None or (element[2] is None and element[0] != CLUSTER):
                position = _search(file, position + 1)
                continue
            kind, start, size = element
            if kind == CLUSTER:
                time = _cluster_time(file, start)
                if time is not None:
                    layout.clusters[time] = position - origin
            elif kind in (CUES, TRACKS, SEEK_HEAD) and size is not None and size <= MAX_ELEMENT:
                file.seek(start)
                _learn(layout, kind, file.read(size))
            if kind == CUES and layout.index_named is not None and layout.clusters:
                layout.index_shift = position - origin - layout.index_named
            position = _search(file, start) if size is None else _follow(file, start, start + size, end)
    return layout


def cut_out(layout: Layout, stream_index: int, times: set[int]) -> list[tuple[int, int]]:
    """(from, to) in the file's ticks: pairs of times between which indexed content is missing.

    stream_index: the track's position in the file. times: the times of its frames.
    """
    if stream_index >= len(layout.tracks):
        return []
    number, starts = layout.tracks[stream_index], sorted(layout.clusters)
    found: list[tuple[int, int]] = []
    last_time, last_shift, is_lost = None, 0, False
    for time, track, position in sorted(layout.cues):
        if track != number:
            continue
        if time not in times:
            is_lost = True
            continue
        held = bisect.bisect_right(starts, time) - 1
        shift = layout.clusters[starts[held]] - position if held >= 0 else 0
        if last_time is not None and (is_lost or shift < last_shift):
            found.append((last_time, time))
        last_time, last_shift, is_lost = time, shift, False
    is_lost |= last_time is not None and layout.index_shift is not None and layout.index_shift < last_shift
    return [*found, (last_time, max(times))] if is_lost and last_time is not None else found


def _element(file, position: int) -> tuple[int, int, int | None] | None:
    """(id, start of its data, size of its data or None if unknown) of the element at this position; None if there is
    none.
    """
    file.seek(position)
    head = file.read(12)
    if len(head) < 2 or head[0] < 0x10:
        return None
    id_length = 9 - head[0].bit_length()
    size_length = 9 - head[id_length].bit_length() if len(head) > id_length and head[id_length] else 0
    if not size_length or len(head) < id_length + size_length:
        return None
    size = int.from_bytes(head[id_length : id_length + size_length], "big") & (1 << 7 * size_length) - 1
    is_unknown = size == (1 << 7 * size_length) - 1
    return int.from_bytes(head[:id_length], "big"), position + id_length + size_length, None if is_unknown else size


def _cluster_time(file, start: int) -> int | None:
    """The time of the cluster whose data begins here: one of its first elements."""
    for _ in range(3):
        element = _element(file, start)
        if element is None or element[2] is None:
            return None
        if element[0] == CLUSTER_TIME:
            file.seek(element[1])
            return int.from_bytes(file.read(min(element[2], 8)), "big")
        start = element[1] + element[2]
    return None


def _follow(file, start: int, stop: int, end: int) -> int | None:
    """Where the next element begins: at `stop` if there is one, otherwise found by searching from `start`."""
    if stop >= end or _element(file, stop) is not None:
        return stop
    return _search(file, start)


def _search(file, position: int) -> int | None:
    """Position of the next cluster or index, found by its id; None if there is none."""
    marks = [kind.to_bytes(4, "big") for kind in TOP_LEVEL]
    while True:
        file.seek(position)
        data = file.read(SEARCHED)
        found = [at for mark in marks if (at := data.find(mark)) >= 0]
        if found:
            return position + min(found)
        if len(data) < SEARCHED:
            return None
        position += SEARCHED - 3


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """(id, data) of consecutive elements, until they end."""
    found, at = [], 0
    while at < len(data) and data[at] >= 0x01:
        id_length = 9 - data[at].bit_length()
        size_at = at + id_length
        if size_at >= len(data) or not data[size_at]:
            break
        size_length = 9 - data[size_at].bit_length()
        start = size_at + size_length
        size = int.from_bytes(data[size_at:start], "big") & (1 << 7 * size_length) - 1
        found.append((int.from_bytes(data[at:size_at], "big"), data[start : start + size]))
        at = start + size
    return found


def _learn(layout: Layout, kind: int, data: bytes) -> None:
    for child, content in _children(data):
        values = _children(content)
        numbers = {name: int.from_bytes(value[:8], "big") for name, value in values}
        if kind == TRACKS and child == TRACK_ENTRY and numbers.get(TRACK_TYPE) in KEPT_TYPES:
            layout.tracks.append(numbers.get(TRACK_NUMBER, 0))
        if kind == SEEK_HEAD and child == SEEK and numbers.get(SEEK_ID) == CUES:
            layout.index_named = numbers.get(SEEK_POSITION)
        if kind == CUES and child == CUE_POINT:
            for name, value in values:
                place = {key: int.from_bytes(found[:8], "big") for key, found in _children(value)}
                if name == CUE_POSITIONS and {CUE_TRACK, CUE_CLUSTER} <= place.keys():
                    layout.cues.append((numbers.get(CUE_TIME, 0), place[CUE_TRACK], place[CUE_CLUSTER]))
