"""plan-ego4d as one call: what an Ego4D download contains, or would contain, and what extracting it takes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.annotation_survey import short_videos, survey
from embedonce.pipeline.extraction.estimates import DEFAULT_EMBED_DIM
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.extraction.survey_text import survey_lines
from embedonce.pipeline.processes.cores import usable_cores
from embedonce.pipeline.sources.class_selection import keep_frequent
from embedonce.pipeline.sources.ego4d.annotations.registry import KINDS
from embedonce.pipeline.sources.ego4d.download.annotated_tasks import tasks_by_video
from embedonce.pipeline.sources.ego4d.download.video_selection import (
    Candidate,
    SelectionCriteria,
    rank_candidates,
    select_videos,
)
from embedonce.pipeline.sources.ego4d.layout import (
    ANNOTATIONS_ONLY,
    FoundFiles,
    VideoFile,
    annotations_folder,
    download_hint,
    download_root,
    files_on_disk,
    read_path,
)
from embedonce.pipeline.sources.ego4d.metadata import Metadata
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems
from embedonce.pipeline.sources.ego4d.source import FindFiles, read_annotated, sources_of
from embedonce.pipeline.sources.ego4d.video_source import Ego4dSource
from embedonce.pipeline.sources.registry import options_of
from embedonce.pipeline.sources.source import union


@dataclass(frozen=True)
class Plan:
    """The survey as JSON values, and as lines of text."""

    document: dict[str, Any]
    lines: list[str]


def plan(config: PlanConfig) -> Plan:
    """InputError if annotations are missing or malformed."""
    read_path(config.data_dir)
    options = options_of(Ego4dSource(), config)
    if not options.annotations:
        options = replace(options, annotations=",".join(_annotated_kinds(download_root(config.data_dir))))
    find = _find_listed(config.num_videos) if config.assume_downloaded else files_on_disk
    sources = sources_of(read_annotated(config.data_dir, options, find), options)
    sources = keep_frequent(sources, config.num_actions)
    short = {} if config.assume_downloaded else short_videos(union(sources), usable_cores())
    surveyed = survey(sources, config.fps, config.views, DEFAULT_EMBED_DIM, short)
    notes = [f"note: {note}" for note in dict.fromkeys(n for source in sources.values() for n in source.notes)]
    return Plan(surveyed.document(), [*survey_lines(surveyed), *notes])


def _annotated_kinds(root: Path) -> tuple[str, ...]:
    """The kinds whose annotation files exist."""
    candidates = (kind for kind in KINDS.values() if not kind.is_superset)
    kinds = tuple(kind.name for kind in candidates if annotations_folder(root, kind.files))
    if not kinds:
        raise InputError(f"{root} has ego4d.json but no annotations; {download_hint(root, ANNOTATIONS_ONLY)}")
    return kinds


def _find_listed(num_videos: int | None) -> FindFiles:
    """Finds all listed videos as if their canonical files were on disk, or those that download-ego4d would choose."""

    def find(root: Path, metadata: Metadata) -> FoundFiles:
        uids = list(metadata.videos)
        if num_videos is not None:
            uids = _chosen_uids(root, metadata, num_videos)
        return FoundFiles({uid: [VideoFile(uid, root / f"{uid}.mp4", f"{uid}.mp4", uid)] for uid in sorted(uids)})

    return find


def _chosen_uids(root: Path, metadata: Metadata, num_videos: int) -> list[str]:
    """The videos that download-ego4d chooses without limits and with its default seed."""
    names = tuple(name for kind in KINDS.values() for name in kind.files)
    folder = annotations_folder(root, names)
    tasks = tasks_by_video(folder, metadata, Problems()) if folder else {}
    videos = (video for video in metadata.videos.values() if tasks.get(video.uid))
    candidates = [Candidate(v.uid, v.duration_sec / 3600, tasks[v.uid], v.scenarios) for v in videos]
    criteria = SelectionCriteria(num_videos)
    return [video.uid for video in select_videos(rank_candidates(candidates, criteria), criteria, lambda _: 0)]
