"""File paths as uids: every path has one uid, and no two paths share one. Uids of parts of a recording.

Knows characters only; whether a file exists, or what it holds, is not its business.
"""

import hashlib
import re

from embedonce.cache.schema import MAX_UID_LENGTH, check_uid

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")
_HEX = frozenset("0123456789ABCDEF")
PART = "__"  # between the uuids of a recording and of the part of it that a file is
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PART_OF_RECORDING = re.compile(f"({_UUID}){PART}{_UUID}")
_PREFIX = "x__"  # before a uid that would not begin with a letter or digit
_PREFIX_LOOKALIKE = "x_5F_"  # what a path that really begins like the prefix becomes
_SHORTENED = "_2D"  # between head and hash of a long path: the escape of "-", which is never escaped
_HASH_DIGITS = 32  # 128 bits of SHA-256
_HEAD_LENGTH = MAX_UID_LENGTH - len(_SHORTENED) - _HASH_DIGITS


def path_uid(path: str) -> str:
    """The uid of a relative path, whatever its length: `escape`, or readable characters and a hash where that is long.

    The path of a shortened uid is in the plan of a cache (`source`).
    """
    uid = escape(path)
    if len(uid) <= MAX_UID_LENGTH:
        return uid
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", path).strip("_-")
    return f"{readable[:_HEAD_LENGTH].rstrip('_-') or 'x'}{_SHORTENED}{digest}"


def is_shortened(uid: str) -> bool:
    """Whether `path_uid` had to shorten the path, so that `unescape` cannot give it back."""
    return uid[-_HASH_DIGITS - len(_SHORTENED) : -_HASH_DIGITS] == _SHORTENED


def escape(path: str) -> str:
    """A relative path in the characters of a uid; `unescape` gives it back. Up to three times as long as the path.

    Letters, digits and `-` stay. `_` stays unless two upper-case hex digits would follow it; it is `_5F` then, and
    every other byte of the UTF-8 path is `_` and two upper-case hex digits (`a/b.mp4` is `a_2Fb_2Emp4`).
    """
    reversed_parts: list[str] = []
    following = ""  # the two characters of the output that come next
    for byte in reversed(path.encode("utf-8", "surrogateescape")):
        part = _escape_byte(byte, following)
        reversed_parts.append(part)
        following = (part + following)[:2]
    uid = "".join(reversed(reversed_parts))
    if uid.startswith(_PREFIX):
        return _PREFIX_LOOKALIKE + uid[len(_PREFIX) :]
    return uid if uid[:1].isalnum() else _PREFIX + uid


def unescape(uid: str) -> str:
    """The path that `escape` made this uid from. ValueError where no path has this uid, or it was shortened."""
    if is_shortened(uid):
        raise ValueError(f"{uid!r} is shortened and ends in a hash: the plan of its cache has the path")
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
    """The uid of a file that holds a part of a recording; both are uuids."""
    return f"{recording_uid}{PART}{part}"


def recording_of(uid: str) -> str:
    """What a video is a part of: its own uid, but for part_uid. Parts of one recording look alike."""
    found = _PART_OF_RECORDING.fullmatch(uid)
    return found[1] if found else uid


def safe_annotation_uid(uid: str) -> str:
    """Return a uid that an annotation names, or raise ValueError where it could reach outside its folder."""
    return check_uid(uid)


def _escape_byte(byte: int, following: str) -> str:
    if byte in _PLAIN:
        return chr(byte)
    if byte == ord("_") and not _is_hex_pair(following):
        return "_"
    return f"_{byte:02X}"


def _is_hex_pair(text: str) -> bool:
    return len(text) == 2 and set(text) <= _HEX
