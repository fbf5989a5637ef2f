"""plan-ego4d as one call: what an Ego4D download contains, or would contain, and what extracting it takes."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.annotation_survey import short_videos, survey
from embedonce.pipeline.extraction.estimates import DEFAULT_EMBED_DIM
from embedonce.pipeline.extraction.settings import PlanConfig
from embedonce.pipeline.extraction.survey_text import survey_lines
from embedonce.pipeline.sources.ego4d.download.choice import Candidate, SelectionCriteria, choose, in_order
from embedonce.pipeline.sources.ego4d.download.membership import tasks_by_video
from embedonce.pipeline.sources.ego4d.kinds import KINDS
from embedonce.pipeline.sources.ego4d.layout import (
    ANNOTATIONS_ALONE,
    VideoFile,
    annotations_folder,
    download_root,
    how_to_download,
    pieces_on_disk,
    read_path,
)
from embedonce.pipeline.sources.ego4d.metadata import Metadata
from embedonce.pipeline.sources.ego4d.problems import Problems
from embedonce.pipeline.sources.ego4d.source import read_annotated, sources_of
from embedonce.pipeline.sources.source import keep_frequent, union

SUPERSET_KINDS = {"narrations-all"}  # wider forms of other kinds: read only if they are named

FindVideos = Callable[[Path, Metadata], tuple[dict[str, list[VideoFile]], list[str]]]


@dataclass(frozen=True)
class Plan:
    """The survey as JSON values, and as lines of text."""

    document: dict[str, Any]
    lines: list[str]


def plan(config: PlanConfig) -> Plan:
    """InputError if annotations are missing or malformed."""
    read_path(config.data_dir)
    options = config.source_options
    if not options.annotations:
        options = replace(options, annotations=_annotated_kinds(download_root(config.data_dir)))
    find_videos = _find_listed(config.num_videos) if config.assume_downloaded else pieces_on_disk
    sources = sources_of(read_annotated(config.data_dir, options, find_videos), options)
    sources = keep_frequent(sources, config.num_actions)
    short = {} if config.assume_downloaded else short_videos(union(sources), max(1, (os.cpu_count() or 2) - 1))
    surveyed = survey(sources, config.fps, config.views, DEFAULT_EMBED_DIM, short)
    notes = [f"note: {note}" for note in dict.fromkeys(n for source in sources.values() for n in source.notes)]
    return Plan(surveyed.document(), [*survey_lines(surveyed), *notes])


def _annotated_kinds(root: Path) -> tuple[str, ...]:
    """The kinds whose annotation files exist."""
    candidates = (kind for kind in KINDS if kind not in SUPERSET_KINDS)
    kinds = tuple(kind for kind in candidates if annotations_folder(root, KINDS[kind].files))
    if not kinds:
        raise InputError(f"{root} has ego4d.json but no annotations; {how_to_download(root, ANNOTATIONS_ALONE)}")
    return kinds


def _find_listed(num_videos: int | None) -> FindVideos:
    """Finds all listed videos as if their canonical files were on disk, or those that download-ego4d would choose."""

    def find(root: Path, metadata: Metadata) -> tuple[dict[str, list[VideoFile]], list[str]]:
        uids = list(metadata.videos)
        if num_videos is not None:
            uids = _chosen_uids(root, metadata, num_videos)
        return {uid: [VideoFile(uid, root / f"{uid}.mp4", f"{uid}.mp4", uid)] for uid in sorted(uids)}, []

    return find


def _chosen_uids(root: Path, metadata: Metadata, num_videos: int) -> list[str]:
    """The videos that download-ego4d chooses without limits and with its default seed."""
    names = tuple(name for kind in KINDS.values() for name in kind.files)
    folder = annotations_folder(root, names)
    tasks = tasks_by_video(folder, metadata, Problems()) if folder else {}
    videos = (video for video in metadata.videos.values() if tasks.get(video.uid))
    candidates = [Candidate(v.uid, v.duration_sec / 3600, tasks[v.uid], v.scenarios) for v in videos]
    criteria = SelectionCriteria(num_videos)
    return [video.uid for video in choose(in_order(candidates, criteria), criteria, lambda _: 0)]
