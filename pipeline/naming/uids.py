"""Makes uids from file paths, so that no two paths have the same uid, and uids for parts of a recording."""

import hashlib
import re

from embedonce.cache.schema import MAX_UID_LENGTH, check_uid

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")
_HEX = frozenset("0123456789ABCDEF")
PART = "__"  # separates the uuid of a recording from the uuid of the part that a file contains
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PARTS_OF_RECORDINGS = (
    re.compile(f"({_UUID}){PART}{_UUID}"),
    # v_YoYo_g09_c02.avi of UCF101, or a folder of its frames
    re.compile(r"(.*v_[A-Za-z]+_g\d\d)_c\d\d(?:_2Eavi)?(?:__[0-9a-f]{8}(?:-\d+)?)?"),
    re.compile(r"(nusar-2021_[\w-]+)_2F(?:C\d|HMC_)\w+", re.ASCII),  # `sequence/view.mp4` of Assembly101
)
_PREFIX = "x__"  # added to a uid that would not begin with a letter or digit
_PREFIX_LOOKALIKE = "x_5F_"  # replaces the prefix in uids of paths that begin with it
_SHORTENED = "_2D"  # separates head and hash of a long path; "-" is never escaped, so escape() never returns this
_HASH_DIGITS = 32  # 128 bits of SHA-256
_HEAD_LENGTH = MAX_UID_LENGTH - len(_SHORTENED) - _HASH_DIGITS


def path_uid(path: str) -> str:
    """The uid of a relative path: escape(path), or readable characters and a hash if that is too long.

    The path of a shortened uid is stored in the plan of a cache (`source`).
    """
    uid = escape(path)
    if len(uid) <= MAX_UID_LENGTH:
        return uid
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", path).strip("_-")
    return f"{readable[:_HEAD_LENGTH].rstrip('_-') or 'x'}{_SHORTENED}{digest}"


def is_shortened(uid: str) -> bool:
    """Whether path_uid() shortened the path, so that unescape() cannot restore it."""
    return uid[-_HASH_DIGITS - len(_SHORTENED) : -_HASH_DIGITS] == _SHORTENED


def escape(path: str) -> str:
    """A relative path in the characters of a uid, up to three times as long; unescape() is the inverse.

    Letters, digits and `-` are kept. `_` is kept unless two upper-case hex digits follow it; then it becomes `_5F`.
    Every other byte of the UTF-8 path becomes `_` and two upper-case hex digits (`a/b.mp4` becomes `a_2Fb_2Emp4`).
    """
    reversed_parts: list[str] = []
    following = ""  # the next two characters of the output
    for byte in reversed(path.encode("utf-8", "surrogateescape")):
        part = _escape_byte(byte, following)
        reversed_parts.append(part)
        following = (part + following)[:2]
    uid = "".join(reversed(reversed_parts))
    if uid.startswith(_PREFIX):
        return _PREFIX_LOOKALIKE + uid[len(_PREFIX) :]
    return uid if uid[:1].isalnum() else _PREFIX + uid


def unescape(uid: str) -> str:
    """The path whose escape() is this uid. ValueError if no path has this uid, or if it was shortened."""
    if is_shortened(uid):
        raise ValueError(f"{uid!r} is shortened and ends in a hash: look up the path in the plan of its cache")
    text = uid.removeprefix(_PREFIX)
    raw = bytearray()
    position = 0
    while position < len(text):
        digits = text[position + 1 : position + 3]
        if text[position] == "_" and _is_hex_pair(digits):
            raw.append(int(digits, 16))
            position += 3
        else:
            raw += text[position].encode("utf-8")
            position += 1
    path = raw.decode("utf-8", "surrogateescape")
    if escape(path) != uid:
        raise ValueError(f"{uid!r} is not the uid of any path")
    return path


def part_uid(recording_uid: str, part: str) -> str:
    """The uid of a file that contains a part of a recording. Both arguments are uuids."""
    return f"{recording_uid}{PART}{part}"


def recording_of(uid: str) -> str:
    """The uid of the recording that a video belongs to, or what stands for it; of most videos, their own uid.

    For uids of part_uid(), their first part; for those of UCF101, the group (`g09`), which was cut from one recording;
    for a view of Assembly101, the sequence. Parts and views of a recording look alike, so they must stay in the same
    split.
    """
    matches = (pattern.fullmatch(uid) for pattern in _PARTS_OF_RECORDINGS)
    return next((match[1] for match in matches if match), uid)


def safe_annotation_uid(uid: str) -> str:
    """The uid. ValueError if it has characters that are not allowed in a uid, such as those of a path."""
    return check_uid(uid)


def _escape_byte(byte: int, following: str) -> str:
    if byte in _PLAIN:
        return chr(byte)
    if byte == ord("_") and not _is_hex_pair(following):
        return "_"
    return f"_{byte:02X}"


def _is_hex_pair(text: str) -> bool:
    return len(text) == 2 and set(text) <= _HEX
