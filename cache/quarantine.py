"""Videos that cannot be used, and attempts at decoding that crashed or hung: one small document for each video."""

import functools
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

from embedonce.cache import documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError
from embedonce.cache.limits import brief, check_text
from embedonce.cache.stores.stored_path import StoredPath


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
    return _read_folder(folder, QuarantinedVideo)


def read_attempts(folder: StoredPath) -> dict[str, DecodeAttempts]:
    """name -> attempts, of all documents in a folder."""
    return _read_folder(folder, DecodeAttempts)


def _read_folder(folder: StoredPath, entry_type: type[Entry]) -> dict[str, Entry]:
    return dict(read_entry(path, entry_type) for path in folder.list(".json"))


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
    if path.name != file_name(name):
        raise DamagedError(f"{path} is the document of {name!r}: it was renamed or copied")
    if getattr(entry, "num_bytes", 0) < 0 or getattr(entry, "attempts", 1) < 1:
        raise DamagedError(f"{path} has an impossible count")
