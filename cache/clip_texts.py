"""Texts of a label set's clips, such as narrations, and the teacher's vectors for them: their documents, as data."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import safetensors.numpy

from embedonce.cache.documents import parse_list, validate_types
from embedonce.cache.labels import ClipLabel
from embedonce.cache.limits import brief, check_range, check_text
from embedonce.cache.schema import check_sha256, check_uid
from embedonce.cache.vectors import embeddings_problem

FILE_BYTES = 16 << 20  # of the vectors in one file; no file has more
READ_BYTES = FILE_BYTES + (1 << 16)  # with the header of the file
MAX_PER_FILE = FILE_BYTES // 2  # vectors of a single value
NO_TEXT = -1
VECTORS = "vectors"  # the tensor in a file

ClipKey = tuple[str, str]  # video uid, clip id


@dataclass(frozen=True)
class VectorFile:
    """A file of text vectors. sha256: of its bytes, which it is named by. num_texts: vectors in it."""

    sha256: str
    num_texts: int


@dataclass(frozen=True)
class ClipTexts:
    """The texts of a label set's clips.

    texts: M different ones. files: have their vectors, in the order of the texts. number_of: (video uid, clip id) ->
    index into texts; clips without a text are not in it.
    """

    texts: tuple[str, ...] = ()
    files: tuple[VectorFile, ...] = ()
    number_of: Mapping[ClipKey, int] = field(default_factory=dict)

    def numbers(self, clips: Iterable[ClipLabel]) -> np.ndarray:
        """(N,) int64 index of each clip's text, NO_TEXT for clips without one."""
        found = (self.number_of.get((clip.video_uid, clip.clip_id), NO_TEXT) for clip in clips)
        return np.fromiter(found, np.int64)

    def text_of(self, clip: ClipLabel) -> str:
        """The text of a clip; "" if it has none."""
        number = self.number_of.get((clip.video_uid, clip.clip_id), NO_TEXT)
        return "" if number == NO_TEXT else self.texts[number]

    def parts(self) -> list[tuple[VectorFile, range]]:
        """Each file with the indices of its texts."""
        ends = itertools.accumulate(file.num_texts for file in self.files)
        return [(file, range(end - file.num_texts, end)) for file, end in zip(self.files, ends, strict=True)]


def texts_per_file(width: int) -> int:
    """How many vectors of this width one file has at most."""
    return max(1, FILE_BYTES // (2 * width))


def extended(stored: ClipTexts, text_of: Mapping[ClipKey, str], clips: Iterable[ClipLabel]) -> tuple[ClipTexts, int]:
    """(the texts of these clips, how many of them are new). New texts are behind the stored ones, and in no file yet.

    text_of: texts by clip, "" for none. Clips that are not in it keep their stored texts. Texts that no clip has any
    more stay.
    """
    number_of_text = {text: number for number, text in enumerate(stored.texts)}
    number_of = {}
    for clip in clips:
        key = clip.video_uid, clip.clip_id
        text = text_of[key] if key in text_of else stored.text_of(clip)
        if text:
            number_of[key] = number_of_text.setdefault(text, len(number_of_text))
    texts = tuple(number_of_text)
    return replace(stored, texts=texts, number_of=number_of), len(texts) - len(stored.texts)


def without_videos(texts: ClipTexts, uids: Collection[str]) -> tuple[ClipTexts, list[Sequence[int]]]:
    """(the texts that clips of other videos have, for each of `texts.files` the places of the vectors that are kept).

    The files of the result are still the old ones.
    """
    left = {key: number for key, number in texts.number_of.items() if key[0] not in uids}
    kept = sorted(set(left.values()))
    new = {number: i for i, number in enumerate(kept)}
    rows = [[number - numbers.start for number in numbers if number in new] for _, numbers in texts.parts()]
    number_of = {key: new[number] for key, number in left.items()}
    return replace(texts, texts=tuple(texts.texts[number] for number in kept), number_of=number_of), list(rows)


# -- documents ---------------------------------------------------------------------------------------------------------


def texts_document(texts: ClipTexts) -> dict:
    """The fields of texts.json."""
    by_video: dict[str, tuple[list[str], list[int]]] = {}
    for (uid, clip_id), number in sorted(texts.number_of.items()):
        ids, numbers = by_video.setdefault(uid, ([], []))
        ids.append(clip_id)
        numbers.append(number)
    return {
        "texts": list(texts.texts),
        "files": [[file.sha256, file.num_texts] for file in texts.files],
        "clips": [[uid, *columns] for uid, columns in by_video.items()],
    }


LONG_FIELDS = (("texts",), ("files",), ("clips",))  # which may be continued in further files


def texts_from(document: dict) -> ClipTexts:
    """The texts with these fields. ValueError or TypeError if they are invalid."""
    texts = parse_list(document["texts"])
    files = tuple(_file(*parse_list(entry)) for entry in parse_list(document["files"]))
    if repeated := [text for text, count in Counter(map(check_text, texts)).items() if count > 1 or not text]:
        raise ValueError(f"the text {brief(repeated[0])} is empty, or there twice")
    if sum(file.num_texts for file in files) != len(texts):
        raise ValueError(f"there are {len(texts)} texts, and vectors of {sum(file.num_texts for file in files)}")
    number_of: dict[ClipKey, int] = {}
    for entry in parse_list(document["clips"]):
        uid, ids, numbers = parse_list(entry)
        for clip_id, number in zip(parse_list(ids), parse_list(numbers), strict=True):
            if type(number) is not int or not 0 <= number < len(texts) or (uid, clip_id) in number_of:
                raise ValueError(f"clip {brief(clip_id)} has the text {brief(number)}, or is there twice")
            number_of[check_uid(uid), check_text(clip_id)] = number
    return ClipTexts(texts, files, number_of)


def _file(sha256: str, num_texts: int) -> VectorFile:
    file = validate_types(VectorFile(sha256, num_texts))
    check_sha256(file.sha256)
    check_range("the number of vectors in a file", file.num_texts, 1, MAX_PER_FILE)
    return file


# -- files of vectors --------------------------------------------------------------------------------------------------


def vectors_file(vectors: np.ndarray) -> bytes:
    """The content of a file of text vectors, (m, D) of any float type, as float16.

    ValueError for vectors that are not finite, or not of unit length.
    """
    stored = np.ascontiguousarray(vectors, np.float16)
    if problem := embeddings_problem(stored):
        raise ValueError(f"the text tower returned {problem}")
    return safetensors.numpy.save({VECTORS: stored})


def vectors_from(data: bytes, num_texts: int, width: int) -> np.ndarray:
    """(num_texts, width) float16 unit vectors of a file. ValueError if it has anything else."""
    try:
        tensors = safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not a safetensors file: {error}") from error
    found = tensors.get(VECTORS)
    if list(tensors) != [VECTORS] or found is None or found.shape != (num_texts, width) or found.dtype != np.float16:
        raise ValueError(f"it does not hold {num_texts} float16 vectors of width {width}")
    if problem := embeddings_problem(found):
        raise ValueError(f"it holds {problem}")
    return found
