"""The clips that a student is judged by: of a split, with frames, and of recordings that it was not trained on.

Knows caches and label sets; runs nothing.
"""

import dataclasses
import logging

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.checkpoints.checkpoint import Checkpoint
from embedonce.pipeline.clips.dataset import ClipDataset, ClipSampling
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.naming.uids import recording_of
from embedonce.pipeline.splits.class_coverage import missing_classes

log = logging.getLogger(__name__)

_PART_OF = {"train": "training", "val": "validation", "test": "test"}


def held_out(config: EvaluateConfig, meta: Checkpoint, reader: CacheReader, labels: LabelSet) -> ClipDataset:
    """The clips to judge by. InputError where there is none."""
    clips = [clip for clip in labels.clips if clip.split == config.split]
    if config.split != "train" and meta.label_set != labels.name:
        clips = _not_trained_on(clips, meta.label_set, reader)
    if config.split != "train":
        clips = _not_seen(clips, set(meta.trained_on), reader, labels)
    sampling = ClipSampling(meta.frames_per_clip, meta.student.resolution, random=False, seed=config.seed)
    dataset = ClipDataset(reader, labels, clips, sampling)
    if dataset.num_empty:
        log.warning("%d of %d clips have no frame in the cache and are left out", dataset.num_empty, len(clips))
    if not len(dataset):
        there = {s: sum(clip.split == s for clip in labels.clips) for s in ("train", "val", "test")}
        raise InputError(
            f"--split {config.split} has no clip with a frame in the cache (clips: "
            + ", ".join(f"{count} {name}" for name, count in there.items())
            + "); add videos, or evaluate another split"
        )
    if dataset.longest < sampling.frames_per_clip:  # frames that no clip has would be padding alone
        sampling = dataclasses.replace(sampling, frames_per_clip=dataset.longest)
        dataset = ClipDataset(reader, labels, dataset.clips, sampling)
    if config.num_samples is not None and config.num_samples < len(dataset):
        kept = np.random.default_rng(config.seed).permutation(len(dataset))[: config.num_samples]
        dataset = ClipDataset(reader, labels, [dataset.clips[i] for i in sorted(kept)], sampling)
    trained = [clip for clip in labels.clips if clip.split == "train" and reader.shows(clip)]
    parts = {_PART_OF[config.split]: dataset.clips}
    if config.split != "train" and trained and meta.label_set == labels.name:
        parts = {"training": trained} | parts
    if told := missing_classes(labels, parts):
        log.warning("%s", told)
    return dataset


def _not_trained_on(clips: list[ClipLabel], trained: str | None, reader: CacheReader) -> list[ClipLabel]:
    """Clips of recordings that the label set which a student was trained on does not train on."""
    if trained not in reader.label_sets():
        log.warning("the student was trained on label set %r, which this cache lacks: videos may be shared", trained)
        return clips
    seen = {recording_of(clip.video_uid) for clip in reader.label_set(trained).clips if clip.split == "train"}
    kept = [clip for clip in clips if recording_of(clip.video_uid) not in seen]
    if len(kept) < len(clips):
        log.warning("%d clips are of videos that label set %r trains on: left out", len(clips) - len(kept), trained)
    return kept


def _not_seen(clips: list[ClipLabel], trained_on: set[str], reader: CacheReader, labels: LabelSet) -> list[ClipLabel]:
    """Clips of files that the student was not trained on, by their content, whatever the label set says of them now.

    Where the label set itself has a video in two splits, that stays as it is.
    """
    shared = {clip.video_uid for clip in labels.clips if clip.split == "train"}
    kept = [c for c in clips if c.video_uid in shared or reader.content_of(c.video_uid) not in trained_on]
    if len(kept) < len(clips):
        log.warning("%d clips are of recordings that the student was trained on: left out", len(clips) - len(kept))
    return kept
