"""Makes a source of the rows of a table: the videos that it names, and a clip for each row. Opens no video.

Where the rows come from is up to the caller: a manifest, or the table of a public data set.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from embedonce.cache.errors import some
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.sources.frames.options import FrameFolderOptions
from embedonce.pipeline.sources.manifest.line_problems import LineProblems, shown_path
from embedonce.pipeline.sources.manifest.named_video import NamedVideo
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.row_checks import check_columns
from embedonce.pipeline.sources.manifest.row_columns import RowColumns
from embedonce.pipeline.sources.manifest.video_files import NO_FRAMES, VideoFiles
from embedonce.pipeline.sources.source import UNLABELED, Clip, DataFolder, OpenRequest, Source, Video
from embedonce.pipeline.splits.assignment import split_by_hash


def source_of_rows(
    rows: Iterable[ManifestRow],
    request: OpenRequest,
    problems: LineProblems,
    *,
    kind: str,
    root: DataFolder | None = None,
    skip_missing: bool = True,
    classes: Sequence[str] = (),
    uid_of: Callable[[str], str] = path_uid,
    frames: FrameFolderOptions = NO_FRAMES,
    one_clip_per_video: bool = False,
    has_clip_splits: bool = False,
) -> Source:
    """The videos and clips of these rows, which are read once and not kept.

    Args:
        rows: whoever makes them may report problems while they are read.
        request: clips of videos of the cache are kept even if their files are gone.
        kind: name of the source.
        root: the folder that paths are relative to; by default the data folder.
        skip_missing: leave out rows about files that do not exist, with a note.
        classes: the class names that the rows may have, in the order of their labels; by default those that they have.
        uid_of: makes the uid of a video from its name; by default it stands for the path.
        frames: how the rows' folders of frames are read.
        one_clip_per_video: do not cut rows without an end into windows.
        has_clip_splits: the clips of a video may be in several splits, and every row has one.

    Raises InputError with all problems, or if no video of the table exists.
    """
    root = request.root if root is None else root
    assert root is not None  # of sources that create no data
    needs_files, cached = request.needs_files, frozenset(request.cached_uids)
    files = VideoFiles(root, looks_up_remote=needs_files, uid_of=uid_of, frames=frames)
    columns = RowColumns(files, problems, has_clip_splits)
    for row in rows:
        columns.add(row)
    files.finish()
    check_columns(columns, problems)
    missing = [video for video in files.videos if video.is_missing and video.uid not in cached]
    if needs_files:
        _check_any_exists(files.videos, root, problems)
        _report_files(files.videos, set(map(id, missing)), problems, skip_missing)
    problems.check()
    has_clips = [video.is_usable or video.uid in cached for video in files.videos]
    if needs_files and not any(video.is_usable for video in files.videos):
        raise InputError(f"none of the videos of {problems.where} can be read; {_first_unreadable(files.videos)}")
    classes = tuple(classes or sorted(columns.first_line))
    return Source(
        root=root,
        kind=kind,
        videos=_videos(files.videos),
        clips=tuple(_clips(columns, has_clips, classes)),
        classes=classes,
        rejected=tuple((video.name, video.unreadable) for video in files.videos if video.unreadable),
        notes=tuple(_notes(columns, root, missing if needs_files else [])),
        missing=tuple(sorted(video.uid for video in files.videos if video.path is None)),
        files=f"{len(columns)} clips of {len(files.videos)} videos",
        named_by="table",
        splits_by_hash=not columns.split.num_filled,
        uids_from_paths=uid_of is path_uid,
        one_clip_per_video=one_clip_per_video,
        no_classes_reason="" if classes else "no classes: the table has no labels",
    )


def _check_any_exists(videos: list[NamedVideo], root: DataFolder, problems: LineProblems) -> None:
    """InputError if there is no file at all, most likely for one reason, and nothing else is wrong."""
    if videos and all(video.is_missing for video in videos) and not problems.count:
        first = videos[0]
        raise InputError(
            f"none of the {len(videos)} videos of {problems.where} exists, such as {first.name} "
            f"({problems.place(first.line)}); paths are relative to {root}: give another folder with "
            "--data-dir, or correct the paths"
        )


def _report_files(
    videos: list[NamedVideo], missing: Collection[int], problems: LineProblems, skip_missing: bool
) -> None:
    """Report files that cannot be videos. missing: ids of those that are not in the cache either."""
    for video in videos:
        is_allowed = video.is_missing and (skip_missing or id(video) not in missing)
        if video.wrong and not is_allowed:
            problems.add(video.line, f"video: {shown_path(video.name)}: {video.wrong}")


def _first_unreadable(videos: list[NamedVideo]) -> str:
    return next((f"the first, {video.name}: {video.unreadable}" for video in videos if video.unreadable), "it has none")


def _videos(videos: list[NamedVideo]) -> tuple[Video, ...]:
    usable = [video for video in videos if video.is_usable]
    made = (Video(video.uid, video.path, video.name) for video in usable if video.path is not None)
    return tuple(sorted(made, key=lambda video: video.uid))


def _clips(rows: RowColumns, has_clips: Sequence[bool], classes: tuple[str, ...]) -> Iterable[Clip]:
    """The clips of these videos, in the order of the rows."""
    videos = rows.files.videos
    split_of_video = [_split(rows, index, video.uid) for index, video in enumerate(videos)]
    labels = _label_sets(rows, classes)
    has_several = any(len(some) > 1 for some in labels)
    numbers = None if rows.uids else _numbers_in_window(rows)
    for row, (index, start, end, label) in enumerate(rows):
        if has_clips[index]:
            uid = videos[index].uid
            name = rows.uids[row] if numbers is None else _clip_id(uid, start, end, int(numbers[row]))
            single = UNLABELED if has_several else next(iter(labels[label]), UNLABELED)
            text, several = rows.texts[row] if rows.texts else "", labels[label] if has_several else None
            split = split_of_video[index] if rows.clip_splits is None else rows.clip_splits[row]
            yield Clip(name, uid, start, end, single, split, text, several)


def _label_sets(rows: RowColumns, classes: tuple[str, ...]) -> list[tuple[int, ...]]:
    """rows.label_sets with the indexes that the classes have in `classes`, in ascending order."""
    index = {name: label for label, name in enumerate(classes)}
    new = [index[name] for name in rows.first_line]
    return [tuple(sorted(new[label] for label in labels)) for labels in rows.label_sets]


def _split(rows: RowColumns, index: int, uid: str) -> str:
    split, _ = rows.splits.get(index, ("", 0))
    return split or split_by_hash(uid)


def _numbers_in_window(rows: RowColumns) -> np.ndarray:
    """For each row, how many rows before it are about the same window of the same video."""
    keys = (rows.end_sec, rows.start_sec, rows.video)
    order = np.lexsort((rows.line, *keys))
    starts = np.ones(len(order), bool)
    if len(order) > 1:
        starts[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    positions = np.arange(len(order))
    numbers = np.empty(len(order), np.int64)
    numbers[order] = positions - np.maximum.accumulate(np.where(starts, positions, 0))
    return numbers


def _clip_id(uid: str, start_sec: float, end_sec: float, number: int) -> str:
    """Made of the window, so that it stays when rows are added or sorted."""
    is_whole = start_sec == -math.inf and end_sec == math.inf
    window = "" if is_whole else f":{_brief(start_sec)}-{_brief(end_sec)}"
    return f"{uid}{window}{f':{number + 1}' if number else ''}"


def _brief(seconds: float) -> str:
    return repr(seconds).removesuffix(".0") if math.isfinite(seconds) else ""


def _notes(rows: RowColumns, root: DataFolder, missing: list[NamedVideo]) -> Iterable[str]:
    videos = rows.files.videos
    if missing:
        yield f"videos that do not exist, whose rows are left out: {len(missing)} ({some(v.name for v in missing)})"
    outside = [video.name for video in videos if video.is_outside]
    if outside:
        yield f"videos outside of {root}: {len(outside)} ({some(outside)})"
    again = [f"{' = '.join(video.names)}" for video in videos if len(video.names) > 1]
    if again:
        yield f"videos that are named in several ways, and are one each: {len(again)} ({some(again)})"
    num_texts = sum(map(bool, rows.texts))
    if num_texts:
        yield f"{num_texts} of {len(rows)} clips have a narration (text), which --embed-texts makes targets of"
