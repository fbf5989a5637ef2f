"""Texts of clips in several caches, united: a clip has the same text in all of them; vectors are copied."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from embedonce.cache.clip_texts import ClipKey, ClipTexts, extended
from embedonce.cache.errors import LabelSetError, some
from embedonce.cache.labels import ClipLabel
from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.text_store import StoredVectors
from embedonce.cache.writer import CacheWriter


def united_texts(name: str, having: Sequence[OpenCache], clips: Iterable[ClipLabel]) -> dict[ClipKey, str]:
    """(video uid, clip id) -> text of those of these clips that have one in any cache.

    LabelSetError if two caches have different texts of one clip.
    """
    keys = {(clip.video_uid, clip.clip_id) for clip in clips}
    united: dict[ClipKey, str] = {}
    conflicts = []
    for cache in having:
        texts = cache.reader.texts(name).read() or ClipTexts()
        for key in keys & texts.number_of.keys():
            text = texts.texts[texts.number_of[key]]
            conflicts += [key[1]] if united.setdefault(key, text) != text else []
    if conflicts:
        raise LabelSetError(
            f"label set {name!r} has clips with the same id and other texts: {len(conflicts)} "
            f"({some(sorted(conflicts))}). Nothing was changed; make it again in one of the caches with relabel "
            "--label-set"
        )
    return united


def write_united_texts(
    writer: CacheWriter, name: str, text_of: Mapping[ClipKey, str], inputs: Iterable[OpenCache]
) -> None:
    """Publish the texts that the target lacks, in one step, with the vectors that an input has of them."""
    store = writer.texts(name)
    stored = store.read()
    texts, _ = extended(stored or ClipTexts(), text_of, writer.reader().label_set(name).clips)
    if texts != (stored or ClipTexts()):
        known = StoredVectors(c.reader.texts(name) for c in inputs if name in c.reader.label_sets())

        def copied(part: list[str]) -> np.ndarray:
            vectors = known.find(part)
            return np.stack([vectors[text] for text in part])

        store.write(texts, copied)
