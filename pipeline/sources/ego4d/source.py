"""An Ego4D download as sources of labeled clips: its annotations, applied to the video files on disk.

Each kind of annotations is one source with classes of its own. Opens no video.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d import layout
from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationReader, Window, WindowOptions
from embedonce.pipeline.sources.ego4d.annotations.registry import DEFAULT_KIND, KINDS
from embedonce.pipeline.sources.ego4d.layout import FoundFiles, VideoFile
from embedonce.pipeline.sources.ego4d.metadata import FILE_NAME, Metadata, read_metadata
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.parsing.notes import Note, Reason, format_notes
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems, check
from embedonce.pipeline.sources.ego4d.window_placement import place_windows
from embedonce.pipeline.sources.source import Clip, Source, Video
from embedonce.pipeline.splits.assignment import HELD_OUT_ORDER, one_split

FindFiles = Callable[[Path, Metadata], FoundFiles]

UNLISTED_FILES = Reason("unlisted-files", f"clip files that {FILE_NAME} does not list or excludes, ignored")
NOT_SHOWN = Reason("not-shown", "clips of which no file on disk shows at least half, dropped")
NOT_ON_DISK = Reason("not-on-disk", "annotated videos that are not on disk, skipped")
NOT_ANNOTATED = Reason("not-annotated", "videos on disk without annotations of the kind, skipped")
SHARED_VIDEOS = Reason("shared-videos", "videos with clips in several splits, which share frames (--clip-splits)")
ONE_SPLIT = Reason("one-split", "videos with clips in several splits (--clip-splits keeps all clips)")


@dataclass(frozen=True)
class Ego4dAnnotations:
    """The annotations of a download. files: by video uid; readers: by kind; notes: about the metadata and the files."""

    root: Path
    metadata: Metadata
    files: dict[str, list[VideoFile]]
    readers: dict[str, AnnotationReader]
    notes: tuple[Note, ...]
    remarks: tuple[str, ...] = ()


def ego4d_sources(root: Path, options: Ego4dOptions, cached_uids: Collection[str] = ()) -> dict[str, Source]:
    """The annotated videos on disk and their clips, by kind of annotations.

    Raises InputError, with what to do, if annotations are missing or malformed, or no annotated video is on disk.
    """
    annotated = read_annotated(root, options, cached_uids=cached_uids)
    uids = {uid for reader in annotated.readers.values() for uid in reader.video_uids}
    if not uids & set(annotated.files):
        raise InputError(_none_on_disk(annotated, uids))
    return sources_of(annotated, options)


def annotated_sources(root: Path, options: Ego4dOptions, cached_uids: Collection[str]) -> dict[str, Source]:
    """The clips of cached videos, by kind of annotations, without looking for video files."""
    return sources_of(read_annotated(root, options, lambda _root, _metadata: FoundFiles(), cached_uids), options)


def read_annotated(
    root: Path,
    options: Ego4dOptions,
    find_files: FindFiles = layout.files_on_disk,
    cached_uids: Collection[str] = (),
) -> Ego4dAnnotations:
    """Read ego4d.json and the annotations. find_files: finds the video files; those of cached_uids are added."""
    given, root = root, layout.download_root(root)
    problems = Problems(options.strict)
    path = layout.read_path(root)
    metadata = read_metadata(path, Path(os.path.relpath(path, root)).as_posix(), problems)
    problems.check_files(root)  # else everything that ego4d.json does not list would be a problem, too
    on_disk = find_files(root, metadata)
    files = _with_cached(on_disk.by_video, cached_uids, metadata)
    readers = {
        kind: _read_kind(kind, root, metadata, files, options) for kind in options.annotation_kinds or (DEFAULT_KIND,)
    }
    check([problems, *(reader.problems for reader in readers.values())], root)
    notes = problems.notes(FILE_NAME)
    if on_disk.unlisted:
        notes.append(Note(UNLISTED_FILES, "", len(on_disk.unlisted)))
    remarks = () if given == root else (f"{given} is part of the Ego4D download {root}, which is read as a whole",)
    return Ego4dAnnotations(root, metadata, files, readers, tuple(notes), remarks)


def _with_cached(
    files: dict[str, list[VideoFile]], cached_uids: Collection[str], metadata: Metadata
) -> dict[str, list[VideoFile]]:
    """The files, and those of a cache that are not among them. cached_uids: of the videos in the cache."""
    files = dict(files)
    for uid, cached in layout.files_in_cache(cached_uids, metadata).items():
        uids = {file.uid for file in files.get(uid, ())}
        files[uid] = [*files.get(uid, ()), *(file for file in cached if file.uid not in uids)]
    return files


def _read_kind(
    kind: str, root: Path, metadata: Metadata, files: dict[str, list[VideoFile]], options: Ego4dOptions
) -> AnnotationReader:
    windows = WindowOptions(options.fho_window, options.max_narration_window)
    problems = Problems(options.strict)
    reader = AnnotationReader(root, _annotations_folder(root, kind), metadata, files, problems, windows)
    KINDS[kind].read(reader)
    return reader


def _annotations_folder(root: Path, kind: str) -> Path:
    """The folder with the files of a kind. Raises InputError, naming the available kinds, if there is none."""
    folder = layout.annotations_folder(root, KINDS[kind].files)
    if folder is not None:
        return folder
    available = [name for name, other in KINDS.items() if layout.annotations_folder(root, other.files)]
    offered = f"; available --annotations: {', '.join(available)}" if available else ""
    raise InputError(
        f"no {' or '.join(KINDS[kind].files[:2])} in {layout.searched_folders(root, (layout.ANNOTATIONS,))}{offered}; "
        f"{layout.download_hint(root, layout.ANNOTATIONS_ONLY)}"
    )


def sources_of(annotated: Ego4dAnnotations, options: Ego4dOptions) -> dict[str, Source]:
    """The source of each kind of annotations. A note that several kinds share is one line in all of them."""
    drafts = {kind: _draft(annotated, kind, options.clip_splits) for kind in annotated.readers}
    all_notes = [note for draft in drafts.values() for note in draft.notes] + list(annotated.notes)
    return {kind: _source(annotated, kind, draft, all_notes) for kind, draft in drafts.items()}


@dataclass(frozen=True)
class _Draft:
    """A source before the notes of all kinds are merged."""

    clips: list[Clip]
    classes: tuple[str, ...]
    split_rules: tuple[tuple[str, str, str], ...]
    notes: list[Note]


def _draft(annotated: Ego4dAnnotations, kind: str, clip_splits: bool) -> _Draft:
    reader = annotated.readers[kind]
    classes = reader.classes if reader.classes is not None else tuple(sorted(reader.labels))
    windows, notes = _resolve_splits(kind, reader.windows, clip_splits)
    rules = _split_rules(reader, windows)
    clips, num_not_shown = place_windows(windows, annotated.files, classes)
    notes += reader.notes(kind)
    if num_not_shown:
        notes.append(Note(NOT_SHOWN, kind, num_not_shown))
    return _Draft(clips, classes, rules, [*notes, *_notes_on_files(annotated, kind)])


def _source(annotated: Ego4dAnnotations, kind: str, draft: _Draft, all_notes: list[Note]) -> Source:
    reader = annotated.readers[kind]
    own_reasons = {note.reason for note in [*draft.notes, *annotated.notes]}
    remarks = [f"{kind}: {remark}" for remark in reader.remarks]
    lines = [*format_notes(note for note in all_notes if note.reason in own_reasons), *remarks, *annotated.remarks]
    files = [file for uid in reader.video_uids for file in annotated.files.get(uid, ()) if file.path is not None]
    on_disk = {uid for uid, files in annotated.files.items() if any(file.path for file in files)}
    return Source(
        annotated.root,
        "ego4d",
        tuple(_video(annotated.metadata, file) for file in sorted(files, key=lambda file: file.uid)),
        tuple(draft.clips),
        draft.classes,
        notes=tuple(lines),
        missing=tuple(sorted(set(reader.video_uids) - on_disk)),
        split_rules=draft.split_rules,
        uids_from_paths=False,
        has_fixed_clips=True,
    )


def _resolve_splits(kind: str, windows: list[Window], clip_splits: bool) -> tuple[list[Window], list[Note]]:
    """The windows that are kept, and notes. Unless clip_splits, no video is in two splits."""
    seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for window in windows:
        seconds[window.video_uid][window.split] += window.end_sec - window.start_sec
    shared = {uid: one_split(by_split) for uid, by_split in seconds.items() if len(by_split) > 1}
    if not shared:
        return windows, []
    if clip_splits:
        return windows, [Note(SHARED_VIDEOS, kind, len(shared))]
    kept = [window for window in windows if shared.get(window.video_uid, window.split) == window.split]
    return kept, [
        Note(ONE_SPLIT, kind, len(shared), "each kept in the split of most annotated time"),
        Note(ONE_SPLIT, kind, len(windows) - len(kept), "clips of other splits dropped"),
    ]


def _split_rules(reader: AnnotationReader, kept: list[Window]) -> tuple[tuple[str, str, str], ...]:
    """(uid, split, rule) of each video that has windows, sorted by uid."""
    splits: dict[str, set[str]] = defaultdict(set)
    for window in kept:
        splits[window.video_uid].add(window.split)
    return tuple(
        (uid, "+".join(sorted(splits[uid], key=HELD_OUT_ORDER.index)), _rule_of_video(reader, uid, len(splits[uid])))
        for uid in sorted(splits)
    )


def _rule_of_video(reader: AnnotationReader, uid: str, num_splits: int) -> str:
    assigned = list(reader.split_rules[uid])
    if len({one.split for one in assigned}) == 1:
        return ", ".join(dict.fromkeys(one.rule for one in assigned))
    each = ", ".join(f"{split} by {rule}" for split, rule in assigned)
    choice = "the one of most annotated time" if num_splits == 1 else "each clip its own (--clip-splits)"
    return f"clips in several splits ({each}): {choice}"


def _video(metadata: Metadata, file: VideoFile) -> Video:
    """The file as a video of the source, its times relative to the file."""
    info = metadata.videos[file.video_uid]
    shown = ((max(start, file.start_sec), min(end, file.end_sec)) for start, end in info.redacted)
    redacted = tuple((start - file.offset_sec, end - file.offset_sec) for start, end in shown if start < end)
    start_sec, end_sec = max(info.start_sec, file.start_sec), min(info.end_sec, file.end_sec)
    listed_sec = (start_sec - file.offset_sec, end_sec - file.offset_sec)
    if file.path is None:
        raise ValueError(f"{file.uid} has no file on disk")
    return Video(file.uid, file.path, file.source, redacted, info.is_stereo, listed_sec)


def _notes_on_files(annotated: Ego4dAnnotations, kind: str) -> list[Note]:
    video_uids = annotated.readers[kind].video_uids
    by_split = Counter(split or "split unknown" for uid, split in video_uids.items() if uid not in annotated.files)
    notes = [Note(NOT_ON_DISK, kind, count, split) for split, count in sorted(by_split.items())]
    num_unused = sum(uid not in video_uids for uid in annotated.files)
    return notes + ([Note(NOT_ANNOTATED, kind, num_unused)] if num_unused else [])


def _none_on_disk(annotated: Ego4dAnnotations, uids: set[str]) -> str:
    if not uids:
        notes = [*annotated.notes, *(n for kind, one in annotated.readers.items() for n in one.problems.notes(kind))]
        first = f"no video in the annotations under {annotated.root} is listed in {FILE_NAME}"
        return "; ".join([first, *format_notes(notes)])
    folders = layout.searched_folders(annotated.root, (*layout.WHOLE_VIDEOS, *layout.CLIPS))
    return (
        f"none of the {len(uids)} annotated videos is on disk; looked for <uid>.mp4 in {folders}; "
        f"{layout.download_hint(annotated.root)}"
    )
