"""The kinds of URLs that files can be read from, and the fsspec file system behind each. Reads nothing.

fsspec and its back ends are imported when a URL is first used, as they take long to import.
"""

import functools
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from embedonce.pipeline.errors import InputError

CONNECT_SEC, READ_SEC = 10.0, 30.0  # of silence after which a request is given up
URL_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _no_options() -> dict[str, Any]:
    return {}


def _s3_options() -> dict[str, Any]:
    """One attempt per call: s3fs and retries.py try again themselves."""
    limits = {"connect_timeout": CONNECT_SEC, "read_timeout": READ_SEC / 2}
    return {"config_kwargs": {"retries": {"total_max_attempts": 1}, **limits}}


def _http_options() -> dict[str, Any]:
    """Proxies of the environment are used; bodies are never compressed, so that ranges are those of the file."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SEC, sock_read=READ_SEC)
    client = {"timeout": timeout, "trust_env": True}
    return {"client_kwargs": client, "headers": {"Accept-Encoding": "identity"}}


@dataclass(frozen=True)
class Backend:
    """What reads one kind of URL.

    package: the Python package that it needs besides fsspec, and the extra of this project that installs it. errors:
    what its calls raise besides OSError, as `module:class`. options: of the file system. has_listing: whether a listing
    states the size and version of each file.
    """

    package: str = ""
    extra: str = ""
    errors: tuple[str, ...] = ()
    options: Callable[[], dict[str, Any]] = _no_options
    has_listing: bool = True


_AIOHTTP = "aiohttp:ClientError"
_S3 = Backend(
    "s3fs", "s3", ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError", _AIOHTTP), _s3_options
)
_GS = Backend("gcsfs", "gs", ("google.auth.exceptions:GoogleAuthError", "gcsfs.retry:HttpError", _AIOHTTP))
_AZ = Backend("adlfs", "az", ("azure.core.exceptions:AzureError", _AIOHTTP))
_HTTP = Backend("aiohttp", "http", (_AIOHTTP,), _http_options, has_listing=False)
BACKENDS: Mapping[str, Backend] = {
    **{"s3": _S3, "gs": _GS, "az": _AZ, "abfs": _AZ, "http": _HTTP, "https": _HTTP},
    "memory": Backend(),  # of this process alone
}


def is_url(text: object) -> bool:
    """Whether this is a URL and not a local path; also of a kind that is not known."""
    return isinstance(text, str) and URL_PATTERN.match(text) is not None


def check_url(url: str) -> None:
    """InputError for a kind of URL that is not known, and for one that lacks its bucket or host or has a password."""
    scheme = scheme_of(url)
    if scheme not in BACKENDS:
        known = ", ".join(f"{name}://" for name in BACKENDS)
        raise InputError(f"{shown(url)} is a URL of an unknown kind, {scheme}://; known are {known} and local folders")
    parts = urlsplit(url)
    if parts.username is not None and BACKENDS[scheme] is _HTTP:
        raise InputError(f"{shown(url)} contains a user name, which would be stored with the results: leave it out")
    if not parts.netloc and scheme != "memory":
        raise InputError(f"{url} names no bucket or host; write {scheme}://NAME/FOLDER")


def scheme_of(url: str) -> str:
    return url.partition("://")[0].lower()


def shown(url: str) -> str:
    """A URL for messages: without the query, which may contain a signature, and without a password."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https"):
        return url
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def file_system(url: str) -> Any:
    """The fsspec file system that reads a URL. InputError if a package that it needs is not installed."""
    import fsspec

    scheme = scheme_of(url)
    backend = BACKENDS[scheme]
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False, **backend.options())
    except ImportError as error:
        install = f"pip install 'embedonce[{backend.extra}]'"
        raise InputError(f"{scheme}:// needs the package {backend.package}; install it with: {install}") from error


@functools.cache
def errors_of(scheme: str) -> tuple[type[Exception], ...]:
    """The exceptions by which calls of a file system fail."""
    named = [name.partition(":") for name in BACKENDS[scheme].errors]
    return (OSError, *(getattr(importlib.import_module(module), name) for module, _, name in named))
