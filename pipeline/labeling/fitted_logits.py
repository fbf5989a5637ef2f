"""Fits the action head of a label set to the cached embeddings of its training clips."""

import dataclasses
import logging
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import safetensors.numpy

from embedonce.cache.heads import head_tensors, logits_from
from embedonce.cache.labels import LabelSet, multi_hot
from embedonce.cache.reader import CacheReader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.clip_index import ClipIndex
from embedonce.pipeline.metrics.average_precision import mean_average_precision
from embedonce.pipeline.sources.source import Source
from embedonce.pipeline.splits.assignment import halves
from embedonce.pipeline.splits.class_coverage import selection_of

log = logging.getLogger(__name__)


class LabeledRows(NamedTuple):
    """embeddings (N, D) float32 of view 0, labels (N,) int64, or (N, C) bool with several labels per clip."""

    embeddings: np.ndarray
    labels: np.ndarray


@dataclass
class _Rows:
    embeddings: list[np.ndarray] = field(default_factory=list)
    labels: list[tuple[int, ...]] = field(default_factory=list)

    def as_arrays(self, dim: int, source: Source) -> LabeledRows:
        embeddings = np.array(self.embeddings, np.float32).reshape(-1, dim)
        if source.is_multi_label:
            return LabeledRows(embeddings, multi_hot(self.labels, len(source.classes)))
        return LabeledRows(embeddings, np.array([label for (label,) in self.labels], np.int64))


def fitted_head(writer: CacheWriter, source: Source, labels: LabelSet, seed: int) -> tuple[LabelSet, bytes | None]:
    """(label set with facts on the head, its tensors as safetensors bytes; None if the cache has the label set).

    Raises InputError if no training frame has a label.
    """
    reader = writer.reader()
    if labels.name in reader.label_sets():
        return dataclasses.replace(labels, facts=reader.label_set(labels.name).facts), None
    from embedonce.models.fit_head import fit_action_head  # imports torch, which other label sets do not need

    train, selection, held_out = labeled_rows(writer, reader, source)
    if not len(train.labels):
        raise InputError("the videos have no labeled training frame: there is nothing to fit a head to")
    head = fit_action_head(*train, *selection, num_classes=len(labels.classes), seed=seed)
    tensors = head_tensors([tensor.numpy() for tensor in head.state_dict().values()])
    name, figure = _held_out_figure(tensors, held_out)
    counts = {
        "train_rows": len(train.labels),
        "selection_rows": len(selection.labels),
        "held_out_rows": len(held_out.labels),
    }
    log.info(
        "fitted the action head to %d frames, with %d others to choose the epoch; %s %s",
        counts["train_rows"],
        counts["selection_rows"],
        "mAP" if labels.multi_label else "top-1 accuracy",
        "not measured: no frames are left" if figure is None else f"{figure:.1%} on {len(held_out.labels)} more frames",
    )
    facts = labels.facts | counts | {name: figure}
    return dataclasses.replace(labels, facts=facts), safetensors.numpy.save(tensors)


def labeled_rows(
    writer: CacheWriter, reader: CacheReader, source: Source
) -> tuple[LabeledRows, LabeledRows, LabeledRows]:
    """Frames of the training clips: (to fit, to choose the epoch, held out to estimate the accuracy).

    The last two are of different recordings: the accuracy on rows that chose the best of many epochs is biased.
    """
    clips = [clip for clip in ClipIndex(source).over(writer.planned_videos.values()) if clip.split == "train"]
    selection_uids, held_out_uids = halves(selection_of(reader, clips))
    train, selection, held_out = _Rows(), _Rows(), _Rows()
    for clip in clips:
        if not clip.all_labels or not reader.shows(clip):
            continue
        uid = clip.video_uid
        rows = selection if uid in selection_uids else held_out if uid in held_out_uids else train
        timeline = reader.timeline(uid)
        for i in range(*timeline.window(clip.start_sec, clip.end_sec).indices(len(timeline.k))):
            row = int(timeline.row[i])
            rows.embeddings.append(reader.frames(timeline.unit[i]).embeddings(row, row + 1, 0)[0])
            rows.labels.append(clip.all_labels)
    dim = reader.identity.teacher.embed_dim
    return train.as_arrays(dim, source), selection.as_arrays(dim, source), held_out.as_arrays(dim, source)


def _held_out_figure(tensors: dict[str, np.ndarray], rows: LabeledRows) -> tuple[str, float | None]:
    """(name, value) of the figure of a head: top-1 accuracy, or mean average precision; None without rows."""
    logits = logits_from(tensors, rows.embeddings[:, None])[:, 0]
    if rows.labels.ndim == 2:
        return "held_out_frame_map", mean_average_precision(logits, rows.labels)
    return "held_out_frame_top1", float((logits.argmax(1) == rows.labels).mean()) if len(rows.labels) else None
