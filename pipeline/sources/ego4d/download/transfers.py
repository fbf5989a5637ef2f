"""What is to be on disk after a download, how much of it is there, and the record of what was asked for.

Knows names and sizes; knows neither S3 nor the client.
"""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import commit, strict_json
from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.download.choice import Candidate

RECORD = "download-ego4d.json"
_TEMPORARY = re.compile(r"\.[0-9A-Fa-f]{8}")  # what the client adds to a name until the file is whole


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file. path: relative to the data folder. uid: the client's name for it. num_bytes: None: not known."""

    path: str
    uid: str
    num_bytes: int | None

    def state(self, root: Path) -> str:
        """`done`, `wrong` (another size) or `missing`. A size that is not known is any but 0."""
        try:
            there = (root / self.path).stat().st_size
        except FileNotFoundError:
            return "missing"
        return "done" if there == self.num_bytes or (self.num_bytes is None and there) else "wrong"


@dataclass(frozen=True)
class Transfer:
    """The files of one data set, and the videos they are for. gb_per_hour: to guess by where sizes are not known."""

    dataset: str
    files: tuple[RemoteFile, ...]
    videos: tuple[Candidate, ...] = ()
    gb_per_hour: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        return all(file.num_bytes is not None for file in self.files)

    def remaining(self, root: Path) -> list[RemoteFile]:
        """The files that are still to be fetched."""
        return [file for file in self.files if file.state(root) != "done"]

    def size(self, files: list[RemoteFile] | tuple[RemoteFile, ...]) -> int:
        """Bytes of some of the files, guessed where they are not known."""
        if self.is_exact:
            return sum(file.num_bytes for file in files)
        hours = sum(video.hours for video in self.videos)
        return round(self.gb_per_hour * 1e9 * hours * len(files) / max(len(self.files), 1))


class DownloadRecord:
    """download-ego4d.json beside the data: the files and sizes of each request, so that it can be taken up again.

    Requests are told apart by their options, a plain dictionary.
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
                    f"{self._path} cannot be read; delete it, and what is on disk is looked at anew"
                ) from error

    def find(self, options: dict) -> Transfer | None:
        """What was asked for with the same options before."""
        return next((_read(request) for request in self._requests if request["options"] == options), None)

    def asked_for(self) -> set[str]:
        """The paths of all files that were asked for before, relative to the data folder."""
        return {file["path"] for request in self._requests for file in request["files"]}

    @property
    def is_there(self) -> bool:
        """Whether anything was asked for before."""
        return bool(self._requests)

    def save(self, options: dict, transfer: Transfer) -> None:
        """Keep a request in the place of an earlier one with the same options."""
        others = [request for request in self._requests if request["options"] != options]
        self._requests = [*others, {"options": options, **dataclasses.asdict(transfer)}]
        text = json.dumps({"requests": self._requests}, indent=1)
        if not self._path.exists() or self._path.read_text() != text:
            commit.replace(self._path, text.encode())


def remove_wrong(root: Path, transfer: Transfer) -> None:
    """Take away files of another size, which the client would leave as they are."""
    for file in transfer.files:
        if file.state(root) == "wrong":
            commit.remove(root / file.path)


def remove_leftovers(root: Path, transfer: Transfer) -> None:
    """Take away what a client that was killed had begun."""
    names = {Path(file.path).name for file in transfer.files}
    for folder in {(root / file.path).parent for file in transfer.files}:
        for path in folder.glob("*") if folder.is_dir() else ():
            if path.stem in names and _TEMPORARY.fullmatch(path.suffix):
                path.unlink(missing_ok=True)


def bytes_there(root: Path, files: list[RemoteFile]) -> int:
    """Bytes on disk of files that are being fetched, the begun ones included."""
    names = {Path(file.path).name for file in files}
    total = 0
    for folder in {(root / file.path).parent for file in files}:
        for path in folder.glob("*") if folder.is_dir() else ():
            if path.name in names or (path.stem in names and _TEMPORARY.fullmatch(path.suffix)):
                try:
                    total += path.stat().st_size
                except FileNotFoundError:
                    continue  # it got its name meanwhile
    return total


def _read(request: dict) -> Transfer:
    files = tuple(RemoteFile(**file) for file in request["files"])
    videos = tuple(
        Candidate(v["uid"], float(v["hours"]), tuple(v["tasks"]), tuple(v["scenarios"])) for v in request["videos"]
    )
    for file in files:
        if not isinstance(file.num_bytes, int | None) or Path(file.path).is_absolute() or ".." in file.path.split("/"):
            raise ValueError(file.path)
    return Transfer(request["dataset"], files, videos, float(request["gb_per_hour"]), tuple(request["notes"]))
