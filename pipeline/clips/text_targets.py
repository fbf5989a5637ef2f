"""Text targets of a dataset's clips: which clip has which text, and the vectors of these texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.clip_texts import NO_TEXT, ClipTexts
from embedonce.cache.labels import ClipLabel
from embedonce.cache.reader import CacheReader


@dataclass(frozen=True)
class TextTargets:
    """Texts of N clips. texts: M different ones. vectors (M, D) float16. numbers (N,): of each clip's text, or -1."""

    texts: tuple[str, ...]
    vectors: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, reader: CacheReader, label_set: str, clips: Sequence[ClipLabel]) -> "TextTargets":
        """Those of these clips of a label set; all without a text if the label set has none."""
        store = reader.texts(label_set)
        stored = store.read() or ClipTexts()
        numbers = stored.numbers(clips)
        used = np.unique(numbers[numbers != NO_TEXT])
        own = np.where(numbers == NO_TEXT, NO_TEXT, np.searchsorted(used, numbers))
        return cls(tuple(stored.texts[number] for number in used.tolist()), store.rows(stored, used), own)

    def text_of(self, clip: int) -> str:
        """The text of a clip by its number; "" if it has none."""
        number = int(self.numbers[clip])
        return "" if number == NO_TEXT else self.texts[number]

    def item(self, clip: int) -> dict[str, np.ndarray]:
        """text_number int64, and text_vector (D,) float32, zeros without a text."""
        number = self.numbers[clip]
        vector = np.zeros(self.vectors.shape[1], np.float32) if number == NO_TEXT else self.vectors[number]
        return {"text_number": np.array(number, np.int64), "text_vector": vector.astype(np.float32)}
