"""Label sets over a cache: clips with hard labels, and soft logits from the embeddings that are there.

No video is opened and no image goes through CLIP here. Knows the writer, class prompts and the fitted head.
"""

import dataclasses
import itertools
import logging
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from embedonce.cache.labels import ClipLabel, LabelSet, check_same, head_tensors, logits_from
from embedonce.cache.plan import PlannedVideo, PlanPart
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import TIME_TOLERANCE_SEC, Teacher, seconds
from embedonce.cache.store import has_cache, open_reader
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.labeling.class_checks import check_classes, check_vectors
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.labeling.revision import Revision, revise
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.settings import LabelingSettings
from embedonce.pipeline.sources.source import UNLABELED, Clip, Source
from embedonce.pipeline.splits.assignment import halves
from embedonce.pipeline.splits.class_coverage import selection_of

log = logging.getLogger(__name__)

WINDOW_SEC = 10.0  # a whole video without annotations is cut into clips of at most this length
WITHOUT_LOGITS = "none"


@dataclass(frozen=True)
class Labeling:
    """A label set that is to be written over a source's clips, and the tensors its logits come from.

    tensors: None for a head that is fitted to the cache, and where there are no logits.
    """

    source: Source
    labels: LabelSet
    tensors: bytes | None = None


def asked_labels(
    source: Source, annotation: str, head: str, name: str | None = None, prompt_style: str = "english"
) -> Labeling:
    """The label set that these options ask for, as far as it is known before a teacher is loaded.

    It is named by the kind of annotation, or by the head where there is none, unless name is given. prompt_style: of
    class prompts, one of `models.names.PROMPT_STYLES`. InputError where
    the head cannot be had, or the names of classes cannot be told apart or understood.
    """
    kind = _effective_head(head, source)
    prompts = class_prompts(source.classes, annotation, prompt_style) if kind == "zero-shot" else ()
    check_classes(source, prompts)
    facts = {"annotations": annotation} if annotation else {}
    return Labeling(source, LabelSet(name or annotation or kind, kind, source.classes, prompts, None, facts))


def check_label_sets(cache_dir: Path, asked: list[Labeling]) -> None:
    """LabelSetError where the cache has a label set of such a name that means something else: before any work.

    The sources are matched with the cache.
    """
    if not has_cache(cache_dir):
        return
    reader = open_reader(cache_dir)
    plan, names = reader.plan(), reader.label_sets()
    for labeling in asked:
        if labeling.labels.name in names:
            check_same(labeling.labels, reader.label_set(labeling.labels.name))
            revision_of(reader, plan, labeling)


def refuse_lost_classes(config: LabelingSettings, sources: dict[str, Source]) -> None:
    """InputError where a cache has labels and the data names no classes any more: a stray file, most likely.

    Another label set beside the first would make every command ask which one is meant.
    """
    is_asked = config.label_set or config.teacher_head == WITHOUT_LOGITS
    if is_asked or any(source.classes for source in sources.values()) or not has_cache(config.cache_dir):
        return
    reader = open_reader(config.cache_dir)
    labeled = [name for name in reader.label_sets() if reader.label_set(name).classes]
    if labeled:
        why = next((source.no_classes_reason for source in sources.values() if source.no_classes_reason), "no classes")
        raise InputError(
            f"{config.cache_dir} has label set {labeled[0]!r} with classes, and the data names none now ({why}); put "
            "the videos into folders of their classes, or name another label set with --label-set"
        )


def with_class_text(labeling: Labeling, teacher: Teacher) -> Labeling:
    """With the tensors of class prompts from the teacher's text tower, where its logits are zero-shot."""
    if labeling.labels.kind != "zero-shot":
        return labeling
    class_text, scale = teacher.class_text([list(texts) for texts in labeling.labels.prompts])
    check_vectors(labeling.source, class_text)
    tensors = {"class_text": class_text.astype(np.float32), "logit_scale": np.array([scale], np.float32)}
    labels = dataclasses.replace(labeling.labels, logit_scale=float(scale))
    return Labeling(labeling.source, labels, safetensors.numpy.save(tensors))


def write_labels(writer: CacheWriter, labeling: Labeling, seed: int) -> LabelSet:
    """Create the label set where it is new, publish clips of new plan parts, and write the logits that lack."""
    source = match_source(labeling.source, CachedVideos.of_writer(writer))
    labels, tensors = labeling.labels, labeling.tensors
    if labels.kind == "fitted":
        labels, tensors = _fitted(writer, source, labels, seed)
    labels = writer.create_label_set(labels, tensors)
    _publish_clips(writer, Labeling(source, labels))
    if labels.has_logits:
        _write_logits(writer, labels)
    return labels


def count_with_frames(reader: CacheReader, clips: tuple[ClipLabel, ...]) -> int:
    """How many of the clips have at least one frame in the cache."""
    return sum(map(reader.shows, clips))


def in_words(labels: LabelSet, with_frames: int) -> str:
    """One line on a label set."""
    without = len(labels.clips) - with_frames
    told = (
        f"; {without} have no frame in the cache: their times were not asked for when their videos were planned, or "
        "show nothing"
    )
    return f"label set {labels.name}: {len(labels.classes)} classes, {len(labels.clips)} clips{told if without else ''}"


