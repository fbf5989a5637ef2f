"""Label sets over a cache: clips with hard labels, and soft logits from the embeddings that are there.

No video is opened and no image goes through CLIP here. Knows the writer, class prompts and the fitted head.
"""

import dataclasses
import itertools
import logging
import math
from pathlib import Path

import numpy as np
import safetensors.numpy

from cache.labels import ClipLabel, LabelSet, check_same, head_tensors, logits_from
from cache.plan import PlannedVideo
from cache.reader import CacheReader
from cache.schema import Teacher, seconds
from cache.store import has_cache, open_reader
from cache.writer import CacheWriter
from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.sources import UNLABELLED, Clip, Source
from pipeline.splits import selection_uids

log = logging.getLogger(__name__)

PROMPTS = (  # averaged, as CLIP's authors do; the wording is first-person
    "a first-person video frame of someone {action}",
    "an egocentric photo of a person {action}",
    "what I see while I {action}",
    "hands of a person who {action}, seen from a head-mounted camera",
    "a photo of the action: {action}",
)
WINDOW_SEC = 10.0  # a whole video without annotations is cut into clips of at most this length
WITHOUT_LOGITS = "none"


def class_prompts(classes: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The texts of each class; underscores and dashes in names read as spaces."""
    actions = [" ".join(name.replace("_", " ").replace("-", " ").split()).lower() for name in classes]
    return tuple(tuple(prompt.format(action=action) for prompt in PROMPTS) for action in actions)


def effective_head(asked: str, source: Source) -> str:
    """The kind of logits that this source allows. InputError where the asked kind cannot be had."""
    if asked == WITHOUT_LOGITS:
        return asked
    if not source.classes:
        log.warning("the data names no classes: embeddings only, no soft logits (give names with --classes FILE)")
        return WITHOUT_LOGITS
    if asked == "fitted" and all(clip.label == UNLABELLED for clip in source.clips):
        raise InputError("--teacher-head fitted needs labelled clips and the data has none; use zero-shot")
    return asked


def check_label_set(cache_dir: Path, name: str, kind: str, source: Source) -> None:
    """LabelSetError where the cache has a label set of this name that means something else: before any work."""
    if has_cache(cache_dir) and name in (reader := open_reader(cache_dir)).label_sets():
        prompts = class_prompts(source.classes) if kind == "zero-shot" else ()
        check_same(LabelSet(name, kind, source.classes, prompts, None, {}), reader.label_set(name))


def zero_shot_labels(name: str, source: Source, teacher: Teacher) -> tuple[LabelSet, bytes]:
    """The label set of class prompts and its tensors, from the teacher's text tower."""
    prompts = class_prompts(source.classes)
    class_text, scale = teacher.class_text([list(texts) for texts in prompts])
    tensors = {"class_text": class_text.astype(np.float32), "logit_scale": np.array([scale], np.float32)}
    labels = LabelSet(name, "zero-shot", source.classes, prompts, float(scale), {})
    return labels, safetensors.numpy.save(tensors)


def write_labels(writer: CacheWriter, source: Source, labels: LabelSet, tensors: bytes | None, seed: int) -> LabelSet:
    """Create the label set where it is new, publish clips of new plan parts, and write the logits that lack.

    tensors: what logits come from; None for a fitted head, which is fitted here if it is not there yet.
    """
    if labels.kind == "fitted":
        labels, tensors = _fitted(writer, source, labels, seed)
    labels = writer.create_label_set(labels, tensors)
    for part in writer.plan:
        planned = {video.uid: video for video in part.videos}
        writer.publish_clips(labels.name, part.part, clip_labels(source, planned))
    if labels.has_logits:
        _write_logits(writer, labels)
    return labels


def clip_labels(source: Source, planned: dict[str, PlannedVideo]) -> list[ClipLabel]:
    """The source's clips over these videos; a clip without an end is cut into windows of even length."""
    return [cut for clip in source.clips if clip.video_uid in planned for cut in _cut(clip, planned[clip.video_uid])]


def _cut(clip: Clip, video: PlannedVideo) -> list[ClipLabel]:
    first_sec = float(seconds(video.first_pts, video.time_base))
    start = first_sec if clip.start_sec == -math.inf else clip.start_sec
    if clip.end_sec != math.inf:
        return [ClipLabel(clip.clip_id, clip.video_uid, start, clip.end_sec, clip.label, clip.split)]
    count = max(1, math.ceil((video.end_sec - start) / WINDOW_SEC))
    bounds = np.linspace(start, video.end_sec, count + 1)
    return [
        ClipLabel(f"{clip.clip_id}:{i}", clip.video_uid, float(a), float(b), clip.label, clip.split)
        for i, (a, b) in enumerate(itertools.pairwise(bounds))
    ]


def _write_logits(writer: CacheWriter, labels: LabelSet) -> None:
    reader = writer.reader()
    stored = reader.head(labels.name)
    lacking = [unit for unit in reader.records if unit not in reader.logits_units(labels.name)]
    with Progress(len(lacking), f"logits of label set {labels.name!r}", "shards") as progress:
        for unit in lacking:
            record = reader.records[unit]
            logits = logits_from(stored, reader.batch(unit).embeddings)
            writer.commit_logits(labels.name, unit, record.keys, logits, {})
            progress.update()
    reader.close()


def _fitted(writer: CacheWriter, source: Source, labels: LabelSet, seed: int) -> tuple[LabelSet, bytes | None]:
    """The head that is in the cache already, else one fitted to the training videos' embeddings."""
    reader = writer.reader()
    if labels.name in reader.label_sets():
        return dataclasses.replace(labels, facts=reader.label_set(labels.name).facts), None
    from models.fit import fit_action_head  # loads torch, which a zero-shot label set does not need here

    train, held_out = _labelled_rows(writer, reader, source)
    if not len(train[1]):
        raise InputError("no labelled training frame came out of the videos: there is nothing to fit a head to")
    head = fit_action_head(*train, *held_out, num_classes=len(labels.classes), seed=seed)
    tensors = head_tensors([tensor.numpy() for tensor in head.state_dict().values()])
    facts = {"train_rows": len(train[1]), "held_out_rows": len(held_out[1]), "held_out_frame_top1": None}
    if len(held_out[1]):
        predicted = logits_from(tensors, held_out[0][:, None])[:, 0].argmax(1)
        facts["held_out_frame_top1"] = float((predicted == held_out[1]).mean())
    log.info("fitted the action head: %s", ", ".join(f"{name} {value}" for name, value in facts.items()))
    return dataclasses.replace(labels, facts=facts), safetensors.numpy.save(tensors)


def _labelled_rows(writer: CacheWriter, reader: CacheReader, source: Source):
    """View-0 embeddings and labels of the training clips' frames: (to fit to, held out for selection)."""
    train_uids = {clip.video_uid for clip in source.clips if clip.split == "train"}
    held_uids = selection_uids(train_uids)
    rows: dict[bool, tuple[list, list]] = {False: ([], []), True: ([], [])}
    cached = set(reader.video_uids)
    for clip in clip_labels(source, writer.planned_videos):
        if clip.split != "train" or clip.label == UNLABELLED or clip.video_uid not in cached:
            continue
        timeline = reader.timeline(clip.video_uid)
        for i in range(*timeline.window(clip.start_sec, clip.end_sec).indices(len(timeline.k))):
            row = int(timeline.row[i])
            embeddings, labels = rows[clip.video_uid in held_uids]
            embeddings.append(reader.frames(timeline.unit[i]).embeddings(row, row + 1, 0)[0])
            labels.append(clip.label)
    dim = reader.identity.teacher.embed_dim
    return [
        (np.array(embeddings, np.float32).reshape(-1, dim), np.array(labels, np.int64))
        for embeddings, labels in rows.values()
    ]
