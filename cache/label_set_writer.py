"""Writing the label sets of a cache: classes and tensors, clips by plan part, and revisions of clips."""

from dataclasses import asdict

from embedonce.cache import commit, long_documents
from embedonce.cache.documents import as_damaged_error
from embedonce.cache.errors import DamagedError
from embedonce.cache.label_set_reader import LabelSetReader, clip_places, clips_from, revision_from
from embedonce.cache.labels import ClipLabel, LabelSet, check_same, label_set_document, label_set_from
from embedonce.cache.layout import Layout, numbered_file
from embedonce.cache.schema import FORMAT_VERSION_2, check_uid


class LabelSetWriter:
    """Write access to the label sets of one cache, whose lock the caller holds."""

    def __init__(self, layout: Layout, reader: LabelSetReader):
        """reader: to which everything written is added."""
        self._layout, self._reader = layout, reader

    def create(self, labels: LabelSet, tensors: bytes | None) -> LabelSet:
        """Publish a label set without clips, or return the existing one. LabelSetError if that differs."""
        folder = self._layout.labels / check_uid(labels.name)
        if self._layout.label_set_document(labels.name).exists():
            stored = self._reader.read(labels.name)
            check_same(labels, stored)
            return stored
        inner = (folder / "clips", folder / "revisions", *self._layout.logit_paths(labels.name))
        if left := [path for place in inner for path in place.list()]:
            raise DamagedError(
                f"{folder} has lost its label_set.json: {left[0]} and {len(left) - 1} more files belong to another "
                "label set. Nothing was changed; restore it from a copy, or choose another name with --label-set"
            )
        for path in inner:
            path.make_folder()
        if labels.computes_logits and tensors is None:
            raise ValueError(f"label set {labels.name!r} must have a head, from which its logits are computed")
        digest = None if tensors is None else commit.sha256(tensors)
        fields = label_set_document(labels) | {"tensors_sha256": digest}
        if labels.computes_logits:
            fields["format_version"] = FORMAT_VERSION_2
        path = self._layout.label_set_document(labels.name)

        def put(data: bytes) -> None:
            if tensors is not None:
                (folder / "tensors.safetensors").replace(tensors)
            path.put_if_absent(data)

        long_documents.publish(path, fields, [("classes",), ("prompts",)], _label_set, put)
        self._reader.add_set(labels.name)
        return labels

    def publish_clips(self, label_set: str, part: int, clips: list[ClipLabel]) -> None:
        """Publish the clips over the videos of one plan part, unless that was done before."""
        path = self._layout.labels / label_set / "clips" / numbered_file(part)
        if not path.exists():
            document = {"part": part, "clips": list(map(asdict, clips))}
            long_documents.publish(path, document, clip_places(document), clips_from, path.put_if_absent)
            self._reader.add_clips(label_set, path, clips)

    def revise_clips(self, label_set: str, parts: list[list[ClipLabel]]) -> None:
        """Replace the clips of the first plan parts in one step. parts: clips by plan part.

        Earlier clips stay on disk as history; clips of later plan parts are published as usual.
        """
        folder = self._layout.labels / label_set / "revisions"
        folder.make_folder()
        number = 1 + max((int(path.stem) for path in folder.list(".json")), default=0)
        path = folder / numbered_file(number)
        document = {"revision": number, "parts": [list(map(asdict, clips)) for clips in parts]}
        long_documents.publish(path, document, clip_places(document), revision_from, path.put_if_absent)
        self._reader.add_revision(label_set)


def _label_set(document: dict, name: str) -> LabelSet:
    with as_damaged_error(name):
        return label_set_from(document, ())
