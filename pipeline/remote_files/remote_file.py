"""One file behind a URL, as a listing described it: used like a path by what reads videos."""

import email.utils
import hashlib
import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from embedonce.pipeline.remote_files.addresses import file_system, scheme_of, shown
from embedonce.pipeline.remote_files.failures import RemoteError, changed
from embedonce.pipeline.remote_files.ranged_file import RangedFile
from embedonce.pipeline.remote_files.retries import with_retries
from embedonce.pipeline.remote_files.spool import Spool, SpooledFile

BUFFER_BYTES = 1 << 16
_VERSIONS = ("ETag", "etag", "generation", "md5Hash", "Content-MD5", "Digest")  # in fsspec's descriptions of files
_TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "modified", "created")


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL. All processes of a run that read it share what was downloaded.

    version: differs if the content differs, as far as the server tells. modified_ns: when it was last modified, in ns
    since 1970, or 0 if unknown. spool: of the run.
    """

    url: str
    num_bytes: int
    version: str
    modified_ns: int
    spool: Spool

    @classmethod
    def of(cls, url: str, info: Mapping[str, Any], spool: Spool) -> "RemoteFile":
        """The file that fsspec describes so. RemoteError if its length is unknown."""
        if info.get("size") is None:
            raise RemoteError(f"the server does not state the length of {shown(url)}")
        return cls(url, int(info["size"]), version_of(info), _modified_ns(info), spool)

    def __str__(self) -> str:
        return shown(self.url)

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
        self.check_version()
        name = hashlib.sha256(f"{self.url}\n{self.version}".encode()).hexdigest()[:32]
        return io.BufferedReader(RangedFile(self, SpooledFile(self.spool, name, self.num_bytes)), BUFFER_BYTES)

    def stat(self) -> os.stat_result:
        """What the listing stated, as for a local file."""
        digest = hashlib.sha256(self.url.encode()).digest()
        values = (stat.S_IFREG | 0o444, int.from_bytes(digest[:7]) + 1, 0, 1, 0, 0, self.num_bytes)
        seconds = self.modified_ns // 10**9
        return os.stat_result((*values, seconds, seconds, seconds), {"st_mtime_ns": self.modified_ns})

    def check_version(self) -> None:
        """RemoteError if the file is gone, or is not the one that was listed."""
        info = with_retries(lambda: file_system(self.url).info(self.url), self.url)
        if info.get("size") != self.num_bytes or version_of(info) != self.version:
            raise changed(self.url)


def name_of(url: str) -> str:
    """The last part of a URL, as the name of a file."""
    path = unquote(urlsplit(url).path) if scheme_of(url) in ("http", "https") else url
    return path.rstrip("/").rpartition("/")[2]


def version_of(info: Mapping[str, Any]) -> str:
    """The ETag or a checksum, and otherwise the time of the last change; as fsspec describes a file."""
    known = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    return known.strip('"') or str(_modified_ns(info))


def _modified_ns(info: Mapping[str, Any]) -> int:
    value = next((info[name] for name in _TIMES if info.get(name)), None)
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value) if value[:4].isdigit() else email.utils.parsedate_to_datetime(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        return round(float(value) * 10**9) if value is not None else 0
    except (ValueError, TypeError, OverflowError):
        return 0  # a date that servers may write as they like
