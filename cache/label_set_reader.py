"""Reading the label sets of a cache: classes, clips, heads, and the records of their logits."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from embedonce.cache import documents, long_documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError, LabelSetError
from embedonce.cache.heads import tensors_of
from embedonce.cache.labels import ClipLabel, LabelSet, clip_from, label_set_from
from embedonce.cache.layout import Layout, numbered_file
from embedonce.cache.limits import brief
from embedonce.cache.parsed_folder import ParsedFolder
from embedonce.cache.records import Record, read_record
from embedonce.cache.schema import UID_PATTERN
from embedonce.cache.stores.stored_path import StoredPath


class LabelSetReader:
    """Read access to the label sets of one cache. Each document is parsed once.

    Whoever writes a label set adds what it has written, with the methods that begin with `add_`.
    """

    def __init__(self, layout: Layout):
        self._layout = layout
        self._sets: dict[str, LabelSet] = {}
        self._clips: dict[str, ParsedFolder[tuple[ClipLabel, ...]]] = {}
        self._revisions: dict[str, tuple[StoredPath, dict[int, tuple[ClipLabel, ...]]]] = {}
        self._records: dict[str, ParsedFolder[Record]] = {}
        self._overrides: dict[str, dict[str, Record]] = {}
        self._computes: dict[str, bool] = {}  # label set -> computes_logits()
        self._heads: dict[str, dict[str, np.ndarray] | None] = {}  # label set -> computing_head()

    def refresh(self) -> None:
        """Find what other processes have written since; unchanged documents are not parsed again."""
        self._sets.clear()
        self._revisions.clear()
        self._computes.clear()
        self._heads.clear()
        for clips in self._clips.values():
            clips.refresh()
        for records in self._records.values():
            records.refresh()

    def names(self) -> tuple[str, ...]:
        """Names of the label sets, sorted."""
        return self._layout.label_sets()

    def read(self, name: str | None) -> LabelSet:
        """The label set of this name, or the only one. LabelSetError if there is none, or several and no name."""
        name = self._existing_name(name)
        if name not in self._sets:
            clips = tuple(clip for part in self.clip_parts(name).values() for clip in part)
            self._sets[name] = self._document(name, clips)
            self._computes[name] = self._sets[name].computes_logits
        return self._sets[name]

    def _document(self, name: str, clips: tuple[ClipLabel, ...]) -> LabelSet:
        path = self._layout.label_set_document(name)
        document = long_documents.read(path)
        with documents.as_damaged_error(str(path)):
            labels = label_set_from(document, clips)
        if labels.name != name:
            raise DamagedError(f"{path} is the document of label set {labels.name!r}: it was renamed or copied")
        return labels

    def clip_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """plan part -> clips over its videos, as of the last revision, in order of parts."""
        listed = self._clip_folder(name).values()
        parts = {int(stem): clips for stem, clips in listed.items()} | self.revised_parts(name)
        return dict(sorted(parts.items()))

    def _clip_folder(self, name: str) -> ParsedFolder[tuple[ClipLabel, ...]]:
        if name not in self._clips:
            folder = self._layout.labels / name / "clips"
            self._layout.refuse_links((folder.parent, folder))
            self._clips[name] = ParsedFolder(folder, _read_clips)
        return self._clips[name]

    def revised_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """The parts of a label set's last revision; empty if it was never revised."""
        folder = self._layout.labels / name / "revisions"
        self._layout.refuse_links((folder,))
        paths = folder.list(".json")
        if not paths:
            return {}
        if name not in self._revisions or self._revisions[name][0] != paths[-1]:
            self._revisions[name] = (paths[-1], _read_revision(paths[-1]))
        return self._revisions[name][1]

    def tensors(self, name: str | None) -> bytes | None:
        """The bytes of tensors.safetensors of a label set; None if it has none.

        DamagedError if they are not those that the label set was made with.
        """
        folder = self._layout.labels / self._existing_name(name)
        self._layout.refuse_links((folder,))
        expected = documents.read(folder / "label_set.json").get("tensors_sha256")
        if expected is None:
            return None
        data = (folder / "tensors.safetensors").get()
        if sha256(data) != expected:
            raise DamagedError(f"{folder / 'tensors.safetensors'} is damaged: its SHA-256 is not that of the label set")
        return data

    def head(self, name: str, width: int) -> dict[str, np.ndarray] | None:
        """The tensors of a label set by name, for logits_from(); None if it has none. width: of embeddings.

        DamagedError if they are not a head from such embeddings to the classes.
        """
        data, labels = self.tensors(name), self.read(name)
        if data is None:
            return None
        with documents.as_damaged_error(str(self._layout.labels / labels.name / "tensors.safetensors")):
            return tensors_of(labels, data, width)

    def computing_head(self, name: str, width: int) -> dict[str, np.ndarray] | None:
        """The head that a label set's logits are computed with when they are read; None if they are stored.

        Read once and kept.
        """
        if not self.computes_logits(name):
            return None
        if name not in self._heads:
            self._heads[name] = self.head(name, width)
        return self._heads[name]

    def computes_logits(self, name: str) -> bool:
        """Whether a label set has logits that are not stored; not if there is no such label set."""
        if name not in self._computes:
            if not self._layout.has_label_set(name):
                return False
            self._computes[name] = self._document(name, ()).computes_logits
        return self._computes[name]

    def records(self, name: str) -> dict[str, Record]:
        """unit -> record of a label set's logits; none if it stores no logits."""
        if name in self._overrides:
            return self._overrides[name]
        return {} if self.computes_logits(name) else self._record_folder(name).values()

    def _record_folder(self, name: str) -> ParsedFolder[Record]:
        if name not in self._records:
            folders = self._layout.logit_paths(name)
            self._layout.refuse_links((folders.shards.parent, *folders))
            self._records[name] = ParsedFolder(folders.records, read_record)
        return self._records[name]

    def override_records(self, name: str, records: dict[str, Record]) -> None:
        """Use these records of a label set's logits instead of the stored ones."""
        self._overrides[name] = records

    # -- what was written just now -------------------------------------------------------------------------------------

    def add_set(self, name: str) -> None:
        """A label set was created."""
        self._sets.pop(name, None)

    def add_clips(self, name: str, path: StoredPath, clips: Iterable[ClipLabel]) -> None:
        """A clip list was published."""
        self._sets.pop(name, None)
        self._clip_folder(name).add(path, tuple(clips))

    def add_revision(self, name: str) -> None:
        """The clips were revised."""
        self._sets.pop(name, None)
        self._revisions.pop(name, None)

    def add_record(self, name: str, path: StoredPath, record: Record) -> None:
        """The logits of a unit were committed."""
        self._record_folder(name).add(path, record)

    def _existing_name(self, name: str | None) -> str:
        if name is not None and UID_PATTERN.fullmatch(name) and self._layout.has_label_set(name):
            return name
        names = self.names()
        if name is None and len(names) == 1:
            return names[0]
        if name in names:
            return name
        problem = f"no label set {name!r}"
        if not names:
            problem = "no label set yet; finish extract-teacher first"
        elif name is None:
            problem = "several label sets; choose one"
        raise LabelSetError(f"{self._layout.root} has {problem} (--label-set: {', '.join(names) or 'none'})")


