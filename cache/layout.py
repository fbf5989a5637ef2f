"""Names of the files and folders of a cache."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError, NotACacheError
from embedonce.cache.files import exists, list_folder
from embedonce.cache.limits import brief
from embedonce.cache.schema import CacheIdentity


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
        """What repair took out, one folder for each repair."""
        return self.root / "removed"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those that every cache has."""
        return (self.plan, *self.columns(None), self.labels, self.quarantine, self.attempts)

    def label_folders(self) -> list[Path]:
        """Those of the label sets that are there; none that is a symbolic link, or lies behind one."""
        sets = [path for path in list_folder(self.labels) if path.is_dir() and not path.is_symlink()]
        inner = [path for name in sets for path in (name / "clips", name / "revisions", *self.columns(name.name))]
        return [*sets, *(path for path in inner if path.is_dir() and not path.is_symlink())]

    def label_sets(self) -> tuple[str, ...]:
        """Names of the label sets that were published, sorted. StorageError where that cannot be found out."""
        return tuple(path.name for path in list_folder(self.labels) if self.has_label_set(path.name))

    def has_label_set(self, name: str) -> bool:
        """Whether a label set of this name was published. StorageError where that cannot be found out."""
        return exists(self.labels / name / "label_set.json")

    def columns(self, label_set: str | None) -> tuple[Path, Path]:
        """Folders of shards and of records: of the frames, or of a label set's logits."""
        if label_set is None:
            return self.root / "frames", self.root / "records"
        return self.labels / label_set / "logits", self.labels / label_set / "records"

    def shard_name(self, label_set: str | None, unit: str, suffix: str) -> str:
        """The name of a shard in the cache's store: of frames, or of a label set's logits."""
        folder = self.columns(label_set)[0].relative_to(self.root)
        return f"{folder.as_posix()}/{unit}{suffix}"


def require_cache(root: Path) -> None:
    """NotACacheError where root is no cache."""
    if not Layout(root).identity.is_file():
        found = "does not exist" if not root.exists() else "holds no cache.json, so it is not a cache"
        raise NotACacheError(
            f"{root} {found}; make a cache with: python cli.py extract-teacher --data-dir VIDEOS --cache-dir "
            f"{shlex.quote(str(root))}"
        )


def read_identity(root: Path) -> CacheIdentity:
    """The identity of the cache in root; NotACacheError where there is none."""
    require_cache(root)
    path = Layout(root).identity
    identity = documents.identity_from(documents.read(path), str(path))
    if identity.backend not in BACKENDS:
        raise DamagedError(f"{path}: unknown back end {brief(identity.backend)}; known are {', '.join(BACKENDS)}")
    return identity
