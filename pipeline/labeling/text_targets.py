"""Text targets of a label set: the texts of its clips, such as narrations, embedded by the teacher's text tower."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from embedonce.cache.clip_texts import ClipKey, ClipTexts, extended
from embedonce.cache.text_store import StoredVectors
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.clip_index import ClipIndex
from embedonce.pipeline.labeling.prompts.placeholders import quoted
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import LongTexts, Teacher, TextHead, TextTeacher, long_texts

log = logging.getLogger(__name__)


def with_texts(requests: Sequence[LabelSetRequest], teacher: str) -> list[LabelSetRequest]:
    """The requests, those of clips with texts for label sets with texts (--embed-texts). teacher: its name.

    InputError if no clip of any has a text, or the teacher is known to have no text tower.
    """
    if not loader_of(teacher).has_text_tower:
        raise _no_text_tower(teacher)
    marked = [replace(one, embeds_texts=any(clip.text for clip in one.source.clips)) for one in requests]
    if not any(request.embeds_texts for request in marked):
        raise InputError(
            "--embed-texts: no clip has a text; narrations of Ego4D and EPIC-KITCHENS, and the column `text` of a "
            "manifest, are texts of clips"
        )
    return marked


def require_text_tower(requests: Iterable[LabelSetRequest], teacher: Teacher) -> None:
    """InputError if one of these label sets gets texts, and the loaded teacher has no text tower."""
    if any(request.embeds_texts for request in requests) and not isinstance(teacher, TextTeacher):
        raise _no_text_tower(teacher.identity.name)


def write_texts(writer: CacheWriter, request: LabelSetRequest, teacher: TextTeacher) -> ClipTexts:
    """Embed the texts of a label set's clips that are not in the cache yet, and publish all of them in one step.

    The label set exists, with its clips. Vectors that another label set has are copied. No more texts are embedded at
    once than one file holds. InputError if clips of one video have the same id and different texts.
    """
    name = request.labels.name
    store = writer.texts(name)
    stored = store.read()
    clips = writer.reader().label_set(name).clips
    texts, num_new = extended(stored or ClipTexts(), _text_of(writer, request), clips)
    if texts == stored:
        return texts
    others = (other for other in writer.reader().label_sets() if other != name)
    known = StoredVectors(map(writer.texts, others))
    embedding = _Embedding(teacher)
    with Progress(num_new, f"texts of label set {name!r}", "texts") as progress:

        def embed(part: list[str]) -> np.ndarray:
            vectors = known.find(part)
            new = [text for text in part if text not in vectors]
            vectors |= dict(zip(new, embedding.embed(new), strict=True)) if new else {}
            progress.update(len(part))
            return np.stack([vectors[text] for text in part])

        texts = store.write(texts, embed)
    embedding.warn_of_long_texts()
    return texts


def warn_of_other_texts(writer: CacheWriter, request: LabelSetRequest) -> None:
    """Warn if clips have other texts in the data than in the cache, and --embed-texts was not given."""
    stored = None if request.embeds_texts or writer.is_shared else writer.texts(request.labels.name).read()
    if stored is None:
        return
    text_of = _text_of(writer, request)
    clips = writer.reader().label_set(request.labels.name).clips
    count = sum(stored.text_of(clip) != text_of.get((clip.video_uid, clip.clip_id), "") for clip in clips)
    if count:
        log.warning(
            "%d clips of label set %r have other texts in the data than in the cache, which keeps its own: give "
            "--embed-texts to embed those of the data",
            count,
            request.labels.name,
        )


def _text_of(writer: CacheWriter, request: LabelSetRequest) -> dict[ClipKey, str]:
    source = match_source(request.source, CachedVideos.of_writer(writer))
    return ClipIndex(source).texts_over(writer.planned_videos.values())


class _Embedding:
    """Embeds texts, and counts those that the text tower does not read to their ends."""

    def __init__(self, teacher: TextTeacher):
        self._teacher = teacher
        self._num_texts, self._long = 0, LongTexts(0, 0)

    def embed(self, texts: list[str]) -> np.ndarray:
        """(m, D) unit vectors."""
        each = [[text] for text in texts]
        found = long_texts(self._teacher, each)
        self._num_texts += len(texts)
        self._long = LongTexts(self._long.count + found.count, found.context, self._long.first or found.first)
        return TextHead(*self._teacher.class_text(each)).class_text

    def warn_of_long_texts(self) -> None:
        if self._long.count:
            shown = "; ".join(f"{tokens} tokens: {quoted(text)}" for _, text, tokens in self._long.first)
            log.warning(
                "%d of %d texts are longer than the %d tokens that the teacher reads, and their ends are cut off: %s%s",
                *(self._long.count, self._num_texts, self._long.context, shown),
                "; …" if self._long.count > len(self._long.first) else "",
            )


def _no_text_tower(teacher: str) -> InputError:
    return InputError(
        f"the teacher {teacher} has no text tower, which --embed-texts needs: leave out --embed-texts, or make a cache "
        "with a teacher that has one"
    )
