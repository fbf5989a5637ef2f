"""Videos that cannot be used, and attempts at decoding that crashed or hung: one small document for each video."""

import contextlib
import functools
import itertools
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

from embedonce.cache import documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import AlreadyCommittedError, DamagedError
from embedonce.cache.limits import brief, check_text
from embedonce.cache.stores.stored_path import StoredPath

_ATTEMPT = re.compile(r"-\d{6,12}(?=\.json$)")  # in the name of a further document of attempts


@dataclass(frozen=True)
class QuarantinedVideo:
    """A video that cannot be used.

    source: relative path of the file. num_bytes, modified_ns: its size and modification time in ns; the video is tried
    again if they change, and in the next run if both are 0.
    """

    source: str
    reason: str
    num_bytes: int = 0
    modified_ns: int = 0


@dataclass(frozen=True)
class DecodeAttempts:
    """How many processes crashed or hung while they decoded a video, and how the last one ended."""

    attempts: int
    reason: str


Entry = TypeVar("Entry", QuarantinedVideo, DecodeAttempts)


def read_quarantine(folder: StoredPath) -> dict[str, QuarantinedVideo]:
    """name -> quarantined video, of all documents in a folder."""
    return dict(read_entry(path, QuarantinedVideo) for path in folder.list(".json"))


def read_attempts(folder: StoredPath) -> dict[str, DecodeAttempts]:
    """name -> attempts, of all documents in a folder."""
    paths = sorted(folder.list(".json"), key=lambda path: path.stem)
    return total_attempts(read_entry(path, DecodeAttempts) for path in paths)


def total_attempts(entries: Iterable[tuple[str, DecodeAttempts]]) -> dict[str, DecodeAttempts]:
    """name -> attempts of all its documents together, with the last one's reason. entries: in order of documents."""
    found: dict[str, DecodeAttempts] = {}
    for name, entry in entries:
        earlier = found[name].attempts if name in found else 0
        found[name] = DecodeAttempts(earlier + entry.attempts, entry.reason)
    return found


def count_attempt(folder: StoredPath, name: str, reason: str, is_shared: bool = False) -> None:
    """Count an attempt that ended with a crash. folder: of attempts.

    is_shared: others may count at the same time. Then a further attempt is a document of its own, which only one can
    publish, and not a higher count in the first one.
    """
    path = folder / file_name(name)
    if not is_shared:
        earlier = read_entry(path, DecodeAttempts)[1].attempts if path.exists() else 0
        path.replace(serialize_entry(name, DecodeAttempts(earlier + 1, reason), str(path)))
        return
    for number in itertools.count(1):
        path = folder / _attempt_file(name, number)
        with contextlib.suppress(AlreadyCommittedError):
            path.put_if_absent(serialize_entry(name, DecodeAttempts(1, reason), str(path)))
            return


def forget_attempts(folder: StoredPath, name: str) -> None:
    """Delete all documents of attempts at a video. folder: of attempts."""
    first = file_name(name)
    for path in folder.list(".json"):
        if _ATTEMPT.sub("", path.name) == first:
            path.delete()


def _attempt_file(name: str, number: int) -> str:
    """The name of the document of the attempt of this number, from 1 on."""
    first = file_name(name)
    return first if number == 1 else f"{first.removesuffix('.json')}-{number:06d}.json"


def read_entry(path: StoredPath, entry_type: type[Entry]) -> tuple[str, Entry]:
    """(name, entry) in a file. DamagedError if it is missing or invalid."""
    return _entry_from(documents.read(path), str(path), entry_type)


def serialize_entry(name: str, entry: Entry, location: str) -> bytes:
    """The document of an entry. ValueError if it could not be read back. location: of the file, for messages."""
    read_back = functools.partial(_entry_from, entry_type=type(entry))
    return documents.serialize_verified({"name": name, **asdict(entry)}, read_back, location)


def _entry_from(document: dict, location: str, entry_type: type[Entry]) -> tuple[str, Entry]:
    with documents.as_damaged_error(location):
        values = {name: value for name, value in document.items() if name not in ("format_version", "name")}
        if values.keys() != {field.name for field in fields(entry_type)}:
            raise TypeError(f"its fields are {brief(', '.join(values))}")
        entry = documents.validate_types(entry_type(**values))
        check_text(document["name"])
        for value in values.values():
            if isinstance(value, str):
                check_text(value)
        return document["name"], entry


def file_name(name: str) -> str:
    """The name of the file of a video in quarantine/ and attempts/, whatever characters the video's name has."""
    return f"{sha256(name.encode('utf-8', 'surrogateescape'))[:32]}.json"


def check_entry(path: StoredPath, entry_type: type[Entry]) -> None:
    """DamagedError if a file cannot be read, has a negative count, or has another name than its own."""
    name, entry = read_entry(path, entry_type)
    first = _ATTEMPT.sub("", path.name) if entry_type is DecodeAttempts else path.name
    if first != file_name(name):
        raise DamagedError(f"{path} is the document of {name!r}: it was renamed or copied")
    if getattr(entry, "num_bytes", 0) < 0 or getattr(entry, "attempts", 1) < 1:
        raise DamagedError(f"{path} has an impossible count")
