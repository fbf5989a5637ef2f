"""URLs of object stores, the names that may be used in them, and the fsspec file system that opens them."""

import re
import urllib.parse
from dataclasses import dataclass
from typing import Any

from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.limits import brief

_PATIENT = {"connect_timeout": 10, "read_timeout": 60, "retries": {"mode": "standard", "total_max_attempts": 1}}
_MAX_NAME_BYTES = 900  # S3 and Google allow 1,024 with the prefix
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\?#*\[\]]|::|://")

_SECRET = re.compile(r"(?<=://)[^/?#]*@|[?#].*", re.DOTALL)  # what a message does not show of a URL


@dataclass(frozen=True)
class Scheme:
    """What is known about the stores of one URL scheme.

    extra: the extra of this package that installs the client library; empty if it needs none. options: for fsspec.
    loses_answers: a request may be carried out without its client knowing. has_marks: objects carry a mark of their
    upload, by which it is recognized after a lost answer. demands_versions: the client library makes S3's own requests,
    which can demand a version of what they read. compares_versions: an upload can demand the version that it replaces.
    part_bytes: larger uploads are cut into parts, each with its own checksum; None leaves that to the client library.
    """

    extra: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    loses_answers: bool = True
    has_marks: bool = False
    demands_versions: bool = False
    compares_versions: bool = False
    part_bytes: int | None = None


_FULL = {"has_marks": True, "demands_versions": True, "compares_versions": True}
_S3 = Scheme("s3", (("config_kwargs", _PATIENT),), **_FULL, part_bytes=32 << 20)
_GOOGLE = Scheme("gs", part_bytes=32 << 20)
_AZURE = Scheme("azure")
SCHEMES = {
    **{"s3": _S3, "s3a": _S3, "gs": _GOOGLE, "gcs": _GOOGLE, "az": _AZURE, "abfs": _AZURE, "abfss": _AZURE},
    "memory": Scheme(loses_answers=False),
}


def parsed(url: str) -> tuple[str, Scheme]:
    """(scheme, what is known about it) of a URL. StorageError if it cannot be one of an object store."""
    name = url.partition("://")[0].lower()
    if name not in SCHEMES:
        raise StorageError(
            f"{brief(_SECRET.sub('', url))}: the scheme {brief(name)} is not one of {', '.join(SCHEMES)}"
        )
    parts = urllib.parse.urlsplit(url)
    if parts.password is not None:
        raise StorageError(
            f"{name}://…@{parts.hostname}: URLs must not contain passwords; use the store's own settings"
        )
    if not parts.netloc and name != "memory":
        raise StorageError(f"{brief(url)} has no bucket; write {name}://BUCKET/PREFIX")
    prefix = parts.path.rstrip("/").removeprefix("/")
    if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
        raise StorageError(f"{brief(url)} has empty, '.' or '..' parts, which object stores take literally")
    if _UNSAFE.search(url.partition("://")[2]):
        raise StorageError(f"{brief(url)} has characters that cannot be used in the URL of a cache")
    return name, SCHEMES[name]


def open_file_system(url: str) -> tuple[Any, str]:
    """(fsspec file system, path in it) of a URL, without caches of listings and not shared with anyone.

    StorageError if the client library is not installed, or lacks settings that it needs.
    """
    name, scheme = parsed(url)
    import fsspec  # for URLs only: it takes a tenth of a second to import

    options = {"skip_instance_cache": True, "use_listings_cache": False, **dict(scheme.options)}
    try:
        file_system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise StorageError(f'{name}:// needs a library: pip install "embedonce[{scheme.extra}]" ({error})') from error
    except ValueError as error:
        raise StorageError(f"{url} cannot be opened: {str(error).splitlines()[0]}") from error
    if hasattr(file_system, "retries"):
        file_system.retries = 1  # we repeat requests ourselves
    return file_system, path.rstrip("/")


def is_valid(name: str) -> bool:
    """Whether a cache can have a file of this name: a relative path of parts that mean the same in every store."""
    parts = name.split("/")
    size = len(name.encode("utf-8", "surrogatepass"))
    return size <= _MAX_NAME_BYTES and not any(p in ("", ".", "..") for p in parts) and not _UNSAFE.search(name)


def checked(name: str) -> str:
    """Return a name that is valid. DamagedError if it could lead out of the cache, or is read differently by stores."""
    if not is_valid(name):
        raise DamagedError(f"{brief(name)} cannot be the name of a file in a cache")
    return name
