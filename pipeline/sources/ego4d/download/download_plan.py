"""Plans a download: which videos, and which files of them, given ego4d.json, annotations, manifest and sizes on S3.

Downloads no video.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.download import bucket
from embedonce.pipeline.sources.ego4d.download.annotated_tasks import tasks_by_video
from embedonce.pipeline.sources.ego4d.download.bucket import Bucket, S3File, SizePrefetcher
from embedonce.pipeline.sources.ego4d.download.transfers import RemoteFile, Transfer
from embedonce.pipeline.sources.ego4d.download.video_selection import (
    GB,
    Candidate,
    SelectionCriteria,
    rank_candidates,
    select_videos,
)
from embedonce.pipeline.sources.ego4d.layout import ANNOTATIONS, CLIPS
from embedonce.pipeline.sources.ego4d.metadata import FILE_NAME, Metadata, read_metadata
from embedonce.pipeline.sources.ego4d.parsing.notes import format_notes
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems

# Estimated gigabytes per hour, by data set. Of 3,670 h, full_scale is documented as 7 TB and video_540ss as 5 TB; clips
# are encoded at higher quality, which is assumed to double the size.
GB_PER_HOUR = {"full_scale": 2.0, "video_540ss": 1.4, "clips": 4.0, "clips_540ss": 1.4}


@dataclass(frozen=True)
class DownloadConfig:
    """What to download. kind: the data set, one of GB_PER_HOUR. version: as Ego4D's client names it, such as v2_1."""

    data_dir: Path
    kind: str
    version: str
    profile: str
    criteria: SelectionCriteria

    @property
    def version_folder(self) -> str:
        """The folder that the client uses for the version: v2 for v2_1."""
        return self.version.split("_")[0]


@dataclass(frozen=True)
class _VideoParts:
    """The files of each video in a data set, and the hours that they last, by uid of the video."""

    files: dict[str, list[S3File]]
    hours: dict[str, float]


def plan_videos(config: DownloadConfig, s3: Bucket | None) -> Transfer:
    """The files of the selected videos. s3: None if sizes must be estimated.

    The videos on disk do not influence the selection, so that it is the same at any time.
    """
    problems = Problems()
    metadata = read_metadata(config.data_dir / FILE_NAME, FILE_NAME, problems)
    tasks = tasks_by_video(config.data_dir / config.version_folder / ANNOTATIONS, metadata, problems)
    problems.check(config.data_dir)
    parts = _video_parts(config, metadata, s3)
    videos = [metadata.videos[uid] for uid in parts.files if tasks.get(uid)]
    candidates = [Candidate(v.uid, parts.hours[v.uid], tasks[v.uid], v.scenarios) for v in videos]
    ranked = rank_candidates(candidates, config.criteria)
    gb_per_hour = GB_PER_HOUR[config.kind]
    prefetcher = None if s3 is None else SizePrefetcher(s3, parts.files, [video.uid for video in ranked])
    size_of = prefetcher or (lambda uid: round(parts.hours[uid] * gb_per_hour * GB))
    try:
        selected = select_videos(ranked, config.criteria, size_of)
    except InputError as error:
        raise InputError("; ".join([str(error), *_unavailable_note(prefetcher)])) from error
    files = tuple(
        RemoteFile(
            f"{config.version_folder}/{config.kind}/{file.name}",
            file.uid,
            None if prefetcher is None else prefetcher.known[file],
        )
        for video in selected
        for file in parts.files[video.uid]
    )
    notes = (*format_notes(problems.notes(FILE_NAME)), *_unavailable_note(prefetcher))
    return Transfer(config.kind, files, tuple(selected), gb_per_hour, notes)


def _unavailable_note(prefetcher: SizePrefetcher | None) -> list[str]:
    """A note about listed videos that cannot be downloaded, if there are any."""
    if prefetcher is None or not prefetcher.unavailable:
        return []
    return [
        f"skipped {len(prefetcher.unavailable)} videos whose files are missing on S3 or denied to these credentials"
    ]


def _video_parts(config: DownloadConfig, metadata: Metadata, s3: Bucket | None) -> _VideoParts:
    """The files that Ego4D's manifest lists; all files of ego4d.json if there is no manifest."""
    parts = [(uid, uid, video.duration_sec) for uid, video in metadata.videos.items()]
    if config.kind in CLIPS:
        parts = [(c.video_uid, uid, c.end_sec - c.start_sec) for uid, c in metadata.clips.items()]
    manifest = s3.manifest(config.version, config.kind) if s3 is not None else _local_manifest(config)
    files: dict[str, list[S3File]] = defaultdict(list)
    hours: dict[str, float] = defaultdict(float)
    for video_uid, uid, seconds in parts:
        if manifest is None or uid in manifest:
            files[video_uid].append(manifest[uid] if manifest else S3File(uid, f"{uid}.mp4", "", ""))
            hours[video_uid] += seconds / 3600
    return _VideoParts(dict(files), dict(hours))


def _local_manifest(config: DownloadConfig) -> dict[str, S3File] | None:
    """The manifest that an earlier download left in the folder; None if there is none."""
    path = config.data_dir / config.version_folder / config.kind / "manifest.csv"
    if not path.is_file():
        return None
    return bucket.read_manifest(read_plain(path, LIST_BYTES).decode("utf-8-sig"), str(path))
