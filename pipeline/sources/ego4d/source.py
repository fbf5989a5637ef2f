"""An Ego4D download as sources of clips: what the annotations say, over the files that are on disk.

One kind of annotations is one source, with classes of its own. Opens no video.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.ego4d import layout
from embedonce.pipeline.sources.ego4d.kinds import KINDS
from embedonce.pipeline.sources.ego4d.layout import VideoFile
from embedonce.pipeline.sources.ego4d.metadata import Metadata, read_metadata
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.problems import Problems, check
from embedonce.pipeline.sources.ego4d.reading import Reading, Window
from embedonce.pipeline.sources.source import UNLABELED, Clip, Source, Video
from embedonce.pipeline.splits.assignment import HELD_OUT_ORDER, one_split

USUAL_KIND = "moments"
MIN_SHOWN = 0.5  # of a window, by the file of a clip: less is another action with its label


@dataclass(frozen=True)
class Annotated:
    """What was read of the annotations. pieces: files by video uid; readings: by kind."""

    root: Path
    metadata: Metadata
    pieces: dict[str, list[VideoFile]]
    readings: dict[str, Reading]
    notes: tuple[str, ...]


def ego4d_sources(root: Path, options: Ego4dOptions, cached_uids: Collection[str] = ()) -> dict[str, Source]:
    """The annotated videos on disk and their clips, by kind of annotation.

    InputError, with what to do, where annotations are absent or malformed, or no annotated video is on disk.
    """
    annotated = read_annotated(root, options, cached_uids=cached_uids)
    uids = {uid for reading in annotated.readings.values() for uid in reading.video_uids}
    if not uids & set(annotated.pieces):
        raise InputError(_none_on_disk(annotated, uids))
    return sources_of(annotated, options)


def annotated_sources(root: Path, options: Ego4dOptions, cached_uids: Collection[str]) -> dict[str, Source]:
    """The clips of cached videos, by kind of annotation; video files are not looked for."""
    return sources_of(read_annotated(root, options, lambda _root, _metadata: ({}, []), cached_uids), options)


def read_annotated(
    root: Path, options: Ego4dOptions, find_pieces=layout.pieces_on_disk, cached_uids: Collection[str] = ()
) -> Annotated:
    """Everything the files say. find_pieces: (root, metadata) -> files by video uid, and names of unknown ones.

    cached_uids: uids of the videos in a cache, which are labeled even if their files are gone.
    """
    given, root = root, layout.download_root(root)
    problems = Problems(options.strict)
    path = layout.read_path(root)
    metadata = read_metadata(path, Path(os.path.relpath(path, root)).as_posix(), problems)
    problems.check_files(root)  # else everything that ego4d.json does not list would be a problem, too
    pieces, unlisted = find_pieces(root, metadata)
    for uid, parts in layout.pieces_of_cache(cached_uids, metadata).items():
        there = {piece.uid for piece in pieces.get(uid, ())}
        pieces[uid] = [*pieces.get(uid, ()), *(piece for piece in parts if piece.uid not in there)]
    readings = {}
    for kind in options.annotation_kinds or (USUAL_KIND,):
        readings[kind] = Reading(root, _folder_of(root, kind), metadata, pieces, Problems(options.strict))
        readings[kind].fho_window = options.fho_window
        readings[kind].max_narration_window = options.max_narration_window
        KINDS[kind].read(readings[kind])
    check([problems, *(reading.problems for reading in readings.values())], root)
    notes = [*problems.notes()]
    if given != root:
        notes.append(f"{given} is a part of the Ego4D download {root}, all of which is read")
    if unlisted:
        notes.append(f"{len(unlisted)} clip files are not listed in {path.name}, or are of videos that are not used")
    return Annotated(root, metadata, pieces, readings, tuple(notes))


def sources_of(annotated: Annotated, options: Ego4dOptions) -> dict[str, Source]:
    """The sources that annotations and files make, by kind."""
    return {kind: _source(annotated, kind, options.clip_splits) for kind in annotated.readings}


def _source(annotated: Annotated, kind: str, clip_splits: bool) -> Source:
    reading = annotated.readings[kind]
    classes = reading.classes if reading.classes is not None else tuple(sorted(reading.labels))
    label_of = {name: label for label, name in enumerate(classes)}
    windows, notes = _split(reading, clip_splits)
    rules = _split_rules(reading, windows)
    placed: dict[str, list[tuple[Window, VideoFile]]] = defaultdict(list)
    for window in windows:
        piece = _piece_for(window, annotated.pieces[window.video_uid])
        if piece is None:
            reading.counts["annotated times are in no clip file on disk, not half of them, and were left out"] += 1
        else:
            placed[piece.uid].append((window, piece))
    clips = [clip for uid in sorted(placed) for clip in _clips(uid, placed[uid], label_of)]
    pieces = [piece for uid in reading.video_uids for piece in annotated.pieces.get(uid, ()) if piece.path]
    videos = [_video(annotated, piece) for piece in sorted(pieces, key=lambda piece: piece.uid)]
    told = [*notes, *(f"{count} {what}" for what, count in reading.counts.items() if count)]
    told += [*reading.problems.notes(), *_notes_on_files(annotated, reading)]
    notes = (*(f"{kind}: {note}" for note in told), *annotated.notes)
    on_disk = {uid for uid, pieces in annotated.pieces.items() if any(piece.path for piece in pieces)}
    missing = tuple(sorted(set(reading.video_uids) - on_disk))
    return Source(
        root=annotated.root,
        kind="ego4d",
        videos=tuple(videos),
        clips=tuple(clips),
        classes=classes,
        notes=notes,
        missing=missing,
        split_rules=rules,
        uids_from_paths=False,
        has_fixed_clips=True,
    )


def _folder_of(root: Path, kind: str) -> Path:
    """The annotations folder that has files of this kind."""
    folder = layout.annotations_folder(root, KINDS[kind].files)
    if folder is not None:
        return folder
    there = [name for name, other in KINDS.items() if layout.annotations_folder(root, other.files)]
    offered = f"; --annotations can be {', '.join(there)}" if there else ""
    raise InputError(
        f"no {' or '.join(KINDS[kind].files[:2])} in {layout.places(root, ('annotations',))}{offered}; "
        f"{layout.how_to_download(root, layout.ANNOTATIONS_ALONE)}"
    )


def _split(reading: Reading, clip_splits: bool) -> tuple[list[Window], list[str]]:
    """The windows that are kept, and what to tell. Unless clip_splits, no video is in two splits."""
    windows = reading.windows
    seconds: dict[str, Counter] = defaultdict(Counter)
    for window in windows:
        seconds[window.video_uid][window.split] += window.end_sec - window.start_sec
    shared = {uid: one_split(found) for uid, found in seconds.items() if len(found) > 1}
    if not shared:
        return windows, []
    if clip_splits:
        return windows, [f"{len(shared)} videos are in two splits, as --clip-splits allows: splits share frames"]
    kept = [w for w in windows if shared.get(w.video_uid, w.split) == w.split]
    return kept, [
        f"{len(shared)} videos have clips in two splits: each is kept in the one that has most of it, and "
        f"{len(windows) - len(kept)} clips of other splits were left out (--clip-splits keeps them)"
    ]


def _split_rules(reading: Reading, kept: list[Window]) -> tuple[tuple[str, str, str], ...]:
    """(uid, split, rule) of each video that has windows, in the order of the uids."""
    splits: dict[str, set[str]] = defaultdict(set)
    for window in kept:
        splits[window.video_uid].add(window.split)
    told = []
    for uid in sorted(splits):
        found = list(reading.rules[uid])
        rule = ", ".join(dict.fromkeys(rule for _, rule in found))
        if len({split for split, _ in found}) > 1:
            each = ", ".join(f"{split} by {rule}" for split, rule in found)
            rule = f"clips in several ({each})"
            rule += ": that of most annotated time" if len(splits[uid]) == 1 else ": each clip its own (--clip-splits)"
        told.append((uid, "+".join(sorted(splits[uid], key=HELD_OUT_ORDER.index)), rule))
    return tuple(told)


def _piece_for(window: Window, pieces: list[VideoFile]) -> VideoFile | None:
    """The file that shows the window: of its own clip, else the one that shows most; None below MIN_SHOWN of it."""
    if len(pieces) == 1 and pieces[0].clip_uid is None:  # a whole video, which shows all of it
        return pieces[0]
    shown = [piece for piece in pieces if _shown(window, piece) >= MIN_SHOWN]
    return max(shown, key=lambda p: (p.clip_uid in (None, window.clip_uid), _shown(window, p), p.uid), default=None)


def _shown(window: Window, piece: VideoFile) -> float:
    """The share of a window that a file shows; negative where it is elsewhere."""
    overlap = min(window.end_sec, piece.end_sec) - max(window.start_sec, piece.start_sec)
    return overlap / (window.end_sec - window.start_sec)


def _clips(uid: str, placed: list[tuple[Window, VideoFile]], label_of: dict[str, int]) -> list[Clip]:
    """The clips of one file, in time order, in the seconds of that file."""
    placed.sort(key=lambda pair: (pair[0].start_sec, pair[0].end_sec, pair[0].label or "", pair[0].split))
    clips = []
    for i, (window, piece) in enumerate(placed):
        start_sec = max(window.start_sec, piece.start_sec) - piece.offset_sec
        end_sec = min(window.end_sec, piece.end_sec) - piece.offset_sec
        label = UNLABELED if window.label is None else label_of[window.label]
        clips.append(Clip(f"{uid}:{i}", uid, start_sec, end_sec, label, window.split))
    return clips


def _video(annotated: Annotated, piece: VideoFile) -> Video:
    facts = annotated.metadata.videos[piece.video_uid]
    within = ((max(start, piece.start_sec), min(end, piece.end_sec)) for start, end in facts.redacted)
    redacted = tuple((start - piece.offset_sec, end - piece.offset_sec) for start, end in within if start < end)
    start_sec, end_sec = max(facts.start_sec, piece.start_sec), min(facts.end_sec, piece.end_sec)
    listed_sec = (start_sec - piece.offset_sec, end_sec - piece.offset_sec)
    return Video(piece.uid, piece.path, piece.source, redacted, facts.is_stereo, listed_sec)


def _notes_on_files(annotated: Annotated, reading: Reading) -> list[str]:
    absent = [split or "of no split" for uid, split in reading.video_uids.items() if uid not in annotated.pieces]
    unused = sum(uid not in reading.video_uids for uid in annotated.pieces)
    by_split = ", ".join(f"{count} {split}" for split, count in sorted(Counter(absent).items()))
    notes = [
        (len(absent), f"{len(absent)} annotated videos ({by_split}) are not on disk and are left out"),
        (unused, f"{unused} videos on disk have no such annotations and are left out"),
    ]
    return [text for count, text in notes if count]


def _none_on_disk(annotated: Annotated, uids: set[str]) -> str:
    folders = (*layout.WHOLE_VIDEOS, *layout.CLIPS)
    if not uids:
        found = [*annotated.notes, *(note for one in annotated.readings.values() for note in one.problems.notes())]
        return "; ".join([f"the annotations under {annotated.root} are of no video that ego4d.json lists", *found])
    return (
        f"none of the {len(uids)} annotated videos is on disk; looked for <uid>.mp4 in "
        f"{layout.places(annotated.root, folders)}; {layout.how_to_download(annotated.root)}"
    )
