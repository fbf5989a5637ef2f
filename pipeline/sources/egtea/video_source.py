"""EGTEA Gaze+ as a video source: the clips of its lists, in videos of their own or in those of whole sessions."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from embedonce.cache.errors import some
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.egtea.kinds import KINDS, EgteaKind
from embedonce.pipeline.sources.egtea.layout import EgteaVideos
from embedonce.pipeline.sources.egtea.lists import (
    ListedClip,
    class_names,
    label_of,
    listed_clips,
    lists_folder,
    split_of_list,
)
from embedonce.pipeline.sources.egtea.options import EgteaOptions
from embedonce.pipeline.sources.egtea.times import TABLE, times_in_table, times_table
from embedonce.pipeline.sources.manifest.line_problems import ProblemsOfTables
from embedonce.pipeline.sources.manifest.row import ManifestRow
from embedonce.pipeline.sources.manifest.source_of_rows import source_of_rows
from embedonce.pipeline.sources.manifest.video_folders import stem
from embedonce.pipeline.sources.source import OpenRequest, Source

Times = Mapping[str, tuple[float, float]]  # prefix of a clip -> (start_sec, end_sec)


class EgteaSource:
    """The videos and clips of EGTEA Gaze+, split by one of its three pairs of lists; one source per kind of label."""

    name = "egtea"
    description = "an EGTEA Gaze+ folder (with train_split1.txt and action_idx.txt)"
    options_type = EgteaOptions
    own_options = ("egtea_labels", "egtea_split")
    selects_classes = False

    def recognizes(self, root: Path | None, options: EgteaOptions) -> bool:
        if root is None:
            return False
        return options.egtea_labels is not None or any(lists_folder(root, n) for n in (1, options.egtea_split))

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        return {kind.annotation: _source(request, kind) for kind in (KINDS[name] for name in request.options.names)}


def _source(request: OpenRequest, kind: EgteaKind) -> Source:
    folder, lists = _checked_folder(request, kind), split_of_list(request.options.egtea_split)
    problems = ProblemsOfTables(folder, [*lists, kind.names_file, TABLE])
    names = class_names(folder, kind, problems) if request.needs_labels else None
    clips = list(listed_clips(folder, lists, problems))
    videos = EgteaVideos(request.folder, clips, request.cached_uids)
    table = times_table(folder) if videos.in_sessions else None
    times = times_in_table(table, problems) if table else {}
    source = source_of_rows(
        _rows(clips, videos, times, kind, names, problems),
        request,
        problems,
        kind=EgteaSource.name,
        classes=tuple((names or {}).values()),
        uid_of=stem,
        one_clip_per_video=True,
        has_clip_splits=videos.in_sessions,
    )
    remarks = _session_notes(clips, table, times) if videos.in_sessions else ()
    files = f"{' and '.join(lists)} list {source.files}"
    notes = (*source.notes, *videos.notes, *remarks)
    return dataclasses.replace(source, files=files, notes=notes, named_by="annotations")


def _checked_folder(request: OpenRequest, kind: EgteaKind) -> Path:
    """The folder of the lists. InputError, with what to do, if they or the names of the classes are missing."""
    root, number = request.folder, request.options.egtea_split
    folder = lists_folder(root, number)
    if folder is None:
        needed = ", ".join([*split_of_list(number), kind.names_file])
        raise InputError(
            f"{root} does not have {needed}: unpack action_annotation.zip of EGTEA Gaze+ there; --egtea-split is 1, 2 "
            "or 3"
        )
    if request.needs_labels and not (folder / kind.names_file).is_file():
        raise InputError(
            f"there is no {kind.names_file} in {folder}, which names the classes: unpack action_annotation.zip of "
            "EGTEA Gaze+ there"
        )
    return folder


def _rows(
    clips: Sequence[ListedClip],
    videos: EgteaVideos,
    times: Times,
    kind: EgteaKind,
    names: Mapping[int, str] | None,
    problems: ProblemsOfTables,
) -> Iterator[ManifestRow]:
    for clip in clips:
        try:
            label = "" if names is None else label_of(clip, kind, names)
        except ValueError as error:
            problems.add(clip.line, str(error))
            continue
        in_session = times.get(clip.prefix, (clip.start_sec, clip.end_sec))
        window = in_session if videos.in_sessions else (-math.inf, math.inf)
        yield ManifestRow(clip.line, videos.name_of(clip), *window, label, clip.split, uid=clip.name)


def _session_notes(clips: Sequence[ListedClip], table: Path | None, times: Times) -> Iterator[str]:
    origin = f"in {table.name}" if table else "in their names"
    yield f"no clip has a video of its own: clips are parts of the videos of their sessions, by the times {origin}"
    unknown = [clip.name for clip in clips if table and clip.prefix not in times]
    if unknown:
        count = f"{len(unknown)} ({some(unknown)})"
        yield f"clips that {TABLE} does not have, whose times are those of their names: {count}"
    splits = defaultdict(set)
    for clip in clips:
        splits[clip.session].add(clip.split)
    num_shared = sum(len(used) > 1 for used in splits.values())
    if num_shared:
        yield f"sessions with clips for both training and validation, by the lists: {num_shared} of {len(splits)}"
