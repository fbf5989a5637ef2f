"""Reading the label sets of a cache: classes, clips, heads, and the records of their logits."""

from pathlib import Path

import numpy as np

from embedonce.cache import documents
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError, LabelSetError
from embedonce.cache.files import list_folder, read_file, refuse_links
from embedonce.cache.labels import ClipLabel, LabelSet, clip_from, label_set_from, tensors_from
from embedonce.cache.layout import Layout
from embedonce.cache.limits import brief
from embedonce.cache.records import Record, read_records
from embedonce.cache.schema import UID_PATTERN


class LabelSetReader:
    """Read access to the label sets of one cache. Records are read once and kept."""

    def __init__(self, directory: Path):
        self._directory, self._layout = directory, Layout(directory)
        self._records: dict[str, dict[str, Record]] = {}
        self._computing: dict[str, dict[str, np.ndarray] | None] = {}  # label set -> computing_head()

    def names(self) -> tuple[str, ...]:
        """Names of the label sets, sorted."""
        return self._layout.label_sets()

    def read(self, name: str | None) -> LabelSet:
        """The label set of this name, or the only one. LabelSetError if there is none, or several and no name."""
        name = self._existing_name(name)
        return self._document(name, tuple(clip for part in self.clip_parts(name).values() for clip in part))

    def _document(self, name: str, clips: tuple[ClipLabel, ...]) -> LabelSet:
        path = self._layout.label_set_document(name)
        document = documents.read(path)
        with documents.as_damaged_error(str(path)):
            labels = label_set_from(document, clips)
        if labels.name != name:
            raise DamagedError(f"{path} is the document of label set {labels.name!r}: it was renamed or copied")
        return labels

    def clip_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """plan part -> clips over its videos, as of the last revision."""
        folder = self._layout.labels / name / "clips"
        parts: dict[int, tuple[ClipLabel, ...]] = {}
        refuse_links((folder.parent, folder))
        for path in list_folder(folder, ".json"):
            document = documents.read(path)
            with documents.as_damaged_error(str(path)):
                parts[int(path.stem)] = tuple(clip_from(clip) for clip in documents.parse_list(document["clips"]))
                _check_number(document["part"], path, "plan part")
        return parts | self._revised_parts(name)

    def _revised_parts(self, name: str) -> dict[int, tuple[ClipLabel, ...]]:
        """The parts of a label set's last revision; empty if it was never revised."""
        folder = self._layout.labels / name / "revisions"
        refuse_links((folder,))
        paths = list_folder(folder, ".json")
        if not paths:
            return {}
        document = documents.read(paths[-1])
        with documents.as_damaged_error(str(paths[-1])):
            _check_number(document["revision"], paths[-1], "revision")
            listed = [documents.parse_list(part) for part in documents.parse_list(document["parts"])]
            return {part: tuple(clip_from(clip) for clip in clips) for part, clips in enumerate(listed)}

    def tensors(self, name: str | None) -> bytes | None:
        """The bytes of tensors.safetensors of a label set; None if it has none.

        DamagedError if they are not those that the label set was made with.
        """
        folder = self._layout.labels / self._existing_name(name)
        refuse_links((folder,))
        expected = documents.read(folder / "label_set.json").get("tensors_sha256")
        if expected is None:
            return None
        data = read_file(folder / "tensors.safetensors")
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
            return tensors_from(data, width, len(labels.classes))

    def computing_head(self, name: str, width: int) -> dict[str, np.ndarray] | None:
        """The head that a label set's logits are computed with when they are read; None if they are stored.

        Read once and kept.
        """
        if name not in self._computing:
            self._computing[name] = self.head(name, width) if self._document(name, ()).computes_logits else None
        return self._computing[name]

    def records(self, name: str) -> dict[str, Record]:
        """unit -> record of a label set's logits; none if it stores no logits."""
        if name not in self._records and self._layout.has_label_set(name) and self._document(name, ()).computes_logits:
            self._records[name] = {}
        if name not in self._records:
            folders = self._layout.logit_paths(name)
            refuse_links((folders.shards.parent, *folders))
            self._records[name] = read_records(folders.records)
        return self._records[name]

    def override_records(self, name: str, records: dict[str, Record]) -> None:
        """Use these records of a label set's logits instead of those on disk."""
        self._records[name] = records

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
        raise LabelSetError(f"{self._directory} has {problem} (--label-set: {', '.join(names) or 'none'})")


def _check_number(number, path: Path, kind: str) -> None:
    """ValueError unless a document has the number that its file is named by."""
    if type(number) is not int or f"{number:06d}" != path.stem:
        raise ValueError(f"it is the document of {kind} {brief(number)}")
