"""Finds ego4d.json, the annotations and the video files of an Ego4D download, as Ego4D's client lays them out.

Looks at names only; opens no file.
"""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.console.next_commands import command
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import PART, part_uid, recording_of
from embedonce.pipeline.sources.ego4d.metadata import FILE_NAME, ClipInfo, Metadata
from embedonce.pipeline.sources.source import VideoPath

VERSIONS = ("v2", "v2_1", "v1", ".")  # the client puts v2_1 into v2
WHOLE_VIDEOS = ("full_scale", "video_540ss")  # the first one is preferred
CLIPS = ("clips", "clips_540ss")  # the first one is preferred
ANNOTATIONS = "annotations"
FOLDERS = (*WHOLE_VIDEOS, *CLIPS, ANNOTATIONS)  # of a version
UUID_PATTERN = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANNOTATIONS_ONLY = {"num_videos": 0}  # options of download-ego4d


@dataclass(frozen=True)
class VideoFile:
    """One file: a whole video, or the part of it that is a clip.

    uid: in the cache. path: None if only a cache knows the file. source: its path relative to the data folder.
    offset_sec: a time in the file plus this is the time in the video. start_sec, end_sec: the part of the video that
    the file shows; infinite for a whole video.
    """

    uid: str
    path: Path | None
    source: str
    video_uid: str
    clip_uid: str | None = None
    offset_sec: float = 0.0
    start_sec: float = float("-inf")
    end_sec: float = float("inf")


@dataclass(frozen=True)
class FoundFiles:
    """The files of each video, by its uid, and the names of clip files that ego4d.json does not list."""

    by_video: dict[str, list[VideoFile]] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)


def metadata_path(root: Path) -> Path | None:
    """ego4d.json, in the folder, in its version folder, or one folder above the videos; None if it is not there."""
    above = Path(os.path.abspath(root)).parent / FILE_NAME
    is_version = any((root / name).is_dir() for name in FOLDERS)
    return _metadata_within(root) or (above if is_version and above.is_file() else None)


def _metadata_within(root: Path) -> Path | None:
    paths = (root / version / FILE_NAME for version in (".", *VERSIONS))
    return next((path for path in paths if path.is_file()), None)


def download_root(root: Path) -> Path:
    """The download folder, given it or its version folder (`v2`); any other folder is returned as it is.

    Raises InputError if root lies deeper in a download, or contains one: its ego4d.json, which says which parts are
    redacted, would be ignored.
    """
    if _metadata_within(root) is not None:
        return root
    for path in (Path(os.path.abspath(root)), Path(os.path.realpath(root))):
        download = _download_above(path)
        if download is not None and path.parent == download and path.name in VERSIONS:
            return root.parent if root.name == path.name else download
        if download is not None:
            raise InputError(
                f"{root} is inside the Ego4D download {download}, whose {FILE_NAME} lists the redacted parts of the "
                f"videos; pass the whole download: --data-dir {shlex.quote(str(download))}"
            )
    if metadata_path(root) is not None:
        return root
    downloads = sorted(path for path in _subfolders(root) if _metadata_within(path) is not None)
    if downloads:
        folder = shlex.quote(str(downloads[0]))
        raise InputError(f"{root} contains an Ego4D download; pass that folder: --data-dir {folder}")
    return root


def _download_above(path: Path) -> Path | None:
    """The download that an absolute path lies in, by the folders that Ego4D's client creates; None if in none."""
    created = (*VERSIONS, *FOLDERS)
    parents = [parent for parent in path.parents if path.relative_to(parent).parts[0] in created]
    candidates = (
        parent for find in (_metadata_within, metadata_path) for parent in parents if find(parent) is not None
    )
    return next(candidates, None)


def named_by_ego4d(paths: Iterable[VideoPath]) -> list[VideoPath]:
    """The files that are named by a uuid, as Ego4D's are."""
    return [path for path in paths if UUID_PATTERN.fullmatch(path.stem)]


def _subfolders(root: Path) -> list[Path]:
    try:
        return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []  # the caller that reads the folder reports the error


def annotations_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first annotations folder that has one of these files; None if there is none."""
    folders = (root / version / ANNOTATIONS for version in VERSIONS)
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)


def files_on_disk(root: Path, metadata: Metadata) -> FoundFiles:
    """The video files of a download. A whole video replaces its clips, and a canonical file a smaller one."""
    whole: dict[str, list[VideoFile]] = {}
    for path in _mp4_files(root, WHOLE_VIDEOS):
        whole.setdefault(path.stem, [VideoFile(path.stem, path, path.relative_to(root).as_posix(), path.stem)])
    parts: dict[str, list[VideoFile]] = defaultdict(list)
    unlisted: list[str] = []
    seen: set[str] = set()
    for path in _mp4_files(root, CLIPS):
        clip = metadata.clips.get(path.stem)
        if clip is None:
            unlisted.append(path.name)
        elif clip.video_uid not in whole and clip.uid not in seen:
            parts[clip.video_uid].append(file_of_clip(clip, path, path.relative_to(root).as_posix()))
            seen.add(clip.uid)
    by_video = {uid: files for uid, files in (whole | dict(parts)).items() if uid not in metadata.excluded}
    return FoundFiles(by_video, unlisted)


def file_of_clip(clip: ClipInfo, path: Path | None, source: str) -> VideoFile:
    """The file of a clip, as a part of its video."""
    uid = part_uid(clip.video_uid, clip.uid)
    return VideoFile(uid, path, source, clip.video_uid, clip.uid, clip.start_sec, clip.start_sec, clip.end_sec)


def files_in_cache(uids: Iterable[str], metadata: Metadata) -> dict[str, list[VideoFile]]:
    """The files that a cache holds, by the uid of their video; they need not be on disk. uids: those of the cache."""
    files: dict[str, list[VideoFile]] = defaultdict(list)
    for uid in sorted(uids):
        video_uid = recording_of(uid)
        if video_uid in metadata.excluded:
            continue
        clip = metadata.clips.get(uid.removeprefix(video_uid)[len(PART) :])
        if video_uid == uid:
            files[uid].append(VideoFile(uid, None, uid, uid))
        elif clip is not None and clip.video_uid == video_uid:
            files[video_uid].append(file_of_clip(clip, None, uid))
    return dict(files)


def read_path(root: Path) -> Path:
    """The path of ego4d.json. Raises InputError, with the command that downloads it, if it is missing."""
    path = metadata_path(download_root(root))
    if path is None:
        raise InputError(f"there is no {FILE_NAME} in {root}; {download_hint(root, ANNOTATIONS_ONLY)}")
    return path


def download_hint(root: Path, options: Mapping[str, object] | None = None) -> str:
    """The command that downloads what is missing. options: of download-ego4d."""
    return f"download with: {command('download-ego4d', {'data_dir': root} | dict(options or {}))}"


def searched_folders(root: Path, folders: tuple[str, ...]) -> str:
    """The paths of these folders in all versions, for messages."""
    return ", ".join(str(root / version / folder) for version in VERSIONS for folder in folders)


def _mp4_files(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    """The files of these folders, all versions of the first folder first."""
    for folder in folders:
        for version in VERSIONS:
            for path in sorted((root / version / folder).glob("*.mp4")):
                if path.is_file() and not path.name.startswith("."):
                    yield path
