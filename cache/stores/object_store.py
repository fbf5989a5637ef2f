"""The store in a bucket: objects below a URL such as s3://bucket/prefix, reached through fsspec.

A file is published by one conditional request that fails if the name is taken. The store needs no other guarantee.
"""

import contextlib
import functools
import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from embedonce.cache.errors import AlreadyCommittedError, DamagedError, StorageError
from embedonce.cache.stores.base import MAX_DOCUMENT_BYTES, FileVersion, Lock, Store, StoredFile
from embedonce.cache.stores.lease import Lease, SharedLease
from embedonce.cache.stores.lease_folder import LeaseFolder, LeaseTimes
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_file import ObjectFile
from embedonce.cache.stores.object_requests import ObjectRequests, version_of
from embedonce.cache.stores.object_urls import checked, is_valid
from embedonce.cache.stores.read_at_once import read_at_once
from embedonce.cache.stores.request_errors import Failure, Kind
from embedonce.cache.stores.retries import RetryPolicy
from embedonce.cache.stores.uploads import Upload, abort_uploads

T = TypeVar("T")
R = TypeVar("R")

_FIRST_READ = 1 << 20  # bytes of the first request for a document
_AT_ONCE = 16  # requests for documents
_LOG = logging.getLogger(__name__)
_MEMORY = threading.Lock()  # fsspec's memory:// checks and creates in two steps


