"""Names of the files and folders of a cache in its store."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from embedonce.cache import documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.command_lines import as_argument, program, quoted
from embedonce.cache.errors import DamagedError, NotACacheError
from embedonce.cache.identity_document import identity_from
from embedonce.cache.limits import brief
from embedonce.cache.schema import UID_PATTERN, CacheIdentity
from embedonce.cache.stores.base import Store
from embedonce.cache.stores.registry import Location, open_store
from embedonce.cache.stores.stored_path import StoredPath

LOCK = ".writer.lock"
FILE_FINGERPRINTS = "file_fingerprints.json"
CONTINUED = ".continued"  # suffix of a folder with what a document of the same stem does not hold itself


class TeacherColumn(NamedTuple):
    """The column of an added teacher: its embeddings of all stored frames."""

    teacher: str


Column = str | TeacherColumn | None  # of shards: logits of a label set of this name, an added teacher's, or frames


class ColumnPaths(NamedTuple):
    """The folders of one column of shards: frames, the logits of a label set, or embeddings of an added teacher."""

    shards: StoredPath
    records: StoredPath


@dataclass(frozen=True)
class Layout:
    """Files and folders of the cache in a store."""

    store: Store

    @classmethod
    def at(cls, where: Location) -> "Layout":
        """The layout of a cache at a location."""
        return cls(open_store(where))

    @property
    def root(self) -> StoredPath:
        """The cache itself."""
        return StoredPath(self.store)

    @property
    def identity(self) -> StoredPath:
        return self.root / "cache.json"

    @property
    def lock(self) -> StoredPath:
        return self.root / LOCK

    @property
    def manifest(self) -> StoredPath:
        return self.root / "manifest.json"

    @property
    def plan(self) -> StoredPath:
        return self.root / "plan"

    @property
    def quarantine(self) -> StoredPath:
        return self.root / "quarantine"

    @property
    def labels(self) -> StoredPath:
        return self.root / "labels"

    @property
    def teachers(self) -> StoredPath:
        """Embeddings of added teachers. Made when the first one is added."""
        return self.root / "teachers"

    @property
    def attempts(self) -> StoredPath:
        return self.root / "attempts"

    @property
    def removed(self) -> StoredPath:
        """Files that repairs moved away, in one folder per repair."""
        return self.root / "removed"

    @property
    def withdrawn(self) -> StoredPath:
        """Videos that were removed for good, by hashes. Made when the first one is removed."""
        return self.root / "withdrawn"

    @property
    def removal(self) -> StoredPath:
        """The removal that is under way, if any."""
        return self.root / "removal.json"

    @property
    def file_fingerprints(self) -> StoredPath:
        """Fingerprints of video files as the last extraction computed them, which save time and decide nothing."""
        return self.root / FILE_FINGERPRINTS

    @property
    def folders(self) -> tuple[StoredPath, ...]:
        """The folders that every cache has."""
        return (self.plan, *self.frame_paths(), self.labels, self.quarantine, self.attempts)

    def label_folders(self) -> list[StoredPath]:
        """The existing folders of all label sets, without symbolic links and whatever is behind them."""
        sets = [path for path in self.labels.list() if path.is_folder()]
        inner = [path for name in sets for path in self._label_set_folders(name)]
        return [*sets, *(path for path in inner if path.is_folder())]

    def teacher_folders(self) -> list[StoredPath]:
        """The existing folders of added teachers, as label_folders(), and the folder that has them."""
        if not self.teachers.is_folder():
            return []
        teachers = [path for path in self.teachers.list() if path.is_folder()]
        inner = [path for folder in teachers for path in self.teacher_paths(folder.name)]
        return [self.teachers, *teachers, *(path for path in inner if path.is_folder())]

    def refuse_teacher_links(self) -> None:
        """DamagedError if a folder of an added teacher is a symbolic link."""
        names = [path.name for path in self.teachers.list()]
        inner = [path for name in names for path in (self.teachers / name, *self.teacher_paths(name))]
        self.refuse_links((self.teachers, *inner))

    def _label_set_folders(self, label_set: StoredPath) -> tuple[StoredPath, ...]:
        name = label_set.name
        return (label_set / "clips", label_set / "revisions", *self.logit_paths(name), self.text_vectors(name))

    def continued_folders(self) -> list[StoredPath]:
        """The existing folders with continuations of documents."""
        sets = [path for path in self.labels.list() if path.is_folder()]
        places = [self.root, *sets, *(path / inner for path in sets for inner in ("clips", "revisions"))]
        return [path for place in places for path in place.list(CONTINUED) if path.is_folder()]

    def recover(self) -> None:
        """Make what an interrupted writer left durable, and delete its temporary files. The caller holds the lock."""
        made_late = [folder for folder in (self.withdrawn,) if folder.exists()]
        folders = (self.root, *self.folders, *made_late, *self._inner_folders())
        self.store.recover(folder.relative for folder in folders)

    def sync(self, folders: Iterable[StoredPath] | None = None) -> None:
        """Make durable what other writers have published in these folders, or in all. The caller holds the lock."""
        if not self.store.has_folders:
            return
        if folders is None:
            folders = (self.root, *self.folders, *self._inner_folders())
        self.store.sync(folder.relative for folder in folders)

    def _inner_folders(self) -> list[StoredPath]:
        return [*self.label_folders(), *self.teacher_folders(), *self.continued_folders()]

    def refuse_links(self, folders: Iterable[StoredPath] | None = None) -> None:
        """DamagedError if one of these folders, or of those that every cache has, is a symbolic link."""
        self.store.refuse_links(path.relative for path in (self.folders if folders is None else folders))

    def label_sets(self) -> tuple[str, ...]:
        """Names of the published label sets, sorted. StorageError if that cannot be determined.

        Folders with other names, such as a copy with the suffix .bak, are no label sets.
        """
        return tuple(name for name in _names_in(self.labels) if self.has_label_set(name))

    def has_label_set(self, name: str) -> bool:
        """Whether a label set of this name was published. StorageError if that cannot be determined."""
        return self.label_set_document(name).exists()

    def label_set_document(self, name: str) -> StoredPath:
        return self.labels / name / "label_set.json"

    def added_teachers(self) -> tuple[str, ...]:
        """Names of the teachers that were added to the first one, sorted. Errors and other folders as label_sets()."""
        return tuple(name for name in _names_in(self.teachers) if self.teacher_document(name).exists())

    def teacher_document(self, name: str) -> StoredPath:
        return self.teachers / name / "teacher.json"

    def teacher_settings(self, name: str) -> StoredPath:
        """The settings that an added teacher was last run with, if any; not needed for reading."""
        return self.teachers / name / "add_teacher_config.yaml"

    def columns(self) -> tuple[Column, ...]:
        """All columns of shards: the frames, then those that depend on them."""
        return (None, *self.label_sets(), *map(TeacherColumn, self.added_teachers()))

    def texts_document(self, label_set: str) -> StoredPath:
        """The document with the texts of a label set's clips, if they have any."""
        return self.labels / label_set / "texts.json"

    def text_vectors(self, label_set: str) -> StoredPath:
        """The folder of the vectors of these texts."""
        return self.labels / label_set / "texts.vectors"

    def frame_paths(self) -> ColumnPaths:
        return ColumnPaths(self.root / "frames", self.root / "records")

    def logit_paths(self, label_set: str) -> ColumnPaths:
        return ColumnPaths(self.labels / label_set / "logits", self.labels / label_set / "records")

    def teacher_paths(self, teacher: str) -> ColumnPaths:
        return ColumnPaths(self.teachers / teacher / "columns", self.teachers / teacher / "records")

    def column_paths(self, column: Column) -> ColumnPaths:
        """The folders of a column."""
        if isinstance(column, TeacherColumn):
            return self.teacher_paths(column.teacher)
        return self.frame_paths() if column is None else self.logit_paths(column)

    def shard_name(self, column: Column, unit: str, suffix: str) -> str:
        """The name of a shard of a column in the cache's store."""
        return (self.column_paths(column).shards / f"{unit}{suffix}").relative

    def plan_part(self, number: int) -> StoredPath:
        return self.plan / numbered_file(number)


