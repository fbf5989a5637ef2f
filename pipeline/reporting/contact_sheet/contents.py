"""What the shards hold of the frames on a contact sheet: thumbnails, embeddings, the teacher's predictions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.metrics.accuracy import most_likely
from embedonce.pipeline.reporting.contact_sheet.selection import Frame
from embedonce.pipeline.reporting.contact_sheet.thumbnails import MIN_SPREAD, Thumbnail, spread, thumbnail

TOP_K = 3


@dataclass(frozen=True)
class Content:
    """One frame. spread: as in thumbnails.spread(). embedding: (D,) float32 of the evaluation crop.

    guesses: (class, probability) of the teacher's most likely classes, at temperature 1; () without logits.
    """

    image: Thumbnail
    spread: float
    embedding: np.ndarray
    guesses: tuple[tuple[int, float], ...]

    @property
    def is_plain(self) -> bool:
        """Whether it is nearly black, or uniform."""
        return self.spread < MIN_SPREAD


def read_contents(
    reader: CacheReader, labels: LabelSet | None, frames: Sequence[Frame], bytes_per_frame: float
) -> list[Content]:
    """The content of each frame, in their order; each shard is read once. DamagedError if one cannot be read.

    labels: the classes of the predictions. bytes_per_frame: of a thumbnail, at most.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, frame in enumerate(frames):
        places[frame.unit].append(place)
    reader.prefetch(sorted(places))
    with_logits = reader.logits_units(labels.name) if labels is not None and labels.has_logits else frozenset()
    contents: dict[int, Content] = {}
    for unit in sorted(places):
        name = labels.name if labels is not None and unit in with_logits else None
        for place in places[unit]:
            contents[place] = _content(reader, name, frames[place], bytes_per_frame)
    return [contents[place] for place in range(len(frames))]


def _content(reader: CacheReader, label_set: str | None, frame: Frame, max_bytes: float) -> Content:
    shard, row = reader.frames(frame.unit), frame.row
    image = canonical_frame.decode_jpeg(shard.jpeg(row), reader.identity.canonical_short_side)
    embedding = shard.embeddings(row, row + 1, 0)[0].astype(np.float32)
    guesses: tuple[tuple[int, float], ...] = ()
    if label_set is not None:
        guesses = most_likely(reader.logits(label_set, frame.unit).logits(row, row + 1, 0)[0], TOP_K)
    return Content(thumbnail(image, max_bytes), spread(image), embedding, guesses)


def representative(contents: Sequence[Content]) -> int | None:
    """The place of the frame that stands for all of them: of those that are not plain, the middle one.

    If all are plain, the one with the largest spread; None if there are none.
    """
    if not contents:
        return None
    rich = [place for place, content in enumerate(contents) if not content.is_plain]
    return rich[len(rich) // 2] if rich else max(range(len(contents)), key=lambda place: contents[place].spread)
