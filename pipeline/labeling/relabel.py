"""Another label set over a cache that is there: clips of annotations or of another label set, logits from embeddings.

Opens no video and sends no image through CLIP: at most the teacher's text tower is used.
"""

import logging
from dataclasses import dataclass
from functools import partial

from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader, open_writer
from embedonce.models.names import usual_prompt_style
from embedonce.pipeline.console.next_commands import train_line
from embedonce.pipeline.console.printable import block
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.files.output_folder import check_saved_settings
from embedonce.pipeline.files.recognition import is_settings
from embedonce.pipeline.labeling.label_sets import (
    asked_labels,
    check_label_sets,
    count_with_frames,
    in_words,
    with_class_text,
    write_labels,
)
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.sources.class_selection import keep_frequent, renamed, with_class_names
from embedonce.pipeline.sources.folder.class_files import read_classes
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.registry import read_sources
from embedonce.pipeline.sources.source import Clip, Source, union

log = logging.getLogger(__name__)

SETTINGS = "relabel_config.yaml"


@dataclass(frozen=True)
class Relabeled:
    """The label sets that were written, and how many of the clips of each have a frame in the cache."""

    label_sets: tuple[LabelSet, ...]
    with_frames: tuple[int, ...]
    next_line: str

    @property
    def summary(self) -> str:
        """What a user reads at the end."""
        lines = [in_words(*pair) for pair in zip(self.label_sets, self.with_frames, strict=True)]
        return block([*lines, self.next_line])


def relabel(config: RelabelConfig, load_teacher) -> Relabeled:
    """Add the label sets that the settings ask for.

    load_teacher: (reader) -> the teacher that made the cache; called only where class prompts need its text tower.
    """
    reader = open_reader(config.cache_dir)
    check_saved_settings(config.cache_dir / SETTINGS, partial(is_settings, kind=RelabelConfig))
    cached = CachedVideos.of_folder(config.cache_dir)
    style = config.prompt_style or usual_prompt_style(reader.identity.teacher.name)
    asked = [
        asked_labels(match_source(source, cached), kind, config.teacher_head, config.label_set or name, style)
        for kind, name, source in _sources(config, reader)
    ]
    check_label_sets(config.cache_dir, asked)
    if any(labeling.labels.kind == "zero-shot" for labeling in asked):
        teacher = load_teacher(reader)
        asked = [with_class_text(labeling, teacher) for labeling in asked]
    writer = open_writer(config.cache_dir, reader.identity)
    try:
        for labeling in asked:
            write_labels(writer, labeling, config.seed)
        writer.write_sidecar(SETTINGS, config.as_yaml())
        writer.write_manifest()
        written = writer.reader()
        label_sets = tuple(written.label_set(labeling.labels.name) for labeling in asked)
        with_frames = tuple(count_with_frames(written, labels.clips) for labels in label_sets)
        return Relabeled(label_sets, with_frames, train_line(written, label_sets[0]))
    finally:
        writer.close()


def _sources(config: RelabelConfig, reader: CacheReader) -> list[tuple[str, str, Source]]:
    """(kind of annotation, usual name of its label set, source)"""
    if not config.asks_for_annotations:
        source = _over_clips(reader, config)
        for note in source.notes:
            log.info("%s", note)
        return [("", config.names_file.stem, source)]
    sources = read_sources(config.data_dir, config, cached_uids=reader.planned_uids(), needs_files=False)
    for note in union(sources).notes:
        log.info("%s", note)
    for kind, source in sources.items():
        if not source.clips:
            raise InputError(f"the {kind} annotations under {config.data_dir} speak of no video of {config.cache_dir}")
    if config.classes is not None:
        names = read_classes(config.classes)
        return [(kind, config.classes.stem, with_class_names(source, names)) for kind, source in sources.items()]
    kept = keep_frequent(sources, config.num_actions)
    return [(kind, kind, renamed(source, config.class_names)) for kind, source in kept.items()]


def _over_clips(reader: CacheReader, config: RelabelConfig) -> Source:
    """The clips of a label set that is there: its classes renamed, or unlabeled and with other classes."""
    names = reader.label_sets()
    if config.clips_from not in (names if config.clips_from or len(names) > 1 else (None,)):
        raise InputError(f"say whose clips of {config.cache_dir} are taken: --clips-from {'|'.join(names)}")
    labels = reader.label_set(config.clips_from)
    clips = tuple(
        Clip(clip.clip_id, clip.video_uid, clip.start_sec, clip.end_sec, clip.label, clip.split)
        for clip in labels.clips
    )
    source = Source(config.cache_dir, "folder", (), clips, labels.classes)
    if config.class_names is not None:
        return renamed(source, config.class_names)
    return with_class_names(source, read_classes(config.classes))
