"""Adds label sets to a cache: clips of annotations or of another label set, with logits from cached embeddings.

Opens no video and embeds no image: at most the teacher's text tower is used.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from embedonce.cache.clip_texts import ClipTexts
from embedonce.cache.errors import some
from embedonce.cache.labels import ZERO_SHOT, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer, refuse_busy
from embedonce.cache.stores.registry import stored_path
from embedonce.models.names import default_prompt_style
from embedonce.pipeline.console.next_commands import train_line
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.files.disk_space import check_space
from embedonce.pipeline.files.output_folder import check_saved_settings
from embedonce.pipeline.files.recognition import is_settings
from embedonce.pipeline.labeling.label_sets import count_with_frames, summary_line, write_labels
from embedonce.pipeline.labeling.prompts.prompt_files import read_prompts
from embedonce.pipeline.labeling.requests import (
    LabelSetRequest,
    check_requests,
    chosen_head,
    possible_head,
    request_label_set,
)
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.labeling.space import RowSize, label_bytes
from embedonce.pipeline.labeling.text_targets import require_text_tower, warn_of_other_texts, with_texts, write_texts
from embedonce.pipeline.labeling.zero_shot_logits import with_class_text
from embedonce.pipeline.sources.class_selection import keep_frequent, renamed, with_class_names
from embedonce.pipeline.sources.folder.class_files import read_classes
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.registry import read_sources
from embedonce.pipeline.sources.source import Clip, Source, union
from embedonce.pipeline.teachers.teacher import Teacher, TextTeacher

log = logging.getLogger(__name__)

SETTINGS = "relabel_config.yaml"


@dataclass(frozen=True)
class Relabeled:
    """The label sets that were written, and the number of clips of each that have a frame in the cache."""

    label_sets: tuple[LabelSet, ...]
    with_frames: tuple[int, ...]
    next_line: str

    @property
    def summary(self) -> str:
        """The text shown at the end of the command."""
        lines = [summary_line(*pair) for pair in zip(self.label_sets, self.with_frames, strict=True)]
        return block([*lines, self.next_line])


class _Labels(NamedTuple):
    """annotation: the kind, or ""; name: of the label set, unless the user chose one."""

    annotation: str
    name: str
    source: Source


def relabel(config: RelabelConfig, load_teacher: Callable[[CacheReader], Teacher]) -> Relabeled:
    """Add the label sets of these settings to a cache.

    load_teacher: returns the teacher that made the cache; called only if class prompts or texts need its text tower.
    """
    reader = open_reader(config.cache_dir)
    check_saved_settings(stored_path(config.cache_dir) / SETTINGS, partial(is_settings, kind=RelabelConfig))
    requests = _requests(config, reader)
    check_requests(config.cache_dir, requests)
    needed = label_bytes(requests, 0, RowSize.of(reader.identity), reader)
    check_space(config.cache_dir, needed, "give --no-store-logits to compute logits when they are read")
    refuse_busy(config.cache_dir)
    teacher = None
    if any(request.labels.kind == ZERO_SHOT or request.embeds_texts for request in requests):
        teacher = load_teacher(reader)
        require_text_tower(requests, teacher)
        requests = [with_class_text(request, teacher) for request in requests]
    writer = open_writer(config.cache_dir, reader.identity)
    try:
        for request in requests:
            write_labels(writer, request, config.seed)
            if request.embeds_texts:
                write_texts(writer, request, cast(TextTeacher, teacher))
            warn_of_other_texts(writer, request)
        writer.write_sidecar(SETTINGS, config.as_yaml())
        writer.write_manifest()
        written = writer.reader()
        label_sets = tuple(written.label_set(request.labels.name) for request in requests)
        with_frames = tuple(count_with_frames(written, labels.clips) for labels in label_sets)
        return Relabeled(label_sets, with_frames, train_line(written, label_sets[0]))
    finally:
        writer.close()


def _requests(config: RelabelConfig, reader: CacheReader) -> list[LabelSetRequest]:
    cached = CachedVideos.of_folder(config.cache_dir)
    teacher = reader.identity.teacher.name
    style = config.prompt_style or default_prompt_style(teacher)
    prompts = read_prompts(config.prompts) if config.prompts else None
    requests = []
    for annotation, name, source in _labels(config, reader):
        matched = match_source(source, cached)
        for note in (note for note in matched.notes if note not in source.notes):
            log.info("%s", note)
        _note_unknown_videos(matched, cached)
        head = possible_head(chosen_head(config.teacher_head, prompts), teacher, matched)
        choices = config.label_set or name, style, config.store_logits, prompts
        requests.append(request_label_set(matched, annotation, head, *choices))
    return with_texts(requests, teacher) if config.embed_texts else requests


def _note_unknown_videos(source: Source, cached: CachedVideos) -> None:
    unknown = {clip.video_uid for clip in source.clips} - cached.planned.keys()
    file_of = {video.uid: video.source for video in source.videos}
    names = sorted(file_of.get(uid, uid) for uid in unknown)
    if names:
        log.info("videos that the cache does not have, whose clips are left out: %d (%s)", len(names), some(names))


def _labels(config: RelabelConfig, reader: CacheReader) -> list[_Labels]:
    if config.asks_for_annotations:
        return _annotated(config, reader)
    source = _over_clips(reader, config)
    for note in source.notes:
        log.info("%s", note)
    names_file = config.names_file
    assert names_file is not None  # the settings require one without annotations
    return [_Labels("", names_file.stem, source)]


def _annotated(config: RelabelConfig, reader: CacheReader) -> list[_Labels]:
    sources = read_sources(config.data_dir, config, cached_uids=reader.planned_uids(), needs_files=False)
    for note in union(sources).notes:
        log.info("%s", note)
    for kind, source in sources.items():
        if not source.clips:
            have = (
                f"{config.manifest} has" if config.manifest else f"the {kind} annotations under {config.data_dir} have"
            )
            raise InputError(f"{have} no clip of a video of {config.cache_dir}")
    if config.classes is not None:
        names = read_classes(config.classes)
        stem = config.classes.stem
        return [_Labels(kind, stem, with_class_names(source, names)) for kind, source in sources.items()]
    kept = keep_frequent(sources, config.num_actions)
    return [_Labels(kind, kind, renamed(source, config.class_names)) for kind, source in kept.items()]


def _over_clips(reader: CacheReader, config: RelabelConfig) -> Source:
    """The clips of a stored label set: with its classes, renamed or not, or unlabeled and with other classes."""
    names = reader.label_sets()
    if config.clips_from not in (names if config.clips_from or len(names) > 1 else (None,)):
        raise InputError(
            f"choose the label set of {config.cache_dir} whose clips to use: --clips-from {'|'.join(names)}"
        )
    labels = reader.label_set(config.clips_from)
    texts = reader.texts(labels.name).read() or ClipTexts()
    clips = tuple(
        Clip(c.clip_id, c.video_uid, c.start_sec, c.end_sec, c.label, c.split, texts.text_of(c), c.labels)
        for c in labels.clips
    )
    source = Source(Path(config.cache_dir), "folder", (), clips, labels.classes)
    if config.classes is not None:
        return with_class_names(source, read_classes(config.classes))
    return renamed(source, config.class_names)
