"""Choose the clips that a student is evaluated on: of one split, with frames, and not of its training recordings."""

import dataclasses
import logging
from collections.abc import Iterable

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.checkpoints.student_teachers import main_teacher
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.splits.class_coverage import missing_classes

log = logging.getLogger(__name__)

_PART_OF = {"train": "training", "val": "validation", "test": "test"}


def held_out(
    config: EvaluateConfig,
    meta: Checkpoint,
    reader: CacheReader,
    labels: LabelSet,
    teachers: tuple[str, ...] | None = None,
) -> ClipDataset:
    """The clips to evaluate on. meta: the checkpoint. InputError if there are none.

    teachers: names in the cache of those whose embeddings items have; None for the student's main one.
    """
    chosen = (main_teacher(meta, reader)[0],) if teachers is None else teachers
    clips = [clip for clip in labels.clips if clip.split == config.split]
    if config.split != "train" and meta.label_set != labels.name:
        clips = _without_training_recordings(clips, meta.label_set, reader)
    if config.split != "train":
        clips = _without_training_files(clips, set(meta.trained_on), reader, labels)
    sampling = ClipSampling(meta.frames_per_clip, meta.student.resolution, random=False, seed=config.seed)
    dataset = ClipDataset(reader, labels, clips, sampling, teachers=chosen)
    if dataset.num_empty:
        log.warning("%d of %d clips have no frame in the cache and are left out", dataset.num_empty, len(clips))
    if not len(dataset):
        counts = {s: sum(clip.split == s for clip in labels.clips) for s in ("train", "val", "test")}
        raise InputError(
            f"--split {config.split} has no clip with a frame in the cache (clips: "
            + ", ".join(f"{count} {name}" for name, count in counts.items())
            + "); add videos, or evaluate another split"
        )
    if dataset.longest < sampling.frames_per_clip:  # no clip has more frames: the rest would be padding
        sampling = dataclasses.replace(sampling, frames_per_clip=dataset.longest)
        dataset = ClipDataset(reader, labels, dataset.clips, sampling, teachers=chosen)
    if config.num_samples is not None and config.num_samples < len(dataset):
        kept = np.random.default_rng(config.seed).permutation(len(dataset))[: config.num_samples]
        dataset = ClipDataset(reader, labels, [dataset.clips[i] for i in sorted(kept)], sampling, teachers=chosen)
    trained = [clip for clip in labels.clips if clip.split == "train" and reader.shows(clip)]
    parts: dict[str, Iterable[ClipLabel]] = {_PART_OF[config.split]: dataset.clips}
    if config.split != "train" and trained and meta.label_set == labels.name:
        parts = {"training": trained} | parts
    if warning := missing_classes(labels, parts):
        log.warning("%s", warning)
    return dataset


def _without_training_recordings(clips: list[ClipLabel], trained: str | None, reader: CacheReader) -> list[ClipLabel]:
    """The clips whose recordings are not in the training split of the label set that the student was trained on."""
    if trained not in reader.label_sets():
        log.warning(
            "the student was trained on label set %r, which is not in this cache: training videos may be among these",
            trained,
        )
        return clips
    seen = {recording_of(clip.video_uid) for clip in reader.label_set(trained).clips if clip.split == "train"}
    kept = [clip for clip in clips if recording_of(clip.video_uid) not in seen]
    if len(kept) < len(clips):
        log.warning(
            "%d clips are left out: their recordings are in the training split of label set %r",
            len(clips) - len(kept),
            trained,
        )
    return kept


def _without_training_files(
    clips: list[ClipLabel], trained_on: set[str], reader: CacheReader, labels: LabelSet
) -> list[ClipLabel]:
    """The clips whose files, by content, the student was not trained on, whatever split they are in now.

    Videos that the label set itself has in two splits are kept.
    """
    shared = {clip.video_uid for clip in labels.clips if clip.split == "train"}
    kept = [c for c in clips if c.video_uid in shared or reader.content_of(c.video_uid) not in trained_on]
    if len(kept) < len(clips):
        log.warning("%d clips are left out: the student was trained on their recordings", len(clips) - len(kept))
    return kept
