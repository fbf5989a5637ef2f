"""Which headers of MP4 files say all about the packets; hostile ones cost little and end in one way."""

import io
import struct
import tracemalloc

import pytest

from embedonce.pipeline.video.headers import mp4_boxes
from embedonce.pipeline.video.headers.mp4_boxes import MAX_BOXES, MAX_HEADER, UNUSUAL, Mp4Error, find_data
from tests.support.mp4_files import TABLES, box, table

DATA = bytes(100)


def header(*more: bytes, count: int = 1) -> bytes:
    """moov with one track whose parameters are in this many descriptions."""
    content = box(b"stsd", table(count) + box(b"apcn", bytes(70))) + b"".join(more)
    for kind in reversed(TABLES):
        content = box(kind, content)
    return content


def find(data: bytes) -> bytes:
    """The data that is found."""
    start, end = find_data(io.BytesIO(data), len(data))
    return data[start:end]


WHOLE = {
    "data first": box(b"ftyp", b"qt  ") + box(b"wide", b"") + box(b"mdat", DATA) + header(),
    "header first": box(b"ftyp", b"qt  ") + header() + box(b"free", b"x") + box(b"mdat", DATA) + box(b"skip", b""),
    "long size": box(b"mdat", DATA, is_long=True) + header(),
    "no size": header() + struct.pack(">I4s", 0, b"mdat") + DATA,
    "empty data": box(b"mdat", b"") + header(),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_the_data_of_plain_files_is_found(kind):
    assert find(WHOLE[kind]) == (b"" if kind == "empty data" else DATA)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_boxes_are_found_wherever_they_are(kind):
    assert find(box(b"mdat", DATA) + header(box(b"free", b"same length")))
    for nested in (box(kind, b""), box(b"udta", box(b"what", b"\0" + kind))):
        with pytest.raises(Mp4Error, match=kind.decode()):
            find(box(b"mdat", DATA) + header(nested))


REFUSED = {
    "nothing": b"",
    "no header": box(b"mdat", DATA),
    "no data": header(),
    "two headers": header() + box(b"mdat", DATA) + header(),
    "two boxes of data": header() + box(b"mdat", DATA) + box(b"mdat", DATA),
    "fragment": header() + box(b"mdat", DATA) + box(b"moof", b""),
    "index of fragments": header() + box(b"sidx", b"") + box(b"mdat", DATA),
    "pictures": header() + box(b"meta", b"") + box(b"mdat", DATA),
    "no description": box(b"moov", b"") + box(b"mdat", DATA),
    "two descriptions": header(count=2) + box(b"mdat", DATA),
    "descriptions beyond counting": header(count=2**32 - 1) + box(b"mdat", DATA),
    "too few bytes at the end": header() + box(b"mdat", DATA) + b"\0\0\0",
    "zeros at the end": header() + box(b"mdat", DATA) + bytes(8),
    "data beyond the end": header() + box(b"mdat", DATA)[:-1],
    "header beyond the end": box(b"mdat", DATA) + header()[:-1],
    "size of less than its box": header() + struct.pack(">I4s", 7, b"mdat") + DATA,
    "long size of less than its box": header() + struct.pack(">I4sQ", 1, b"mdat", 15) + DATA,
    "long size beyond all": header() + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1) + DATA,
    "long size that is cut off": header() + box(b"mdat", DATA) + struct.pack(">I4sI", 1, b"free", 0),
    "too many boxes": header() + box(b"mdat", DATA) + box(b"free", b"") * MAX_BOXES,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_files_are_refused(kind):
    with pytest.raises(Mp4Error):
        find(REFUSED[kind])


class Sparse(io.RawIOBase):
    """A file of any size of which only the beginning is not zero. Counts what is read."""

    def __init__(self, head: bytes):
        self._head, self._at, self.num_read = head, 0, 0

    def seek(self, position: int, whence: int = 0) -> int:
        self._at = position
        return position

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= MAX_HEADER
        found = self._head[self._at : self._at + size]
        self.num_read += size
        return found + bytes(size - len(found))


@pytest.mark.parametrize(("num_boxes", "kind"), [(1, b"moov"), (10**6, b"free")])
def test_what_a_hostile_header_costs_is_bounded(num_boxes, kind):
    """One claims to be of terabytes; the other is a million boxes."""
    end = 1 << 42
    head = box(kind, b"") * (num_boxes - 1)
    head += box(b"mdat", b"") + struct.pack(">I4sQ", 1, kind, end - len(head) - 8)
    file = Sparse(head)
    tracemalloc.start()
    with pytest.raises(Mp4Error):
        find_data(file, end)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.num_read <= 16 * MAX_BOXES and peak < 1_000_000


def test_boxes_within_each_other_are_not_followed():
    content = b""
    for _ in range(20_000):
        content = box(b"trak", content)
    assert find(box(b"mdat", DATA) + box(b"moov", content + header()[8:])) == DATA


def test_a_header_of_the_largest_size_is_read_and_no_larger_one(monkeypatch):
    data = header() + box(b"mdat", DATA)
    monkeypatch.setattr(mp4_boxes, "MAX_HEADER", len(header()) - 8)
    assert find(data) == DATA
    monkeypatch.setattr(mp4_boxes, "MAX_HEADER", len(header()) - 9)
    with pytest.raises(Mp4Error, match="longer than"):
        find(data)


def test_a_file_that_shrinks_meanwhile_is_refused():
    data = box(b"mdat", DATA) + header()
    with pytest.raises(Mp4Error, match="truncated"):
        find_data(io.BytesIO(data[:-1]), len(data))
