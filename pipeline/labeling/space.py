"""Estimates of the disk space that label sets will take: logits, heads, prompts, clips and texts."""

from collections.abc import Iterable
from dataclasses import dataclass

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import CacheIdentity
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.sources.source import Clip

VALUE_BYTES = 4  # of a logit, and of a value of a head
CLIP_BYTES = 110  # without its identifiers
TEXT_BYTES = 3  # of a prompt or text, besides its characters
TEXT_VALUE_BYTES = 2  # of a value of a text's vector
CLIP_OF_TEXT_BYTES = 12  # of a clip with a text, besides its identifier


@dataclass(frozen=True)
class RowSize:
    """What the size of a row of logits depends on, besides the classes. views: 1 + K. width: of an embedding."""

    backend: str
    views: int
    width: int

    @classmethod
    def of(cls, identity: CacheIdentity) -> "RowSize":
        """That of an existing cache."""
        return cls(identity.backend, 1 + identity.num_views, identity.teacher.embed_dim)

    def logits_bytes(self, num_classes: int) -> int:
        """Bytes of one row. It has one of the three parts of a frame (JPEG, embeddings, times), and its overhead."""
        return self.views * num_classes * VALUE_BYTES + BACKENDS[self.backend].row_overhead_bytes // 3


def label_bytes(
    requests: Iterable[LabelSetRequest], new_rows: int, size: RowSize, reader: CacheReader | None = None
) -> int:
    """Bytes that these label sets still need.

    new_rows: rows that will be added to the cache. reader: of the existing cache, whose rows may lack logits, and which
    may have some of these label sets already.
    """
    return sum(_bytes_of(request, new_rows, size, reader) for request in requests)


def _bytes_of(request: LabelSetRequest, new_rows: int, size: RowSize, reader: CacheReader | None) -> int:
    labels, clips = request.labels, request.source.clips
    texts = _text_bytes(clips, size.width) if request.embeds_texts else 0
    if reader is None or labels.name not in reader.label_sets():
        rows = new_rows + (reader.num_rows if reader else 0)
        return _logits_bytes(labels, rows, size) + _head_bytes(labels, size.width) + _clip_bytes(clips) + texts
    stored, done = reader.label_set(labels.name), reader.logits_units(labels.name)
    rows = new_rows + sum(record.num_rows for unit, record in reader.records.items() if unit not in done)
    return _logits_bytes(stored, rows, size) + _clip_bytes(clips[len(stored.clips) :]) + texts


def _logits_bytes(labels: LabelSet, rows: int, size: RowSize) -> int:
    return rows * size.logits_bytes(len(labels.classes)) if labels.has_logits and labels.stores_logits else 0


def _head_bytes(labels: LabelSet, width: int) -> int:
    """The prompts and the vector of each class."""
    texts = sum(len(text) + TEXT_BYTES for texts in labels.prompts for text in texts)
    return texts + (len(labels.classes) * width * VALUE_BYTES if labels.has_logits else 0)


def _clip_bytes(clips: tuple[Clip, ...]) -> int:
    return sum(CLIP_BYTES + len(clip.clip_id) + len(clip.video_uid) for clip in clips)


def _text_bytes(clips: tuple[Clip, ...], width: int) -> int:
    """The different texts with their vectors, and the clips that have them; as if none were stored yet."""
    texts = {clip.text for clip in clips if clip.text}
    characters = sum(len(text) + TEXT_BYTES for text in texts)
    return (
        characters
        + len(texts) * width * TEXT_VALUE_BYTES
        + sum(CLIP_OF_TEXT_BYTES + len(clip.clip_id) for clip in clips if clip.text)
    )
