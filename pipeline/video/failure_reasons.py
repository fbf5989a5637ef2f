"""Find out why a file cannot be used: empty, truncated, without video, or not a video file at all."""

import string

from embedonce.pipeline.video.headers.transport_stream import read_counters
from embedonce.pipeline.video.location import VideoLocation

PRINTABLE = set(string.printable.encode()) | set(range(0x80, 0x100))
SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"ID3": "an audio file",
    b"fLaC": "an audio file",
    b"#EXTM3U": "a playlist",
    b"version https://git-lfs": "a Git LFS pointer instead of the file itself",
}
BOXES = {b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"free", b"skip", b"wide", b"sidx", b"pnot", b"uuid"}
ENCRYPTED = (b"encv", b"sinf")  # boxes in the description of a stream (ISO/IEC 14496-12, section 8.12)
ENCRYPTED_FRAMES = "its frames are encrypted: decrypt it before use"
HEAD = 4096


def why_unreadable(path: VideoLocation, message: str | None) -> str:
    """Why FFmpeg does not recognize a file as a video. message: FFmpeg's own error message."""
    message = message or "unknown format"
    try:
        with path.open("rb") as file:
            num_bytes, head = path.stat().st_size, file.read(HEAD)
    except OSError:
        return message
    if not num_bytes:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "the file begins with zeros: it may be an incomplete copy"
    for signature, what in SIGNATURES.items():
        if head.startswith(signature):
            return f"it is {what}"
    if head[4:8] in BOXES:
        return _without_index(path) or message
    if set(head) <= PRINTABLE:
        is_page = head.lstrip().lower().startswith((b"<!doctype html", b"<html"))
        return "it is a web page" if is_page else "it is a text file"
    return message


def why_no_frames(path: VideoLocation, error: str | None, pid: int | None) -> str:
    """Why a file with a video stream has no packets of it.

    error: why reading the container stopped, or None. pid: the packet identifier in a transport stream, or None.
    """
    if pid is not None and read_counters(path, pid).scrambled > 0.5:
        return ENCRYPTED_FRAMES
    boxes = _boxes(path)
    if "moov" not in boxes or {"mdat", "moof"} & boxes.keys():
        return "it holds no video frame" + (f" ({error})" if error else "")
    encrypted = ", of an encrypted video" if _contains(path, boxes["moov"], ENCRYPTED) else ""
    return f"it holds no video frame: it is only the header of a fragmented file{encrypted}"


def why_no_stream(path: VideoLocation, kinds: list[str]) -> str:
    """Why an opened file has no video stream. kinds: the kinds of the streams that it has."""
    if kinds:
        return f"it has no video stream, only {' and '.join(sorted(set(kinds)))}"
    return "it has no video stream" + (": its index (moov) is truncated" if _is_cut(path, _boxes(path)) else "")


def _without_index(path: VideoLocation) -> str | None:
    boxes = _boxes(path)
    if "moov" in boxes:
        return "its index (moov) is truncated" if _is_cut(path, boxes) else None
    if "moof" in boxes or "styp" in boxes:
        return "it is a segment of a fragmented file without its header (moov)"
    return "it has no index (moov): its end is missing, or the recording was interrupted"


def _is_cut(path: VideoLocation, boxes: dict[str, tuple[int, int]]) -> bool:
    return "moov" in boxes and sum(boxes["moov"]) > path.stat().st_size


def _boxes(path: VideoLocation) -> dict[str, tuple[int, int]]:
    """Name of each top-level box -> (position, size) in bytes of its first occurrence (ISO/IEC 14496-12)."""
    boxes: dict[str, tuple[int, int]] = {}
    try:
        with path.open("rb") as file:
            end, position = path.stat().st_size, 0
            while position + 8 <= end:
                file.seek(position)
                head = file.read(16)
                size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big") or end - position
                if size < 8 or not head[4:8].isalnum():
                    break
                boxes.setdefault(head[4:8].decode("ascii"), (position, size))
                position += size
    except OSError:
        return {}
    return boxes


def _contains(path: VideoLocation, span: tuple[int, int], marks: tuple[bytes, ...]) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(span[0])
            data = file.read(min(span[1], 4_000_000))
    except OSError:
        return False
    return any(mark in data for mark in marks)
