"""`embedonce_cache.json`: the list of all files of a shared cache with their SHA-256, which the last commit writes."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from embedonce.cache import strict_json
from embedonce.cache.schema import check_sha256
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.hub.cache_files import SharedFile, is_cache_file
from embedonce.pipeline.hub.embedding_tables import is_table_file

FORMAT = 1
MAX_BYTES = 1 << 30  # of a manifest
CACHE, EMBEDDINGS = "cache", "embeddings"
_IS_ALLOWED: dict[str, Callable[[str], bool]] = {CACHE: is_cache_file, EMBEDDINGS: is_table_file}


class ManifestError(PipelineError, ValueError):
    """A repository has no usable manifest."""

    exit_code = 4


@dataclass(frozen=True)
class Manifest:
    """What a repository holds. kind: CACHE, or EMBEDDINGS without frames. teacher: its name. rows, videos: counts."""

    kind: str
    teacher: str
    rows: int
    videos: int
    files: tuple[SharedFile, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


def serialized(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    files = [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in manifest.files]
    return json.dumps({"format": FORMAT, **asdict(manifest), "files": files}, indent=0).encode()


def parsed(data: bytes, repo: str) -> Manifest:
    """The manifest in bytes that a repository has. ManifestError if they are anything else.

    Names are only those that such a share can have: none leads out of a folder.
    """
    try:
        document = strict_json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r} is unknown; a newer embedonce may read it")
        kind, files = document["kind"], tuple(_files(document["files"], document["kind"]))
        rows, videos = (_count(document[name]) for name in ("rows", "videos"))
        return Manifest(kind, str(document["teacher"]), rows, videos, files)
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{repo}: its embedonce_cache.json is not a list of shared files ({error})") from error


def _files(entries: Iterable[dict[str, Any]], kind: str) -> Iterable[SharedFile]:
    names = set()
    for entry in entries:
        name = entry["name"]
        if not isinstance(name, str) or not _IS_ALLOWED[kind](name) or name in names:
            raise ValueError(f"{name!r} cannot be the name of a file of it")
        names.add(name)
        yield SharedFile(name, _count(entry["size"]), check_sha256(entry["sha256"]))


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
