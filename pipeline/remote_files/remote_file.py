"""One file behind a URL, as a listing described it: used like a path by what reads videos."""

import hashlib
import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.object_requests import modified_at, version_of
from embedonce.pipeline.remote_files.addresses import MEMORY, encoded, file_system, is_web, scheme_of, shown
from embedonce.pipeline.remote_files.failures import RemoteError, changed
from embedonce.pipeline.remote_files.ranged_file import RangedFile
from embedonce.pipeline.remote_files.retries import with_retries
from embedonce.pipeline.remote_files.spool import Spool, SpooledFile
from embedonce.pipeline.remote_files.web_pages import as_of_objects

BUFFER_BYTES = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL. All processes of a run that read it share what was downloaded.

    version: differs if the content differs, as far as the server tells. modified_ns: when it was last modified, in ns
    since 1970, or 0 if unknown. spool: of the run. is_checked: open() need not ask whether it has changed.
    """

    url: str = field(repr=False)  # may contain a token
    version: FileVersion
    modified_ns: int
    spool: Spool
    is_checked: bool = field(default=False, compare=False, repr=False)

    @classmethod
    def of(cls, url: str, info: Mapping[str, Any], spool: Spool) -> "RemoteFile":
        """The file that fsspec describes so. RemoteError if its length is unknown."""
        if info.get("size") is None:
            raise RemoteError(f"the server does not state the length of {shown(url)}")
        return cls(url, version_of(dict(info)), _nanoseconds(modified_at(dict(info))), spool)

    @property
    def num_bytes(self) -> int:
        return self.version.num_bytes

    @property
    def share_of_spool(self) -> float:
        """The part of the space for temporary copies that this file takes; above 1 if it does not fit."""
        return self.num_bytes / max(self.spool.max_bytes, 1)

    def __str__(self) -> str:
        return shown(self.url)

    def __reduce__(self) -> tuple:
        """Files of memory:// exist in this process alone: to others, they are a temporary file of the run."""
        if scheme_of(self.url) != MEMORY:
            return RemoteFile, (self.url, self.version, self.modified_ns, self.spool)
        with self.open() as file:
            return Path, (self.spool.store(self._key() + PurePosixPath(self.name).suffix, file.read()),)

    @property
    def name(self) -> str:
        return name_of(self.url)

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The file, open for reading anywhere. RemoteError, also from its methods, if it is gone, was changed since it
        was listed, or cannot be read now.
        """
        assert mode == "rb"
        if not self.is_checked:
            self.check_version()
        return io.BufferedReader(RangedFile(self, SpooledFile(self.spool, self._key(), self.num_bytes)), BUFFER_BYTES)

    def checked(self) -> "RemoteFile":
        """The same file, to be opened several times in a short time. RemoteError if it is gone, or was changed since it
        was listed; after anything was downloaded, that is checked again.
        """
        self.check_version()
        return replace(self, is_checked=True)

    def stat(self) -> os.stat_result:
        """What the listing stated, as for a local file."""
        digest = hashlib.sha256(self.url.encode("utf-8", "surrogateescape")).digest()
        values = (stat.S_IFREG | 0o444, int.from_bytes(digest[:7]) + 1, 0, 1, 0, 0, self.num_bytes)
        seconds = self.modified_ns // 10**9
        return os.stat_result((*values, seconds, seconds, seconds), {"st_mtime_ns": self.modified_ns})

    def check_version(self) -> None:
        """RemoteError if the file is gone, or is not the one that was listed."""
        info = described(self.url)
        if info.get("size") is None or version_of(info) != self.version:
            raise changed(self.url)

    def _key(self) -> str:
        """The name of its temporary copy."""
        return hashlib.sha256(f"{self.url}\n{self.version}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def described(url: str) -> dict[str, Any]:
    """What fsspec knows about a file, of a web server with the names that object stores use. RemoteError as open()."""
    if is_web(url):
        return as_of_objects(with_retries(lambda: file_system(url).info(encoded(url)), url))
    return with_retries(lambda: file_system(url).info(url), url)


def name_of(url: str) -> str:
    """The last part of a URL, as the name of a file."""
    path = unquote(urlsplit(url).path, errors="surrogateescape") if is_web(url) else url
    return path.rstrip("/").rpartition("/")[2]


def _nanoseconds(time: Any) -> int:
    """A time as a client library gives it, in ns since 1970; 0 if it is unknown."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            return 0
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return round(time * 10**9) if isinstance(time, int | float) else 0
