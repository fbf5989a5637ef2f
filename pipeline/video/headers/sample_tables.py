"""The frames of an MP4 or QuickTime track by the tables of its header, without reading any frame.

Section numbers: ISO/IEC 14496-12. A sample is what FFmpeg calls a packet. Tables that FFmpeg would have to guess about
(counts that differ, several sample descriptions, encryption) are an Mp4Error.
"""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from embedonce.pipeline.video.headers.mp4_boxes import Mp4Error, children, number, only, read_header, rows
from embedonce.pipeline.video.packets import MAX_FRAMES

ENCRYPTED = (b"encv", b"enca", b"encs", b"enct", b"drmi")  # sample entries, section 8.12
UNREAD = (b"stps", b"senc", b"saiz")  # partial key frames (QuickTime), encryption
ROWS_OF_TIMES = [("count", ">u4"), ("ticks", ">i4")]  # stts, ctts; FFmpeg reads both as signed
ROWS_OF_CHUNKS = [("first", ">u4"), ("count", ">u4"), ("description", ">u4")]  # stsc
SIZE_BITS = (8, 16)  # of stz2's sizes; those of 4 bits are of no video


@dataclass(frozen=True)
class SampleTable:
    """n samples in decoding order.

    dts: (n,) int64 ticks of the track's time base from 0. offsets: (n,) int64, pts - dts as stated in the file; may be
    negative. is_key: (n,) bool. positions, sizes: (n,) int64 bytes in the file.
    """

    dts: np.ndarray
    offsets: np.ndarray
    is_key: np.ndarray
    positions: np.ndarray
    sizes: np.ndarray


def read_sample_table(file: BinaryIO, num_bytes: int, track_id: int) -> SampleTable:
    """The samples of one track. file: seekable, of num_bytes; only box headers and moov are read.

    Mp4Error if the tables are damaged, incomplete, or not all there is to know about the samples.
    """
    moov = children(memoryview(read_header(file, num_bytes)))
    if b"mvex" in moov:
        raise Mp4Error("it is fragmented")
    tracks = [children(track) for track in moov.get(b"trak", [])]
    found = [track for track in tracks if _track_id(only(track, b"tkhd")) == track_id]
    if len(found) != 1:
        raise Mp4Error(f"{len(found)} of its tracks have the number {track_id}")
    media = children(only(children(only(found[0], b"mdia")), b"minf"))
    boxes = children(only(media, b"stbl"))
    if any(kind in boxes or kind in found[0] for kind in UNREAD):
        raise Mp4Error("it has encrypted frames or partial key frames")
    _check_description(only(boxes, b"stsd"))
    sizes = _sizes(boxes, num_bytes)
    count = len(sizes)
    if not 0 < count <= MAX_FRAMES or sizes.min() <= 0:
        raise Mp4Error("it has no frames, too many, or empty ones")
    dts = np.cumsum(_expanded(only(boxes, b"stts"), count))
    has_offsets = b"ctts" in boxes
    return SampleTable(
        dts=np.concatenate([np.zeros(1, np.int64), dts[:-1]]),
        offsets=_expanded(only(boxes, b"ctts"), count) if has_offsets else np.zeros(count, np.int64),
        is_key=_key_flags(boxes, count),
        positions=_positions(boxes, sizes, num_bytes),
        sizes=sizes,
    )


def _track_id(header: memoryview) -> int:
    """Section 8.3.2."""
    return number(header, 20 if number(header, 0, 1) == 1 else 12)


def _check_description(box: memoryview) -> None:
    """Section 8.5.2: one description for all samples, of frames that are not encrypted."""
    if number(box, 4) != 1:
        raise Mp4Error("its parameters change")
    if box[12:16].tobytes() in ENCRYPTED:
        raise Mp4Error("it has encrypted frames")


def _sizes(boxes: dict[bytes, list[memoryview]], num_bytes: int) -> np.ndarray:
    """(n,) int64 sizes of the samples, sections 8.7.3.2 and 8.7.3.3."""
    if b"stsz" not in boxes:
        box = only(boxes, b"stz2")
        bits = number(box, 7, 1)
        if bits not in SIZE_BITS:
            raise Mp4Error(f"the sizes of its frames have {bits} bits")
        return rows(box, f">u{bits // 8}", 12).astype(np.int64)
    box = only(boxes, b"stsz")
    size, count = number(box, 4), number(box, 8)
    if not size:
        return rows(box, ">u4", 12).astype(np.int64)
    if size * count > num_bytes or count > MAX_FRAMES:
        raise Mp4Error("its frames would be larger than the file")
    return np.full(count, size, np.int64)


def _expanded(box: memoryview, count: int) -> np.ndarray:
    """(count,) int64: what stts or ctts state in runs, sections 8.6.1.2 and 8.6.1.3."""
    runs = rows(box, ROWS_OF_TIMES)
    counts = runs["count"].astype(np.int64)
    if int(counts.sum()) != count:
        raise Mp4Error("the tables of its header differ in length")
    return np.repeat(runs["ticks"].astype(np.int64), counts)


def _key_flags(boxes: dict[bytes, list[memoryview]], count: int) -> np.ndarray:
    """(count,) bool, section 8.6.2: without the table, every sample is a key frame."""
    if b"stss" not in boxes:
        return np.ones(count, bool)
    numbers = rows(only(boxes, b"stss"), ">u4").astype(np.int64)
    if len(numbers) > count or not len(numbers) or numbers.min() < 1 or numbers.max() > count:
        raise Mp4Error("its key frames are not among its frames")
    flags = np.zeros(count, bool)
    flags[numbers - 1] = True
    return flags


def _positions(boxes: dict[bytes, list[memoryview]], sizes: np.ndarray, num_bytes: int) -> np.ndarray:
    """(n,) int64 positions in the file, from chunks of consecutive samples, sections 8.7.4 and 8.7.5."""
    is_long = b"co64" in boxes
    chunks = rows(only(boxes, b"co64" if is_long else b"stco"), ">u8" if is_long else ">u4")
    if not len(chunks) or int(chunks.max()) >= num_bytes:
        raise Mp4Error("its frames lie beyond the end of the file")
    counts = _samples_per_chunk(rows(only(boxes, b"stsc"), ROWS_OF_CHUNKS), len(chunks))
    if int(counts.sum()) != len(sizes):
        raise Mp4Error("the tables of its header differ in length")
    ends = np.cumsum(sizes)
    starts = ends - sizes
    firsts = np.cumsum(counts) - counts
    positions = starts + np.repeat(chunks.astype(np.int64) - starts[firsts], counts)
    if int((positions + sizes).max()) > num_bytes:
        raise Mp4Error("its frames lie beyond the end of the file")
    return positions


def _samples_per_chunk(runs: np.ndarray, num_chunks: int) -> np.ndarray:
    """(num_chunks,) int64, each at least 1."""
    firsts, counts = runs["first"].astype(np.int64), runs["count"].astype(np.int64)
    lengths = np.diff(np.append(firsts, num_chunks + 1))
    if not len(firsts) or firsts[0] != 1 or lengths.min() < 1 or counts.min() < 1 or counts.max() > MAX_FRAMES:
        raise Mp4Error("its table of chunks is damaged")
    if (runs["description"] != 1).any():
        raise Mp4Error("its parameters change")
    return np.repeat(counts, lengths)
