"""The files that a download should produce, which of them are complete, and the record of past requests.

Works with names and sizes; uses neither S3 nor the client.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from embedonce.cache import commit, strict_json
from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.download.video_selection import GB, Candidate

RECORD = "download-ego4d.json"
_TEMPORARY = re.compile(r"\.[0-9A-Fa-f]{8}")  # suffix that the client adds until a file is complete


class FileState(Enum):
    """Whether a file is on disk with its expected size."""

    COMPLETE = "complete"
    WRONG_SIZE = "wrong size"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download. path: relative to the data folder. uid: its name for the client. num_bytes: None: unknown."""

    path: str
    uid: str
    num_bytes: int | None

    def state(self, root: Path) -> FileState:
        """The state of the file on disk. Without a known size, any file that is not empty is complete."""
        try:
            size = (root / self.path).stat().st_size
        except FileNotFoundError:
            return FileState.MISSING
        is_complete = size > 0 if self.num_bytes is None else size == self.num_bytes
        return FileState.COMPLETE if is_complete else FileState.WRONG_SIZE


@dataclass(frozen=True)
class Transfer:
    """The files of one data set, and the videos they belong to. gb_per_hour: estimates sizes that are unknown."""

    dataset: str
    files: tuple[RemoteFile, ...]
    videos: tuple[Candidate, ...] = ()
    gb_per_hour: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether the sizes of all files are known."""
        return all(file.num_bytes is not None for file in self.files)

    def remaining(self, root: Path) -> list[RemoteFile]:
        """The files that are not complete."""
        return [file for file in self.files if file.state(root) is not FileState.COMPLETE]

    def size(self, files: list[RemoteFile] | tuple[RemoteFile, ...]) -> int:
        """The size of some of the files in bytes, estimated if any size of the transfer is unknown."""
        if self.is_exact:
            return sum(file.num_bytes or 0 for file in files)
        hours = sum(video.hours for video in self.videos)
        return round(self.gb_per_hour * GB * hours * len(files) / max(len(self.files), 1))


class DownloadRecord:
    """download-ego4d.json in the data folder: the files and sizes of each request, so that it can be resumed.

    Requests are identified by their options, a plain dictionary. Raises InputError for an unreadable record.
    """

    def __init__(self, root: Path):
        self._path = root / RECORD
        self._requests: list[dict] = []
        if self._path.exists():
            try:
                self._requests = strict_json.loads(read_plain(self._path, LIST_BYTES))["requests"]
                for request in self._requests:
                    _read(request)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self._path} cannot be read; delete it, and the files on disk are checked again"
                ) from error

    def find(self, options: dict) -> Transfer | None:
        """An earlier request with the same options; None if there is none."""
        return next((_read(request) for request in self._requests if request["options"] == options), None)

    def requested_paths(self) -> set[str]:
        """The paths of all files requested before, relative to the data folder."""
        return {file["path"] for request in self._requests for file in request["files"]}

    @property
    def has_requests(self) -> bool:
        """Whether anything was requested before."""
        return bool(self._requests)

    def save(self, options: dict, transfer: Transfer) -> None:
        """Write a request; it replaces an earlier one with the same options."""
        others = [request for request in self._requests if request["options"] != options]
        self._requests = [*others, {"options": options, **dataclasses.asdict(transfer)}]
        text = json.dumps({"requests": self._requests}, indent=1)
        if not self._path.exists() or self._path.read_text() != text:
            commit.replace(self._path, text.encode())


def remove_wrong_sizes(root: Path, transfer: Transfer) -> None:
    """Delete files of a wrong size, which the client would skip."""
    for file in transfer.files:
        if file.state(root) is FileState.WRONG_SIZE:
            commit.remove(root / file.path)


def remove_leftovers(root: Path, transfer: Transfer) -> None:
    """Delete the partial files of a client that was killed."""
    names = {Path(file.path).name for file in transfer.files}
    for path in _neighbors(root, transfer.files):
        if _is_partial(path, names):
            path.unlink(missing_ok=True)


def bytes_on_disk(root: Path, files: list[RemoteFile]) -> int:
    """The bytes on disk of files that are being downloaded, partial ones included."""
    names = {Path(file.path).name for file in files}
    total = 0
    for path in _neighbors(root, files):
        if path.name in names or _is_partial(path, names):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue  # it was renamed in the meantime
    return total


def _neighbors(root: Path, files: Iterable[RemoteFile]) -> Iterator[Path]:
    """Everything in the folders of these files."""
    for folder in {(root / file.path).parent for file in files}:
        if folder.is_dir():
            yield from folder.glob("*")


def _is_partial(path: Path, names: set[str]) -> bool:
    return path.stem in names and _TEMPORARY.fullmatch(path.suffix) is not None


def _read(request: dict) -> Transfer:
    files = tuple(RemoteFile(**file) for file in request["files"])
    videos = tuple(
        Candidate(v["uid"], float(v["hours"]), tuple(v["tasks"]), tuple(v["scenarios"])) for v in request["videos"]
    )
    for file in files:
        if not isinstance(file.num_bytes, int | None) or Path(file.path).is_absolute() or ".." in file.path.split("/"):
            raise ValueError(file.path)
    return Transfer(request["dataset"], files, videos, float(request["gb_per_hour"]), tuple(request["notes"]))
