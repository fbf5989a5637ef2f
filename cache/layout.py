"""Paths of the files and folders of a cache."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, NotACacheError
from embedonce.cache.files import exists, list_folder
from embedonce.cache.identity_document import identity_from
from embedonce.cache.limits import brief
from embedonce.cache.schema import CacheIdentity


class ColumnPaths(NamedTuple):
    """The folders of one column of shards: frames, or the logits of a label set."""

    shards: Path
    records: Path


@dataclass(frozen=True)
class Layout:
    """Paths inside a cache folder."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "cache.json"

    @property
    def lock(self) -> Path:
        return self.root / ".writer.lock"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def labels(self) -> Path:
        return self.root / "labels"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    @property
    def removed(self) -> Path:
        """Files that repairs moved away, in one folder per repair."""
        return self.root / "removed"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that every cache has."""
        return (self.plan, *self.frame_paths(), self.labels, self.quarantine, self.attempts)

    def label_folders(self) -> list[Path]:
        """The existing folders of all label sets, without symbolic links and whatever is behind them."""
        sets = [path for path in list_folder(self.labels) if path.is_dir() and not path.is_symlink()]
        inner = [path for name in sets for path in (name / "clips", name / "revisions", *self.logit_paths(name.name))]
        return [*sets, *(path for path in inner if path.is_dir() and not path.is_symlink())]

    def label_sets(self) -> tuple[str, ...]:
        """Names of the published label sets, sorted. StorageError if that cannot be determined."""
        return tuple(path.name for path in list_folder(self.labels) if self.has_label_set(path.name))

    def has_label_set(self, name: str) -> bool:
        """Whether a label set of this name was published. StorageError if that cannot be determined."""
        return exists(self.label_set_document(name))

    def label_set_document(self, name: str) -> Path:
        return self.labels / name / "label_set.json"

    def frame_paths(self) -> ColumnPaths:
        return ColumnPaths(self.root / "frames", self.root / "records")

    def logit_paths(self, label_set: str) -> ColumnPaths:
        return ColumnPaths(self.labels / label_set / "logits", self.labels / label_set / "records")

    def column_paths(self, label_set: str | None) -> ColumnPaths:
        """The folders of a label set's logits, or of the frames for None."""
        return self.frame_paths() if label_set is None else self.logit_paths(label_set)

    def shard_name(self, label_set: str | None, unit: str, suffix: str) -> str:
        """The name of a shard in the cache's store: of a label set's logits, or of the frames for None."""
        folder = self.column_paths(label_set).shards.relative_to(self.root)
        return f"{folder.as_posix()}/{unit}{suffix}"

    def plan_part(self, number: int) -> Path:
        return self.plan / numbered_file(number)


def numbered_file(number: int) -> str:
    """The name of the document of a plan part, clip list or revision."""
    return f"{number:06d}.json"


def require_cache(root: Path) -> None:
    """NotACacheError if root is not a cache."""
    if not Layout(root).identity.is_file():
        problem = "does not exist" if not root.exists() else "holds no cache.json, so it is not a cache"
        raise NotACacheError(
            f"{root} {problem}; make a cache with: python cli.py extract-teacher --data-dir VIDEOS --cache-dir "
            f"{shlex.quote(str(root))}"
        )


def read_identity(root: Path) -> CacheIdentity:
    """The identity of the cache in root. NotACacheError if root is not a cache, DamagedError if it cannot be read."""
    require_cache(root)
    path = Layout(root).identity
    identity = identity_from(documents.read(path), str(path))
    if identity.backend not in BACKENDS:
        raise DamagedError(f"{path}: unknown back end {brief(identity.backend)}; known are {', '.join(BACKENDS)}")
    return identity
