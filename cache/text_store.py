"""Reading and writing the texts of a label set's clips: texts.json, and files of vectors that it lists by checksum.

As with continuations of long documents, a file of vectors never changes and means nothing unless texts.json lists it:
replacing texts.json is the one step that counts.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedonce.cache import documents, long_documents
from embedonce.cache.clip_texts import (
    LONG_FIELDS,
    READ_BYTES,
    ClipTexts,
    VectorFile,
    texts_document,
    texts_from,
    texts_per_file,
    vectors_file,
    vectors_from,
    without_videos,
)
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import Layout, continued_folder
from embedonce.cache.stores.stored_path import StoredPath

Embed = Callable[[list[str]], np.ndarray]  # texts -> (m, D) unit vectors


@dataclass(frozen=True)
class TextStore:
    """The texts of one label set. width: of the vectors, D."""

    layout: Layout
    label_set: str
    width: int

    @property
    def path(self) -> StoredPath:
        return self.layout.texts_document(self.label_set)

    @property
    def folder(self) -> StoredPath:
        return self.layout.text_vectors(self.label_set)

    def read(self) -> ClipTexts | None:
        """The texts; None if the label set has none. DamagedError if they cannot be read."""
        if not self.path.exists():
            return None
        return _texts(long_documents.read(self.path), str(self.path))

    def vectors_of(self, file: VectorFile) -> np.ndarray:
        """(m, D) float16 of one file. DamagedError if it is missing or damaged."""
        self.layout.refuse_links((self.folder,))
        path = self._path_of(file.sha256)
        data = path.get(READ_BYTES)
        if sha256(data) != file.sha256:
            raise DamagedError(f"{path} is damaged: the file's SHA-256 is not its name")
        with documents.as_damaged_error(str(path)):
            return vectors_from(data, file.num_texts, self.width)

    def check(self) -> None:
        """DamagedError if the texts or any of their vectors cannot be read."""
        for file in (self.read() or ClipTexts()).files:
            self.vectors_of(file)

    def vectors(self, texts: ClipTexts, numbers: np.ndarray) -> np.ndarray:
        """(n, D) float32 unit vectors: rows(), of exactly unit length."""
        found = self.rows(texts, numbers).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def rows(self, texts: ClipTexts, numbers: np.ndarray) -> np.ndarray:
        """(n, D) float16 vectors, as stored, of texts by their numbers (n,), ascending. Reads file after file.

        DamagedError as vectors_of().
        """
        found = np.empty((len(numbers), self.width), np.float16)
        for file, part in texts.parts():
            rows = slice(*np.searchsorted(numbers, (part.start, part.stop)).tolist())
            if rows.stop > rows.start:
                found[rows] = self.vectors_of(file)[numbers[rows] - part.start]
        return found

    def write(self, texts: ClipTexts, embed: Embed) -> ClipTexts:
        """Publish texts, of which the last ones may be in no file yet, after their vectors; returns them as published.

        embed: of texts, at most texts_per_file() at once. ValueError if its vectors are not finite unit vectors.
        """
        start, step = sum(file.num_texts for file in texts.files), texts_per_file(self.width)
        parts = [texts.texts[i : i + step] for i in range(start, len(texts.texts), step)]
        files = [self._put(embed(list(part))) for part in parts]
        texts = replace(texts, files=(*texts.files, *files))
        self._publish(texts)
        return texts

    def copy_from(self, other: "TextStore") -> None:
        """Publish the texts of another cache's label set, if it has any; its files are copied as they are."""
        texts, own = other.read(), self.read()
        if texts is None or texts == own:
            return
        for file in texts.files:
            self._put(other.vectors_of(file))
        self._publish(texts)

    def remove_videos(self, uids: Collection[str], check_lock: Callable[[], None]) -> None:
        """Write the texts again without those of these videos' clips, and delete unlisted vectors, which may be theirs.

        check_lock: called before texts.json changes.
        """
        texts = self.read() or ClipTexts()
        left, rows = without_videos(texts, uids)
        if left != texts:
            files = list(self._cut(texts.files, rows))
            check_lock()
            self._publish(replace(left, files=tuple(files)))
        self.delete_unlisted()

    def delete_unlisted(self) -> None:
        """Delete the files of vectors that texts.json does not list: what interrupted writers have left."""
        if (further := continued_folder(self.path)).exists():
            long_documents.delete_unlisted(further)
        for path in self.unlisted(self.read()):
            path.delete()

    def unlisted(self, texts: ClipTexts | None) -> list[StoredPath]:
        """What is in the folder of vectors and is not a file of these texts."""
        listed = {self._path_of(file.sha256) for file in texts.files} if texts is not None else set()
        return [path for path in self.folder.list() if path not in listed]

    def _cut(self, files: Iterable[VectorFile], rows: Iterable[Sequence[int]]) -> Iterator[VectorFile]:
        """The files with only these rows of each, published; those that keep all of theirs stay as they are."""
        for file, kept in zip(files, rows, strict=True):
            if len(kept) == file.num_texts:
                yield file
            elif kept:
                yield self._put(self.vectors_of(file)[list(kept)])

    def _put(self, vectors: np.ndarray) -> VectorFile:
        data = vectors_file(vectors)
        file = VectorFile(sha256(data), len(vectors))
        self.folder.make_folder()
        self._path_of(file.sha256).replace(data)  # there may be a damaged one
        return file

    def _publish(self, texts: ClipTexts) -> None:
        long_documents.publish(self.path, texts_document(texts), LONG_FIELDS, _texts, self.path.replace)
        self.delete_unlisted()

    def _path_of(self, digest: str) -> StoredPath:
        return self.folder / f"{digest}.safetensors"


class StoredVectors:
    """Vectors that several label sets, of one cache or of several, have stored, by text. All of one text tower."""

    def __init__(self, stores: Iterable[TextStore]):
        self._stores = [
            (store, texts, {text: number for number, text in enumerate(texts.texts)})
            for store in stores
            if (texts := store.read()) is not None
        ]

    def find(self, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """text -> (D,) float16, of those of these different texts that one of them has."""
        found: dict[str, np.ndarray] = {}
        for store, texts, number_of in self._stores:
            here = sorted((number_of[text], text) for text in wanted if text in number_of and text not in found)
            rows = store.rows(texts, np.array([number for number, _ in here], np.int64))
            found |= {text: row for (_, text), row in zip(here, rows, strict=True)}
        return found


def _texts(document: dict, name: str) -> ClipTexts:
    with documents.as_damaged_error(name):
        return texts_from(document)