def _names_in(folder: StoredPath) -> list[str]:
    """The names in a folder that a label set or an added teacher can have."""
    return [path.name for path in folder.list() if UID_PATTERN.fullmatch(path.name)]


def teacher_files(layout: Layout, name: str) -> list[StoredPath]:
    """The files in the folders of an added teacher, without its document."""
    return [path for folder in layout.teacher_paths(name) for path in folder.list()]


def numbered_file(number: int) -> str:
    """The name of the document of a plan part, clip list or revision."""
    return f"{number:06d}.json"


def continued_folder(document: StoredPath) -> StoredPath:
    """The folder of a document's continuations, if it has any."""
    return document.parent / f"{document.stem}{CONTINUED}"


def require_cache(where: Location) -> Layout:
    """The layout of the cache at a location. NotACacheError if there is none."""
    layout = Layout.at(where)
    if not layout.identity.exists():
        root = layout.root
        problem = "holds no cache.json, so it is not a cache" if root.exists() else "does not exist"
        raise NotACacheError(
            f"{root} {problem}; make a cache with: {program()} extract-teacher --data-dir VIDEOS --cache-dir "
            f"{quoted(as_argument(str(root)))}"
        )
    return layout


def read_identity(where: Location) -> CacheIdentity:
    """The identity of the cache at a location. NotACacheError if there is none, DamagedError if it cannot be read."""
    path = require_cache(where).identity
    identity = identity_from(documents.read(path), str(path))
    if identity.backend not in BACKENDS:
        raise DamagedError(f"{path}: unknown back end {brief(identity.backend)}; known are {', '.join(BACKENDS)}")
    return identity