class ObjectStore(Store):
    """Objects below one URL. Two stores of the same URL are equal.

    copies: keeps whole files on this machine that were read for a good part; None keeps none. versions: in which some
    files are read; the others are read as they are.
    """

    has_folders = False
    puts_at_once = 3  # where the bytes of one shard are sent while others are encoded, or their answers are waited for

    def __init__(
        self,
        requests: ObjectRequests,
        copies: LocalCopies | None = None,
        lease_times: LeaseTimes | None = None,
        versions: dict[str, FileVersion] | None = None,
    ):
        self._requests, self._copies, self._lease_times = requests, copies, lease_times or LeaseTimes()
        self._versions = versions or {}

    @classmethod
    def from_url(cls, url: str, copies: LocalCopies | None = None, retries: RetryPolicy | None = None) -> "ObjectStore":
        """The store at a URL. StorageError if its scheme is unknown, or its library is not installed."""
        store = cls(ObjectRequests(url, retries), copies)
        store._requests.open()
        return store

    def __reduce__(self) -> tuple:
        return ObjectStore, (self._requests, self._copies, self._lease_times, self._versions)

    def __eq__(self, other) -> bool:
        return isinstance(other, ObjectStore) and other._requests.url == self._requests.url

    def __hash__(self) -> int:
        return hash(self._requests.url)

    def __repr__(self) -> str:
        return f"ObjectStore({self._requests.url!r})"

    def location(self, name: str) -> str:
        return self._requests.location(name)

    # -- writing -------------------------------------------------------------------------------------------------------

    def put_if_absent(self, name: str, data: bytes) -> None:
        """Create an object. If the answer was lost, it is recognized by its mark, on S3, or by its bytes."""
        upload = Upload(data, self._requests.scheme)
        with contextlib.nullcontext() if self._requests.scheme.loses_answers else _MEMORY:
            result = self._requests.attempt(name, upload.create)
        if not isinstance(result, Failure):
            return
        if result.kind is Kind.TAKEN:
            raise AlreadyCommittedError(
                f"{self.location(name)} exists already: another writer published it first"
            ) from result.error
        raise self._write_error(name, result) from result.error

    def replace(self, name: str, data: bytes) -> None:
        result = self._requests.attempt(name, Upload(data, self._requests.scheme).overwrite)
        if isinstance(result, Failure):
            raise self._write_error(name, result) from result.error

    def replace_version(self, name: str, version: FileVersion, data: bytes) -> None:
        upload = Upload(data, self._requests.scheme)
        if not self._requests.scheme.compares_versions:
            return super().replace_version(name, version, data)
        result = self._requests.attempt(name, lambda fs, path: upload.exchange(fs, path, version.tag))
        if not isinstance(result, Failure):
            return None
        if result.kind is Kind.UNSUPPORTED:
            return super().replace_version(name, version, data)
        if result.kind in (Kind.TAKEN, Kind.MISSING):
            raise AlreadyCommittedError(f"{self.location(name)} was changed by another writer") from result.error
        raise self._write_error(name, result) from result.error

    def move(self, name: str, target: str) -> None:
        """Copy, then delete: objects have no other names."""
        file = self.open(name)
        try:
            self.put_if_absent(target, file.read_at(0, file.size))
        except AlreadyCommittedError as error:
            raise StorageError(f"{self.location(name)} cannot be moved: {self.location(target)} exists") from error
        finally:
            file.close()
        self.delete(name)

    def delete(self, name: str) -> None:
        result = self._requests.attempt(name, lambda fs, path: fs.rm_file(path))
        if isinstance(result, Failure) and result.kind is not Kind.MISSING:
            raise self._requests.error(name, "deleted", result) from result.error

    def delete_folder(self, name: str) -> None:
        for rest in self._requests.find(name):
            self._requests.run(name, "deleted", functools.partial(_remove, rest=rest))

    def make_folder(self, name: str) -> None:
        checked(name) if name else None

    def recover(self, folders: Iterable[str]) -> None:
        """An interrupted upload leaves nothing that has a name, but parts that take space."""
        places = [f"/{checked(name)}/" if name else "/" for name in folders]
        result = self._requests.attempt("", lambda fs, root: abort_uploads(fs, [root + place for place in places]))
        if isinstance(result, Failure):  # an optional permission
            _LOG.info("unfinished uploads to %s are not deleted: %s", self._requests.url, result.reason)

    def lock(self, name: str, is_shared: bool = False) -> Lock:
        if is_shared:
            return SharedLease(LeaseFolder(self, name, self._lease_times), self._lease_times)
        return Lease(self, name, self._lease_times)

    def check_writable(self) -> None:
        name = f".probe-{secrets.token_hex(8)}"
        self.put_if_absent(name, b"first")
        try:
            self.put_if_absent(name, b"second")
        except AlreadyCommittedError:
            return
        finally:
            self.delete(name)
        raise StorageError(
            f"{self._requests.url} lets two writers publish one name: it has no conditional puts (If-None-Match), so "
            "two runs could destroy each other's files; use a store that has them"
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    def open(self, name: str) -> StoredFile:
        file = self._object(name)
        return file.kept or file

    def get(self, name: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """All bytes of a file, in one request if it is small."""
        if name in self._versions:
            return super().get(name, limit)
        first = min(_FIRST_READ, limit + 1)
        data = self._requests.attempt(checked(name), lambda fs, path: fs.cat_file(path, start=0, end=first))
        if not isinstance(data, Failure) and len(data) < first:
            return data
        if isinstance(data, Failure) and data.kind is not Kind.NO_SUCH_RANGE:  # that of an empty object
            raise self._requests.error(name, "read", data) from data.error
        return super().get(name, limit)

    def map(self, read: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """A few items are read at once: a request takes long, however small the file is."""
        return read_at_once(read, items, _AT_ONCE)

    def digest(self, name: str) -> tuple[int, str]:
        with contextlib.closing(self._object(name)) as file:
            return file.size, file.digest()

    @property
    def keeps_copies(self) -> bool:
        return self._copies is not None

    def keep(self, name: str) -> None:
        with contextlib.closing(self._object(name)) as file:
            file.copy()

    def forget(self, name: str) -> bool:
        return self._copies is not None and self._copies.drop(self.location(name), self.version(name))

    def _object(self, name: str) -> ObjectFile:
        return ObjectFile(self._requests, checked(name), self.version(name), self._copies)

    def exists(self, name: str) -> bool:
        return self._requests.info(name) is not None

    def is_folder(self, name: str) -> bool:
        info = self._requests.info(name)
        return info is not None and info["type"] == "directory"

    def list(self, folder: str, suffix: str = "") -> list[str]:
        """Keys that no file of a cache can have are left out: nothing can ask for them by name.

        DamagedError if a key is a file and a folder at once, because readers may disagree about it.
        """
        return [name for name, _ in self._listed(folder, suffix)]

    def versions(self, folder: str, suffix: str = "") -> dict[str, FileVersion]:
        return {name: version_of(info) for name, info in self._listed(folder, suffix) if info["type"] == "file"}

    def _listed(self, folder: str, suffix: str) -> Iterable[tuple[str, dict[str, Any]]]:
        prefix = f"{folder}/" if folder else ""
        found = [(prefix + base, info) for base, info in self._requests.list_folder(folder) if base.endswith(suffix)]
        found.sort(key=lambda entry: entry[0])
        for (name, _), (following, _) in itertools.pairwise(found):
            if name == following:
                raise DamagedError(f"{self.location(name)} is a file and a folder at once")
        return [(name, info) for name, info in found if is_valid(name)]

    def parents(self) -> Iterable[Store]:
        return (ObjectStore(requests) for requests in self._requests.parents())

    def pinned(self, name: str, version: FileVersion) -> "ObjectStore":
        return ObjectStore(self._requests, self._copies, self._lease_times, self._versions | {name: version})

    def version(self, name: str) -> FileVersion:
        if known := self._versions.get(name):
            return known
        info = self.info(name)
        if info["type"] != "file":
            raise DamagedError(f"{self.location(name)} is not a file")
        return version_of(info)

    def info(self, name: str) -> dict[str, Any]:
        """What fsspec knows about an object, such as when it was written. Errors as in open()."""
        return self._requests.run(checked(name), "read", lambda fs, path: fs.info(path))

    def _write_error(self, name: str, failure: Failure) -> Exception:
        if failure.kind is Kind.MISSING:  # a put of an object finds nothing missing but its bucket
            failure = Failure(Kind.NO_BUCKET, failure.reason, failure.error)
        return self._requests.error(name, "written", failure)


def _remove(file_system: Any, path: str, rest: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        file_system.rm_file(f"{path}/{rest}")