def _read_clips(path: StoredPath) -> tuple[ClipLabel, ...]:
    """The clips in a clip list. DamagedError if it cannot be read."""
    return clips_from(long_documents.read(path), str(path))


def clips_from(document: dict, name: str) -> tuple[ClipLabel, ...]:
    """The clips in the document of a clip list. DamagedError, with its name, if it is invalid."""
    with documents.as_damaged_error(name):
        _check_number(document["part"], name, "plan part")
        return tuple(clip_from(clip) for clip in documents.parse_list(document["clips"]))


def _read_revision(path: StoredPath) -> dict[int, tuple[ClipLabel, ...]]:
    """plan part -> clips, in a revision. DamagedError if it cannot be read."""
    return revision_from(long_documents.read(path), str(path))


def revision_from(document: dict, name: str) -> dict[int, tuple[ClipLabel, ...]]:
    """plan part -> clips, in the document of a revision. DamagedError, with its name, if it is invalid."""
    with documents.as_damaged_error(name):
        _check_number(document["revision"], name, "revision")
        listed = [documents.parse_list(part) for part in documents.parse_list(document["parts"])]
        return {part: tuple(clip_from(clip) for clip in clips) for part, clips in enumerate(listed)}


def clip_places(document: dict) -> list[long_documents.Place]:
    """The arrays of clips in the document of a clip list or a revision, which may be continued in further files."""
    return [("parts", part) for part in range(len(document["parts"]))] if "parts" in document else [("clips",)]


def _check_number(number, name: str, kind: str) -> None:
    """ValueError unless a document has the number that its file is named by."""
    if type(number) is not int or numbered_file(number) != PurePosixPath(name).name:
        raise ValueError(f"it is the document of {kind} {brief(number)}")
