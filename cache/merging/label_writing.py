"""Writes united label sets into the target of a merge: classes, clips by plan part, and logits of all rows.

Logits are copied where the rows and the head are the very same, and computed from embeddings and the head elsewhere.
"""

from collections.abc import Sequence

import numpy as np

from embedonce.cache.computed_logits import compute_logits
from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.merging.label_sets import UnitedLabelSet
from embedonce.cache.merging.rows import FoundSegment, RowFinder
from embedonce.cache.merging.texts import write_united_texts
from embedonce.cache.records import Record
from embedonce.cache.writer import CacheWriter


class LabelSetsWriter:
    """Writes label sets over everything that the target has committed. Each step may be repeated."""

    def __init__(
        self,
        writer: CacheWriter,
        label_sets: Sequence[UnitedLabelSet],
        finder: RowFinder,
        inputs: Sequence[OpenCache],
    ):
        """finder: of rows of the inputs."""
        self._writer, self._label_sets, self._finder, self._inputs = writer, label_sets, finder, inputs

    def write(self) -> int:
        """Write everything that is missing; returns the number of shards of logits."""
        for united in self._label_sets:
            self._writer.create_label_set(united.labels, united.tensors)
            _write_clips(self._writer, united)
            write_united_texts(self._writer, united.labels.name, united.text_of, self._inputs)
        self._reader = self._writer.reader()
        storing = [united for united in self._label_sets if united.stores_logits]
        self._heads = {united.labels.name: self._reader.head(united.labels.name) for united in storing}
        done = {united.labels.name: self._reader.logits_units(united.labels.name) for united in storing}
        count = 0
        for unit, record in self._reader.records.items():
            missing = [united for united in storing if unit not in done[united.labels.name]]
            count += self._write_logits(record, missing) if missing else 0
        return count

    def without_logits(self) -> tuple[str, ...]:
        """Label sets with logits of which some rows have none: there is no head to compute them with."""
        reader = self._writer.reader()
        names = (united.labels.name for united in self._label_sets if united.stores_logits)
        return tuple(name for name in names if not reader.records.keys() <= reader.logits_units(name))

    def _write_logits(self, record: Record, label_sets: Sequence[UnitedLabelSet]) -> int:
        found, count = self._same_rows(record), 0
        self._finder.close_others(found or ())
        for united in label_sets:
            logits = self._logits(record, united, found)
            if logits is not None:
                self._writer.commit_logits(united.labels.name, record.unit, record.keys, logits, {})
                count += 1
        return count

    def _logits(self, record: Record, united: UnitedLabelSet, found: list[FoundSegment] | None) -> np.ndarray | None:
        """(N, V, C) float32; None if they can be neither copied nor computed."""
        name, num_classes = united.labels.name, len(united.labels.classes)
        if not record.num_rows:
            return np.zeros((0, 1 + self._reader.identity.num_views, num_classes), np.float32)
        if found is not None and all(_has_logits(united, segment) for segment in found):
            return self._finder.logits(name, found, num_classes)
        head = self._heads[name]
        if head is None:
            return None
        return compute_logits(head, self._reader.all_embeddings(record.unit), f"unit {record.unit}")

    def _same_rows(self, record: Record) -> list[FoundSegment] | None:
        """The rows of a unit in the inputs, if their embeddings are the very same there; else None."""
        found = self._finder.find_all((segment.video_uid, segment.request_k) for segment in record.segments)
        if found is None or not record.num_rows:
            return None
        pairs = zip(found, record.segments, strict=True)
        if not all(np.array_equal(ours.segment.frame_index, theirs.frame_index) for ours, theirs in pairs):
            return None
        sources = {source for segment in found for source in segment.sources}
        if {cache.reader.records[unit].sha256 for cache, unit in sources} == {record.sha256}:
            return found  # the same bytes
        embeddings = self._finder.batch(found).embeddings
        return found if np.array_equal(embeddings, self._reader.all_embeddings(record.unit)) else None


def _has_logits(united: UnitedLabelSet, found: FoundSegment) -> bool:
    """Whether all rows of a segment have stored logits of the same head."""
    sources = (found.sources[number] for number in np.unique(found.source).tolist())
    name = united.labels.name
    return all(cache in united.holders and unit in cache.reader.label_records(name) for cache, unit in sources)


def _write_clips(writer: CacheWriter, united: UnitedLabelSet) -> None:
    """Publish clips over the videos of parts that have none yet, and add to those that have some in one step."""
    name, stored = united.labels.name, writer.reader().clip_parts(united.labels.name)
    known = {clip for clips in stored.values() for clip in clips}
    wanted = {part: list(clips) for part, clips in stored.items()}
    for part in writer.plan:
        clips = (clip for video in part.videos for clip in united.clips.get(video.uid, ()))
        wanted.setdefault(part.part, []).extend(clip for clip in clips if clip not in known)
    if any(len(wanted[part]) > len(clips) for part, clips in stored.items()):
        writer.revise_clips(name, [wanted[part] for part in range(1 + max(stored))])
    for part in writer.plan:
        if part.part not in stored:
            writer.publish_clips(name, part.part, wanted[part.part])
