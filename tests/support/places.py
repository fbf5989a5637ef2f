"""Where tests make a cache: a local folder or a bucket. Its files are reached without the cache's own stores.

Knows nothing of what is in the files.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from embedonce.cache import commit
from embedonce.cache.layout import LOCK
from embedonce.cache.stores.object_requests import ObjectRequests
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.registry import Location
from embedonce.cache.stores.retries import RetryPolicy

QUICK = RetryPolicy(attempts=4, total_sec=30, first_wait_sec=0.01)


class Place(ABC):
    """location: what a cache is opened with; its string may be given to a command. Names as in a store."""

    location: Location

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """All files by name, but those that lock."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file."""

    @abstractmethod
    def delete(self, name: str) -> None: ...

    def read(self, name: str) -> bytes:
        return self.files()[name]

    def names(self, folder: str) -> list[str]:
        """The last parts of the names in a folder, sorted."""
        return sorted(name.removeprefix(f"{folder}/") for name in self.files() if name.startswith(f"{folder}/"))


class LocalPlace(Place):
    def __init__(self, folder: Path):
        self.location = folder

    def __str__(self) -> str:
        return str(self.location)

    def files(self) -> dict[str, bytes]:
        paths = (path for path in self.location.rglob("*") if path.is_file() and path.name != LOCK)
        return {path.relative_to(self.location).as_posix(): path.read_bytes() for path in paths}

    def write(self, name: str, data: bytes) -> None:
        path = self.location / name
        path.parent.mkdir(parents=True, exist_ok=True)
        commit.replace(path, data)

    def delete(self, name: str) -> None:
        (self.location / name).unlink()


class BucketPlace(Place):
    """A prefix in a bucket of a local S3."""

    def __init__(self, endpoint: str, url: str, retries: RetryPolicy = QUICK, **settings):
        """retries, settings: of the ObjectStore that is its location."""
        from tests.support import s3_server

        self._server, self._endpoint, self.url = s3_server, endpoint, url
        self.bucket, self.prefix = s3_server.parted(url)
        self.client = s3_server.client(endpoint)
        self.location = ObjectStore(ObjectRequests(url, retries), **settings)

    def __str__(self) -> str:
        return self.url

    def files(self) -> dict[str, bytes]:
        found = self._server.objects(self._endpoint, self.url)
        return {name: data for name, data in found.items() if not name.startswith(f"{LOCK}/")}

    def write(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=data)

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + name)
