"""An Ego4D download as a source of clips: which annotated videos are on disk, and their labelled moments.

Knows the layout that Ego4D's own client writes; opens no video. What the annotation files hold is read elsewhere.
"""

import math
import shutil
from collections import Counter, defaultdict
from pathlib import Path

from pipeline.ego4d_moments import AnnotatedVideo, Problems, merge_duplicates, read_moments, read_video_uids
from pipeline.errors import InputError
from pipeline.sources import UNLABELLED, Clip, Source, Video

VERSIONS = ("v2", "v2_1", "v1", ".")  # the client puts v2_1 into v2
VIDEO_KINDS = ("full_scale", "video_540ss")
MOMENTS_FILES = ("moments_train.json", "moments_val.json", "moments_test_unannotated.json")
UIDS_SHOWN = 10


def is_ego4d(root: Path) -> bool:
    """Whether the folder holds an ego4d.json where Ego4D's client puts it."""
    return _metadata_path(root) is not None


def ego4d_source(root: Path) -> Source:
    """The videos on disk that moments files annotate, one clip for each moment, and one whole clip per test video.

    InputError, with what to do, where annotations are absent or malformed, a video is in two splits, or none of the
    annotated videos is on disk.
    """
    metadata_path, moments_paths = _annotation_paths(root)
    problems = Problems()
    listed = read_video_uids(metadata_path, root, problems)
    annotated = [video for path in moments_paths for video in read_moments(path, root, problems)]
    problems.check(root)
    _check_splits(annotated)
    on_disk = _files_by_uid(root)
    usable = {video.uid: video.split for video in annotated if video.uid in on_disk}
    if not usable:
        raise InputError(_none_on_disk(root, annotated))
    classes = tuple(sorted({moment.label for video in annotated for moment in video.moments}))
    clips, clip_notes = _clips([video for video in annotated if video.uid in usable], classes)
    videos = tuple(Video(uid, on_disk[uid], on_disk[uid].relative_to(root).as_posix()) for uid in sorted(usable))
    notes = (*clip_notes, *_notes_on_files(annotated, listed, on_disk, root))
    return Source(root, "ego4d", videos, clips, classes, (), notes)


def _metadata_path(root: Path) -> Path | None:
    paths = (root / version / "ego4d.json" for version in (".", *VERSIONS))
    return next((path for path in paths if path.is_file()), None)


def _annotation_paths(root: Path) -> tuple[Path, list[Path]]:
    """ego4d.json and the moments files of the first annotations folder that has a labelled one."""
    metadata = _metadata_path(root)
    if metadata is None:
        raise InputError(f"there is no ego4d.json in {root}; {_how_to_download(root, '--datasets annotations')}")
    for version in VERSIONS:
        paths = [root / version / "annotations" / name for name in MOMENTS_FILES]
        if any(path.is_file() for path in paths[:2]):
            return metadata, [path for path in paths if path.is_file()]
    raise InputError(
        f"{metadata} is there, but no {' or '.join(MOMENTS_FILES[:2])} in "
        f"{_places(root, ['annotations'])}; {_how_to_download(root, '--datasets annotations --benchmarks EM')}"
    )


def _check_splits(annotated: list[AnnotatedVideo]) -> None:
    splits = defaultdict(set)
    for video in annotated:
        splits[video.uid].add(video.split)
    torn = sorted(uid for uid, names in splits.items() if len(names) > 1)
    if torn:
        shown = ", ".join(f"{uid} ({' and '.join(sorted(splits[uid]))})" for uid in torn[:UIDS_SHOWN])
        more = f" and {len(torn) - UIDS_SHOWN} more" if len(torn) > UIDS_SHOWN else ""
        raise InputError(f"{len(torn)} videos are in two splits of the moments files: {shown}{more}; mend the files")


def _files_by_uid(root: Path) -> dict[str, Path]:
    """Video files by uid; the canonical file where there is also a smaller one."""
    found: dict[str, Path] = {}
    for kind in VIDEO_KINDS:
        for version in VERSIONS:
            for path in sorted((root / version / kind).glob("*.mp4")):
                if path.is_file() and not path.name.startswith("."):
                    found.setdefault(path.stem, path)
    return found


def _clips(annotated: list[AnnotatedVideo], classes: tuple[str, ...]) -> tuple[tuple[Clip, ...], list[str]]:
    """The clips of these videos and what to tell about them. A video named twice counts once, with all its moments."""
    label_of = {name: label for label, name in enumerate(classes)}
    split_of = {video.uid: video.split for video in annotated}
    moments = defaultdict(list)
    for video in annotated:
        moments[video.uid] += video.moments
    clips, merged, empty = [], 0, 0
    for uid in sorted(split_of):
        split = split_of[uid]
        if split == "test":  # its labels are not public: embedded, never counted
            clips.append(Clip(f"{uid}:0", uid, -math.inf, math.inf, UNLABELLED, split))
            continue
        lasting = tuple(moment for moment in moments[uid] if moment.end_sec > moment.start_sec)
        single = merge_duplicates(lasting)
        empty += len(moments[uid]) - len(lasting)
        merged += len(lasting) - len(single)
        clips += [
            Clip(f"{uid}:{i}", uid, moment.start_sec, moment.end_sec, label_of[moment.label], split)
            for i, moment in enumerate(single)
        ]
    notes = [f"{merged} labels repeat another annotator's and were merged with it"] if merged else []
    notes += [f"{empty} labels last no time and were left out"] if empty else []
    return tuple(clips), notes


def _notes_on_files(annotated: list[AnnotatedVideo], listed: frozenset[str], on_disk: dict, root: Path) -> list[str]:
    uids = {video.uid for video in annotated}
    absent, unlisted, unused = uids - set(on_disk), uids - listed, set(on_disk) - uids
    with_moments = {video.uid for video in annotated if video.moments or video.split == "test"}
    bare = uids & set(on_disk) - with_moments
    splits = Counter(video.split for video in annotated if video.uid in absent)
    by_split = ", ".join(f"{splits[split]} {split}" for split in sorted(splits))
    notes = [
        (len(absent), f"{len(absent)} annotated videos ({by_split}) are not on disk and are left out"),
        (len(unlisted), f"{len(unlisted)} annotated videos are not listed in {_metadata_path(root)}"),
        (len(unused), f"{len(unused)} video files have no moments annotations and are left out"),
        (len(bare), f"{len(bare)} videos have no primary label and give no clip"),
    ]
    return [text for count, text in notes if count]


def _none_on_disk(root: Path, annotated: list[AnnotatedVideo]) -> str:
    uids = sorted({video.uid for video in annotated})
    asked = f"--datasets full_scale --benchmarks EM --video_uids {' '.join(uids[:3]) or '…'}"
    return (
        f"none of the {len(uids)} annotated videos is on disk; looked for <uid>.mp4 in {_places(root, VIDEO_KINDS)}; "
        f"{_how_to_download(root, asked)}"
    )


def _places(root: Path, folders) -> str:
    return ", ".join(str(root / version / folder) for version in VERSIONS for folder in folders)


def _how_to_download(root: Path, options: str) -> str:
    client = "" if shutil.which("ego4d") else " (its client is not installed: pip install ego4d)"
    return f"download with: ego4d --output_directory {root} {options}{client}"
