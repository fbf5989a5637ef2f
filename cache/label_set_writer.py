"""Writing the label sets of a cache: classes and tensors, clips by plan part, and revisions of clips."""

from collections.abc import Callable

from embedonce.cache import commit, long_documents
from embedonce.cache.documents import as_damaged_error
from embedonce.cache.errors import AlreadyCommittedError, DamagedError
from embedonce.cache.heads import check_same_head
from embedonce.cache.label_set_reader import LabelSetReader, clip_places, clips_from, revision_from
from embedonce.cache.labels import (
    ZERO_SHOT,
    ClipLabel,
    LabelSet,
    check_same,
    clip_document,
    label_set_document,
    label_set_from,
)
from embedonce.cache.layout import Layout, numbered_file
from embedonce.cache.schema import FORMAT_VERSION_2, check_uid
from embedonce.cache.stores.stored_path import StoredPath


class LabelSetWriter:
    """Write access to the label sets of one cache, whose lock the caller holds, alone or shared."""

    def __init__(self, layout: Layout, reader: LabelSetReader, is_shared: bool = False):
        """reader: to which everything written is added. is_shared: others may write label sets at the same time."""
        self._layout, self._reader, self._is_shared = layout, reader, is_shared

    def create(self, labels: LabelSet, tensors: bytes | None) -> LabelSet:
        """Publish a label set without clips, or return the existing one. LabelSetError if that differs."""
        folder, path = self._layout.labels / check_uid(labels.name), self._layout.label_set_document(labels.name)
        if path.exists():
            return self._existing(labels, tensors)
        inner = (folder / "clips", folder / "revisions", *self._layout.logit_paths(labels.name))
        texts = self._layout.text_vectors(labels.name)
        if left := [path for place in (*inner, texts) for path in place.list()]:
            if path.exists():  # since then
                return self._existing(labels, tensors)
            raise DamagedError(
                f"{folder} has lost its label_set.json: {left[0]} and {len(left) - 1} more files belong to another "
                "label set. Nothing was changed; restore it from a copy, or choose another name with --label-set"
            )
        for place in inner:
            place.make_folder()
        if labels.computes_logits and tensors is None:
            raise ValueError(f"label set {labels.name!r} must have a head, from which its logits are computed")
        try:
            self._publish(labels, tensors)
        except AlreadyCommittedError:
            if not self._is_shared:
                raise
            return self._existing(labels, tensors)
        self._reader.add_set(labels.name)
        return labels

    def _existing(self, labels: LabelSet, tensors: bytes | None) -> LabelSet:
        """The stored label set. LabelSetError if it differs from ours."""
        stored = self._reader.read(labels.name)
        check_same(labels, stored)
        if self._is_shared:
            folder = self._layout.labels / labels.name
            self._layout.sync((self._layout.labels, folder))
            if labels.kind == ZERO_SHOT and tensors is not None:  # a fitted head is that of whoever was first
                check_same_head(labels.name, tensors, self._reader.tensors(labels.name))
        return stored

    def _publish(self, labels: LabelSet, tensors: bytes | None) -> None:
        path = self._layout.label_set_document(labels.name)
        head = path.parent / "tensors.safetensors"
        if self._is_shared and tensors is not None:
            tensors = _published_head(head, labels.name, tensors)
        digest = None if tensors is None else commit.sha256(tensors)
        fields = label_set_document(labels) | {"tensors_sha256": digest}
        if labels.computes_logits or labels.multi_label or labels.logit_bias is not None:
            fields["format_version"] = FORMAT_VERSION_2

        def put(data: bytes) -> None:
            if tensors is not None and not self._is_shared:
                head.replace(tensors)
            path.put_if_absent(data)

        self._publish_long(path, fields, [("classes",), ("prompts",)], _label_set, put)

    def _publish_long(
        self,
        path: StoredPath,
        document: dict,
        places: list[long_documents.Place],
        check: long_documents.Check,
        put: Callable[[bytes], None],
    ) -> None:
        long_documents.publish(path, document, places, check, put, is_shared=self._is_shared)

    def publish_clips(self, label_set: str, part: int, clips: list[ClipLabel]) -> None:
        """Publish the clips over the videos of one plan part, unless that was done before."""
        path = self._layout.labels / label_set / "clips" / numbered_file(part)
        if path.exists():
            return
        document = {"part": part, "clips": list(map(clip_document, clips))}
        try:
            self._publish_long(path, document, clip_places(document), clips_from, path.put_if_absent)
        except AlreadyCommittedError:
            if not self._is_shared:
                raise
            return
        self._reader.add_clips(label_set, path, clips)

    def revise_clips(self, label_set: str, parts: list[list[ClipLabel]]) -> None:
        """Replace the clips of the first plan parts in one step. parts: clips by plan part.

        Earlier clips stay on disk as history; clips of later plan parts are published as usual.
        """
        folder = self._layout.labels / label_set / "revisions"
        folder.make_folder()
        number = 1 + max((int(path.stem) for path in folder.list(".json")), default=0)
        while True:
            if self._is_shared:
                parts = self._with_revised(label_set, parts)
            path = folder / numbered_file(number)
            document = {"revision": number, "parts": [list(map(clip_document, clips)) for clips in parts]}
            try:
                self._publish_long(path, document, clip_places(document), revision_from, path.put_if_absent)
            except AlreadyCommittedError:
                if not self._is_shared:
                    raise
                number += 1
            else:
                self._reader.add_revision(label_set)
                return

    def _with_revised(self, label_set: str, parts: list[list[ClipLabel]]) -> list[list[ClipLabel]]:
        """The clips of these plan parts, and of further ones that another writer has revised meanwhile."""
        self._reader.refresh()
        revised = self._reader.revised_parts(label_set)
        return [*parts, *(list(revised[part]) for part in range(len(parts), len(revised)))]


def _published_head(path: StoredPath, name: str, tensors: bytes) -> bytes:
    """The bytes of a label set's head, ours if there were none. LabelSetError if it has another head."""
    try:
        path.put_if_absent(tensors)
    except AlreadyCommittedError:
        stored = path.get()
        check_same_head(name, tensors, stored)
        return stored
    return tensors


def _label_set(document: dict, name: str) -> LabelSet:
    with as_damaged_error(name):
        return label_set_from(document, ())
