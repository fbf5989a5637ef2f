"""The choice of videos made from what is at hand: ego4d.json, annotations, Ego4D's manifest, sizes on S3.

Fetches nothing; the rule of the choice is in choose.py, that of the tasks in membership.py.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from embedonce.models.plain_files import LIST_BYTES, read_plain
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d.download import bucket
from embedonce.pipeline.sources.ego4d.download.bucket import Bucket, S3File, SizesAhead
from embedonce.pipeline.sources.ego4d.download.choice import Candidate, SelectionCriteria, choose, in_order
from embedonce.pipeline.sources.ego4d.download.membership import tasks_by_video
from embedonce.pipeline.sources.ego4d.download.transfers import RemoteFile, Transfer
from embedonce.pipeline.sources.ego4d.layout import CLIPS
from embedonce.pipeline.sources.ego4d.metadata import Metadata, read_metadata
from embedonce.pipeline.sources.ego4d.problems import Problems

# Gigabytes an hour, to guess by: of 3,670 h, full_scale is said to be 7 TB and video_540ss 5 TB; clips are encoded at
# a higher quality, which is only assumed to double them.
GB_PER_HOUR = {"full_scale": 2.0, "video_540ss": 1.4, "clips": 4.0, "clips_540ss": 1.4}
METADATA = "ego4d.json"


@dataclass(frozen=True)
class DownloadConfig:
    """kind: one of GB_PER_HOUR. version: as the client names it."""

    data_dir: Path
    kind: str
    version: str
    profile: str
    wish: SelectionCriteria

    @property
    def folder(self) -> str:
        """Where the client puts a version: v2_1 into v2."""
        return self.version.split("_")[0]


def chosen(config: DownloadConfig, s3: Bucket | None) -> Transfer:
    """The files of the videos that a wish takes. s3: None where sizes must be guessed.

    What is on disk of the videos does not matter, so that the choice is the same at any time.
    """
    problems = Problems()
    metadata = read_metadata(config.data_dir / METADATA, METADATA, problems)
    tasks = tasks_by_video(config.data_dir / config.folder / "annotations", metadata, problems)
    problems.check(config.data_dir)
    parts, hours = _parts(config, metadata, s3)
    videos = (metadata.videos[uid] for uid in parts if tasks.get(uid))
    candidates = [Candidate(v.uid, hours[v.uid], tasks[v.uid], v.scenarios) for v in videos]
    ordered = in_order(candidates, config.wish)
    guess = GB_PER_HOUR[config.kind]
    ahead = SizesAhead(s3, parts, [video.uid for video in ordered]) if s3 is not None else None
    notes = problems.notes()
    try:
        taken = choose(ordered, config.wish, ahead or (lambda uid: round(hours[uid] * guess * 1e9)))
    except InputError as error:
        raise InputError("; ".join([str(error), *_passed_over(ahead)])) from error
    files = (
        RemoteFile(f"{config.folder}/{config.kind}/{file.name}", file.uid, ahead.known[file] if ahead else None)
        for video in taken
        for file in parts[video.uid]
    )
    return Transfer(config.kind, tuple(files), tuple(taken), guess, (*notes, *_passed_over(ahead)))


def _passed_over(ahead: SizesAhead | None) -> list[str]:
    """What to tell of listed videos that are not to be had."""
    count = len(ahead.absent) if ahead is not None else 0
    return [f"passed over {count} videos that S3 has no file for, or does not give to these credentials"] * (count > 0)


def _parts(
    config: DownloadConfig, metadata: Metadata, s3: Bucket | None
) -> tuple[dict[str, list[S3File]], dict[str, float]]:
    """The files of each video in the data set, and their hours; of those that Ego4D's manifest lists."""
    pieces = [(uid, uid, facts.duration_sec) for uid, facts in metadata.videos.items()]
    if config.kind in CLIPS:
        pieces = [(c.video_uid, uid, c.end_sec - c.start_sec) for uid, c in metadata.clips.items()]
    manifest = s3.manifest(config.version, config.kind) if s3 is not None else _old_manifest(config)
    parts, hours = defaultdict(list), defaultdict(float)
    for video_uid, uid, seconds in pieces:
        if manifest is None or uid in manifest:
            parts[video_uid].append(manifest[uid] if manifest else S3File(uid, f"{uid}.mp4", "", ""))
            hours[video_uid] += seconds / 3600
    return dict(parts), dict(hours)


def _old_manifest(config: DownloadConfig) -> dict[str, S3File] | None:
    path = config.data_dir / config.folder / config.kind / "manifest.csv"
    if not path.is_file():
        return None
    return bucket.read_manifest(read_plain(path, LIST_BYTES).decode("utf-8-sig"), str(path))
