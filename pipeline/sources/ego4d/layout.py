"""Where an Ego4D download keeps things: ego4d.json, annotations, and video files of three kinds.

Knows the folders that Ego4D's own client makes; opens no file.
"""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.console.next_commands import command
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import PART, part_uid, recording_of
from embedonce.pipeline.sources.ego4d.metadata import ClipFacts, Metadata

VERSIONS = ("v2", "v2_1", "v1", ".")  # the client puts v2_1 into v2
WHOLE_VIDEOS = ("full_scale", "video_540ss")  # the canonical file where there is also a smaller one
CLIPS = ("clips", "clips_540ss")  # the file of higher quality where there is also a smaller one
FOLDERS = (*WHOLE_VIDEOS, *CLIPS, "annotations")  # of a version
UUID_PATTERN = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANNOTATIONS_ALONE = {"num_videos": 0}  # options of download-ego4d


@dataclass(frozen=True)
class VideoFile:
    """One file: a whole video, or the part of it that a clip is.

    uid: in the cache. path: None where only a cache has it. source: the path relative to the data folder. offset_sec:
    what is to be added to a time of the file to get the video's. start_sec, end_sec: of the video, infinite where it is
    whole.
    """

    uid: str
    path: Path | None
    source: str
    video_uid: str
    clip_uid: str | None = None
    offset_sec: float = 0.0
    start_sec: float = float("-inf")
    end_sec: float = float("inf")


def metadata_path(root: Path) -> Path | None:
    """ego4d.json where Ego4D's client puts it, beside its folders or one above; None where it is not there."""
    above = Path(os.path.abspath(root)).parent / "ego4d.json"
    is_version = any((root / name).is_dir() for name in FOLDERS)
    return _metadata_within(root) or (above if is_version and above.is_file() else None)


def _metadata_within(root: Path) -> Path | None:
    paths = (root / version / "ego4d.json" for version in (".", *VERSIONS))
    return next((path for path in paths if path.is_file()), None)


def download_root(root: Path) -> Path:
    """The folder of the download that root is, or whose version folder (`v2`) it is; root itself where it is neither.

    InputError where root lies deeper in a download, or holds one: what its ego4d.json says of these videos, such as
    what must not be looked at, would be passed over.
    """
    if _metadata_within(root) is not None:
        return root
    for whole in (Path(os.path.abspath(root)), Path(os.path.realpath(root))):
        above = _download_above(whole)
        if above is not None and whole.parent == above and whole.name in VERSIONS:
            return root.parent if root.name == whole.name else above
        if above is not None:
            raise InputError(
                f"{root} is a part of the Ego4D download {above}, whose ego4d.json says what of the videos must not be "
                f"looked at; give the whole: --data-dir {shlex.quote(str(above))}"
            )
    if metadata_path(root) is not None:
        return root
    inside = sorted(path for path in _folders(root) if _metadata_within(path) is not None)
    if inside:
        raise InputError(f"{root} holds an Ego4D download; give that: --data-dir {shlex.quote(str(inside[0]))}")
    return root


def _download_above(path: Path) -> Path | None:
    """The download that an absolute path lies in, by the folders that Ego4D's client makes; None where in none."""
    inner = (*VERSIONS, *FOLDERS)
    above = (folder for folder in path.parents if path.relative_to(folder).parts[0] in inner)
    folders = list(above)
    found = (folder for find in (_metadata_within, metadata_path) for folder in folders if find(folder) is not None)
    return next(found, None)


def named_by_ego4d(paths: Iterable[Path]) -> list[Path]:
    """Those files that have a uuid for a name, as Ego4D's do."""
    return [path for path in paths if UUID_PATTERN.fullmatch(path.stem)]


def _folders(root: Path) -> list[Path]:
    try:
        return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []  # whoever reads the folder says why not


def annotations_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first annotations folder that holds one of these files."""
    folders = (root / version / "annotations" for version in VERSIONS)
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)


def pieces_on_disk(root: Path, metadata: Metadata) -> tuple[dict[str, list[VideoFile]], list[str]]:
    """The files of each video, and names of clip files that ego4d.json does not list.

    A whole video makes its clips superfluous, the canonical file the smaller one.
    """
    found: dict[str, list[VideoFile]] = {}
    for kind in WHOLE_VIDEOS:
        for path in _files(root, kind):
            found.setdefault(path.stem, [VideoFile(path.stem, path, path.relative_to(root).as_posix(), path.stem)])
    parts, unlisted = defaultdict(list), []
    seen: set[str] = set()
    for path in (path for kind in CLIPS for path in _files(root, kind)):
        clip = metadata.clips.get(path.stem)
        if clip is None:
            unlisted.append(path.name)
        elif clip.video_uid not in found and clip.uid not in seen:
            parts[clip.video_uid].append(piece_of_clip(clip, path, path.relative_to(root).as_posix()))
            seen.add(clip.uid)
    pieces = found | dict(parts)
    return {uid: there for uid, there in pieces.items() if uid not in metadata.left_out}, unlisted


def piece_of_clip(clip: ClipFacts, path: Path | None, source: str) -> VideoFile:
    """The piece that a clip's own file is."""
    uid = part_uid(clip.video_uid, clip.uid)
    return VideoFile(uid, path, source, clip.video_uid, clip.uid, clip.start_sec, clip.start_sec, clip.end_sec)


def pieces_of_cache(uids: Iterable[str], metadata: Metadata) -> dict[str, list[VideoFile]]:
    """The pieces that a cache holds, by its uids; their files need not be there."""
    found = defaultdict(list)
    for uid in sorted(uids):
        video_uid = recording_of(uid)
        if video_uid in metadata.left_out:
            continue
        clip = metadata.clips.get(uid.removeprefix(video_uid)[len(PART) :])
        if video_uid == uid:
            found[uid].append(VideoFile(uid, None, uid, uid))
        elif clip is not None and clip.video_uid == video_uid:
            found[video_uid].append(piece_of_clip(clip, None, uid))
    return dict(found)


def read_path(root: Path) -> Path:
    """The path of ego4d.json. InputError, with what to do, where it is not there."""
    path = metadata_path(download_root(root))
    if path is None:
        raise InputError(f"there is no ego4d.json in {root}; {how_to_download(root, ANNOTATIONS_ALONE)}")
    return path


def how_to_download(root: Path, options: dict | None = None) -> str:
    """The command for what lacks; it says itself what it needs, Ego4D's own client and a licence."""
    return f"download with: {command('download-ego4d', {'data_dir': root} | (options or {}))}"


def places(root: Path, folders: tuple[str, ...]) -> str:
    """The folders that were looked into, for messages."""
    return ", ".join(str(root / version / folder) for version in VERSIONS for folder in folders)


def _files(root: Path, kind: str) -> list[Path]:
    paths = (path for version in VERSIONS for path in sorted((root / version / kind).glob("*.mp4")))
    return [path for path in paths if path.is_file() and not path.name.startswith(".")]