def revision_of(reader: CacheReader, plan: list[PlanPart], labeling: Labeling) -> Revision:
    """The clips that a label set is to have now, by plan part. LabelSetError where it may not have them."""
    clips, videos = ClipIndex(labeling.source), {video.uid: video for part in plan for video in part.videos}
    asked = {part.part: clips.over(part.videos) for part in plan}
    return revise(reader.clip_parts(labeling.labels.name), asked, labeling.labels, labeling.source, videos)


def _publish_clips(writer: CacheWriter, labeling: Labeling) -> None:
    """Publish the clips of new plan parts, or of all in one step where stored ones are to change."""
    reader, name = writer.reader(), labeling.labels.name
    revision = revision_of(reader, writer.plan, labeling)
    for line in revision.lines:
        log.warning("%s", line)
    if revision.lines:
        writer.revise_clips(name, [revision.parts[part.part] for part in writer.plan])
        return
    stored = reader.clip_parts(name)
    for part in writer.plan:
        if part.part not in stored:
            writer.publish_clips(name, part.part, revision.parts[part.part])


def _effective_head(asked: str, source: Source) -> str:
    if asked == WITHOUT_LOGITS:
        return asked
    if not source.classes:
        log.warning("the data names no classes: embeddings only, no soft logits (give names with --classes FILE)")
        return WITHOUT_LOGITS
    if asked == "fitted" and all(clip.label == UNLABELED for clip in source.clips):
        raise InputError("--teacher-head fitted needs labeled clips and the data has none; use zero-shot")
    return asked


class ClipIndex:
    """A source's clips by video; a clip without an end is cut into windows of even length."""

    def __init__(self, source: Source):
        self._clips: dict[str, list[Clip]] = defaultdict(list)
        for clip in source.clips:
            self._clips[clip.video_uid].append(clip)

    def over(self, videos: Iterable[PlannedVideo]) -> list[ClipLabel]:
        """The clips over these videos."""
        return [cut for video in videos for clip in self._clips.get(video.uid, ()) for cut in _cut(clip, video)]


def _cut(clip: Clip, video: PlannedVideo) -> list[ClipLabel]:
    first_sec = float(seconds(video.first_pts, video.time_base))
    start = first_sec if clip.start_sec == -math.inf else clip.start_sec
    if clip.end_sec != math.inf:
        return [ClipLabel(clip.clip_id, clip.video_uid, start, clip.end_sec, clip.label, clip.split)]
    count = max(1, math.ceil((video.end_sec - TIME_TOLERANCE_SEC - start) / WINDOW_SEC))
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
            logits = logits_from(stored, reader.all_embeddings(unit))
            writer.commit_logits(labels.name, unit, record.keys, logits, {})
            progress.update()
    reader.close()


def _fitted(writer: CacheWriter, source: Source, labels: LabelSet, seed: int) -> tuple[LabelSet, bytes | None]:
    """The head that is in the cache already, else one fitted to the training videos' embeddings."""
    reader = writer.reader()
    if labels.name in reader.label_sets():
        return dataclasses.replace(labels, facts=reader.label_set(labels.name).facts), None
    from embedonce.models.fit import fit_action_head  # loads torch, which a zero-shot label set does not need here

    train, selection, held_out = _labeled_rows(writer, reader, source)
    if not len(train[1]):
        raise InputError("no labeled training frame came out of the videos: there is nothing to fit a head to")
    head = fit_action_head(*train, *selection, num_classes=len(labels.classes), seed=seed)
    tensors = head_tensors([tensor.numpy() for tensor in head.state_dict().values()])
    facts = labels.facts | {
        "train_rows": len(train[1]),
        "selection_rows": len(selection[1]),
        "held_out_rows": len(held_out[1]),
    }
    facts["held_out_frame_top1"] = None
    if len(held_out[1]):
        predicted = logits_from(tensors, held_out[0][:, None])[:, 0].argmax(1)
        facts["held_out_frame_top1"] = float((predicted == held_out[1]).mean())
    log.info("fitted the action head: %s", ", ".join(f"{name} {value}" for name, value in facts.items()))
    return dataclasses.replace(labels, facts=facts), safetensors.numpy.save(tensors)


def _labeled_rows(writer: CacheWriter, reader: CacheReader, source: Source):
    """View-0 embeddings and labels of the training clips' frames: (to fit to, to choose the epoch by, to judge by).

    The last are of other recordings than the second: what was chosen as the best of many is no measure of itself.
    """
    clips = [clip for clip in ClipIndex(source).over(writer.planned_videos.values()) if clip.split == "train"]
    choosing, judging = halves(selection_of(reader, clips))
    rows: dict[str, tuple[list, list]] = {part: ([], []) for part in ("train", "selection", "held out")}
    for clip in clips:
        if clip.label == UNLABELED or not reader.shows(clip):
            continue
        timeline = reader.timeline(clip.video_uid)
        for i in range(*timeline.window(clip.start_sec, clip.end_sec).indices(len(timeline.k))):
            row = int(timeline.row[i])
            part = "selection" if clip.video_uid in choosing else "held out" if clip.video_uid in judging else "train"
            embeddings, labels = rows[part]
            embeddings.append(reader.frames(timeline.unit[i]).embeddings(row, row + 1, 0)[0])
            labels.append(clip.label)
    dim = reader.identity.teacher.embed_dim
    return [
        (np.array(embeddings, np.float32).reshape(-1, dim), np.array(labels, np.int64))
        for embeddings, labels in rows.values()
    ]
