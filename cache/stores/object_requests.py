"""Requests to the objects below one URL: repeated if they fail for a moment, explained if they fail for good."""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from embedonce.cache.errors import CacheError, DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.object_urls import checked, open_file_system, parsed
from embedonce.cache.stores.request_errors import Failure, Kind
from embedonce.cache.stores.retries import RetryPolicy, repeated

T = TypeVar("T")
_TAGS = ("ETag", "etag", "generation")  # of different client libraries: what changes with the content
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


class ObjectRequests:
    """The objects below one URL. Picklable, and usable after a fork: each process opens its own connections."""

    def __init__(self, url: str, retries: RetryPolicy | None = None):
        self.url, self.retries = url.rstrip("/"), retries or RetryPolicy()
        self.scheme = parsed(self.url)[1]
        self._opened: dict[int, tuple[Any, str]] = {}  # by process; those of a parent are kept: closing them would hang

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": {}}

    def location(self, name: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{name}" if name else self.url

    def open(self) -> tuple[Any, str]:
        """(fsspec file system, path of the URL in it) of this process."""
        process = os.getpid()
        if process not in self._opened:
            self._opened.setdefault(process, open_file_system(self.url))
        return self._opened[process]

    def attempt(self, name: str, call: Callable[[Any, str], T]) -> T | Failure:
        """The result of call(file system, path) for an object or folder, or why it failed."""
        path = checked(name) if name else ""
        file_system, root = self.open()
        return repeated(lambda: call(file_system, f"{root}/{path}".rstrip("/")), self.retries)

    def run(self, name: str, action: str, call: Callable[[Any, str], T]) -> T:
        """The result of call(file system, path). DamagedError if the object is missing, else StorageError.

        action: for the message, such as "read".
        """
        result = self.attempt(name, call)
        if isinstance(result, Failure):
            raise self.error(name, action, result) from result.error
        return result

    def info(self, name: str) -> dict[str, Any] | None:
        """What fsspec knows about an object or folder; None if there is none. StorageError if that is not known."""
        info = self.attempt(name, lambda file_system, path: file_system.info(path))
        if not isinstance(info, Failure):
            return info
        if info.kind is Kind.MISSING:
            return None
        raise self.error(name, "reached", info) from info.error

    def list_folder(self, folder: str) -> list[tuple[str, dict]]:
        """(last part of the name, what fsspec knows about it) of the files and folders in a folder, of any name."""
        found = self._entries(folder, lambda fs, path: [(entry["name"], entry) for entry in fs.ls(path, detail=True)])
        return [(name.rstrip("/"), info) for name, info in found]  # some client libraries end folders with a slash

    def find(self, folder: str) -> list[str]:
        """Paths below a folder of all its files, whatever their names."""
        return [name for name, _ in self._entries(folder, lambda fs, path: [(name, name) for name in fs.find(path)])]

    def parents(self) -> Iterator["ObjectRequests"]:
        """The requests to all URLs that this one is below of, up to the bucket, where access is not refused."""
        (file_system, path), parent = self.open(), self
        for _ in range(path.strip("/").count("/")):
            parent = ObjectRequests(parent.url.rpartition("/")[0], self.retries)
            path = path.rpartition("/")[0]
            parent._opened[os.getpid()] = (file_system, path)
            found = parent.attempt("", lambda fs, path: fs.info(path))
            if not (isinstance(found, Failure) and found.kind is Kind.REFUSED):
                yield parent

    def _entries(self, folder: str, call: Callable[[Any, str], list[tuple[str, T]]]) -> list[tuple[str, T]]:
        """(rest of the path, value) of all paths below the folder that call(file system, path) returns with values."""
        result = self.attempt(folder, lambda file_system, path: (path, call(file_system, path)))
        if not isinstance(result, Failure):
            path, found = result
            start = len(path) + 1
            return [(name[start:], value) for name, value in found if name.startswith(f"{path}/") and name[start:]]
        if result.kind is Kind.MISSING:
            return []
        raise self.error(folder, "listed", result) from result.error

    def error(self, name: str, action: str, failure: Failure) -> CacheError:
        """The error to raise for a request that failed for good."""
        where = self.location(name)
        if failure.kind is Kind.MISSING:
            return DamagedError(f"{where} is missing")
        if failure.kind is Kind.NO_BUCKET:
            bucket = self.open()[1].strip("/").partition("/")[0]
            return StorageError(f"{where} cannot be {action}: the bucket {bucket} does not exist; create it first")
        if failure.kind is Kind.TEMPORARY:
            hint = "try again when the store can be reached"
            return StorageError(f"{where} cannot be {action}, also after several attempts: {failure.reason}; {hint}")
        return StorageError(f"{where} cannot be {action}: {failure.reason}")


def version_of(info: dict) -> FileVersion:
    """The version of an object, from what fsspec knows about it."""
    tag = next((str(info[key]) for key in _TAGS if info.get(key)), None)
    time_of = modified_at(info)
    return FileVersion(info["size"], tag or str(time_of.timestamp() if isinstance(time_of, datetime) else time_of))


def modified_at(info: dict) -> Any:
    """When an object was last written, by the store's clock, from what fsspec knows about it."""
    return next((info[key] for key in _TIMES if info.get(key)), None)
