"""Uploads of objects, and the check that what arrived is what was sent."""

import base64
import hashlib
import secrets
import sys
from collections.abc import Iterator
from typing import Any

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.object_urls import Scheme
from embedonce.cache.stores.request_errors import Kind, failure_of

_MAX_PARTS = 10_000
_MARK = "embedonce-upload"  # name of the metadata of an object that tells whose upload it is
_TAIL_BYTES = 64 << 10  # that are read again where the store has no checksum of the content
_COMPARED_BYTES = 8 << 20  # of one request


class Upload:
    """Bytes on their way to one object, which may take several attempts."""

    def __init__(self, data: bytes, scheme: Scheme):
        self._data, self._scheme, self._mark = data, scheme, secrets.token_hex(16)

    def create(self, file_system: Any, path: str) -> None:
        """Create the object. An error that means Kind.TAKEN if it exists, unless an earlier attempt has created it."""
        self._send_once(file_system, path, "create")

    def exchange(self, file_system: Any, path: str, tag: str) -> None:
        """Replace the object with this ETag. An error that means Kind.TAKEN or Kind.MISSING if it has another one.

        In one request, however large: client libraries cannot demand a version of an upload in parts.
        """
        self._send_once(file_system, path, "overwrite", IfMatch=tag, chunksize=max(1, len(self._data)))

    def _send_once(self, file_system: Any, path: str, mode: str, **options: Any) -> None:
        handled, answer = sys.exception(), None
        try:
            answer = self._send(file_system, path, mode, **options)
        except OSError as error:
            failure = failure_of(error, handled)
            if failure is None or failure.kind is not Kind.TAKEN or not self._is_own(file_system, path):
                raise
        self._verify(file_system, path, answer)

    def overwrite(self, file_system: Any, path: str) -> None:
        """Create or replace the object."""
        self._verify(file_system, path, self._send(file_system, path, "overwrite"))

    def _verify(self, file_system: Any, path: str, answer: Any) -> None:
        """Ask for the checksum of what arrived, unless the store's answer has told it."""
        if not _confirms(answer, self._data):
            verify_upload(file_system, path, self._data, self._scheme)

    def _send(self, file_system: Any, path: str, mode: str, **options: Any) -> Any:
        """Returns the store's answer, if the client library hands it out."""
        if self._scheme.part_bytes:
            options.setdefault("chunksize", part_bytes(len(self._data), self._scheme))
        if self._scheme.has_marks:
            options["Metadata"] = {_MARK: self._mark}
        return file_system.pipe_file(path, self._data, mode=mode, **options)

    def _is_own(self, file_system: Any, path: str) -> bool:
        if self._scheme.has_marks:
            return file_system.metadata(path).get(_MARK) == self._mark
        return self._scheme.loses_answers and is_stored(file_system, path, self._data)


def part_bytes(num_bytes: int, scheme: Scheme) -> int:
    """Bytes of each part of an upload: at most 10,000 parts, in whole MiB."""
    assert scheme.part_bytes
    needed = -(-num_bytes // _MAX_PARTS)
    return max(scheme.part_bytes, -(-needed >> 20) << 20)


def verify_upload(file_system: Any, path: str, data: bytes, scheme: Scheme) -> None:
    """StorageError if the object differs from data.

    It is compared by the checksum that the store has computed; if that is of no known kind, for example of encrypted
    bytes, by its size and its last bytes.
    """
    info = file_system.info(path)
    if info["size"] != len(data):
        raise StorageError(f"{path} has {info['size']} bytes after {len(data)} were uploaded; run the command again")
    stored = _checksum(info)
    if any(stored == expected for expected in _expected(data, scheme)):
        return
    start = max(0, len(data) - _TAIL_BYTES)
    if data and file_system.cat_file(path, start=start, end=len(data)) != data[start:]:
        raise StorageError(f"{path} holds other bytes than were uploaded; run the same command again")


def is_stored(file_system: Any, path: str, data: bytes) -> bool:
    """Whether an object has exactly these bytes."""
    if file_system.info(path)["size"] != len(data):
        return False
    starts = range(0, len(data), _COMPARED_BYTES)
    ranges = [(start, min(start + _COMPARED_BYTES, len(data))) for start in starts]
    return all(file_system.cat_file(path, start=start, end=stop) == data[start:stop] for start, stop in ranges)


def abort_uploads(file_system: Any, folders: list[str]) -> None:
    """Delete the parts of unfinished uploads to folders of one bucket, where the client library can list them.

    folders: their paths, with a slash at the end. A bucket itself may have uploads of others.
    """
    if not folders or not hasattr(file_system, "list_multipart_uploads"):
        return
    bucket = folders[0].partition("/")[0]
    starts = tuple(start for folder in folders if (start := folder.partition("/")[2]))
    for left in file_system.list_multipart_uploads(bucket):
        if left["Key"].startswith(starts):
            file_system.abort_mpu(bucket, left["Key"], left["UploadId"])


def _confirms(answer: Any, data: bytes) -> bool:
    """Whether the answer to an upload in one piece has the MD5 of what arrived, and data has the same."""
    return isinstance(answer, dict) and _checksum(answer) == _md5(data).hexdigest()


def _checksum(info: dict) -> str:
    """The MD5 that a store knows of an object, in hexadecimal, or S3's of the parts; empty if it knows none."""
    if encoded := info.get("md5Hash"):
        return base64.b64decode(encoded).hex()
    return str(info.get("ETag") or "").strip('"').lower()


def _expected(data: bytes, scheme: Scheme) -> Iterator[str]:
    """The checksums that an object of these bytes may have: of an upload in parts if it is large, and of one piece."""
    size = part_bytes(len(data), scheme) if scheme.part_bytes else 0
    if size and len(data) >= 2 * size:
        digests = [_md5(data[start : start + size]).digest() for start in range(0, len(data), size)]
        yield f"{_md5(b''.join(digests)).hexdigest()}-{len(digests)}"
    yield _md5(data).hexdigest()


def _md5(data: bytes):
    return hashlib.md5(data, usedforsecurity=False)
