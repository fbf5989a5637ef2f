"""Videos whose classes and splits are read from the names of the folders they are in: one clip per video."""

import math
from collections.abc import Mapping, Sequence

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming import uids
from embedonce.pipeline.sources.folder.layout_inference import structure_of
from embedonce.pipeline.sources.folder.layouts import Structure, some
from embedonce.pipeline.sources.source import UNLABELED, Clip, DataFolder, Source, Video, VideoPath
from embedonce.pipeline.splits.assignment import split_by_hash

Aliases = Sequence[tuple[str, str]]


def source_of_paths(
    root: DataFolder,
    kind: str,
    paths: Mapping[str, VideoPath],
    layout: str | None,
    needs_labels: bool,
    aliases: Aliases = (),
) -> Source:
    """These videos as a source.

    Args:
        kind: name of the source.
        paths: by relative POSIX path.
        layout: one of folder.layouts.LAYOUTS, or None to infer it.
        needs_labels: False if the labels will be dropped, so that only splits matter.
        aliases: (other path, path of a video) of videos that can be reached by several paths.

    InputError if the folders can be read in several ways, or if two paths have the same uid.
    """
    videos = _videos(root, paths)
    structure = _structure(root, videos, layout, needs_labels)
    _check_aliases(root, aliases, videos, structure)
    return Source(
        root=root,
        kind=kind,
        videos=videos,
        clips=_clips(videos, structure),
        classes=structure.classes,
        notes=structure.notes if needs_labels else (),
        files=f"layout: {structure.layout}",
        named_by="folders",
        splits_by_hash=not any(structure.splits),
        no_classes_reason=structure.no_classes_reason,
    )


def _videos(root: DataFolder, paths: Mapping[str, VideoPath]) -> tuple[Video, ...]:
    """InputError if two paths have the same uid, which takes a hash collision."""
    videos = tuple(Video(uids.path_uid(relative), path, relative) for relative, path in paths.items())
    first: dict[str, Video] = {}
    for video in videos:
        other = first.setdefault(video.uid, video)
        if other is not video:
            raise InputError(
                f"{other.source} and {video.source} in {root} have the same uid, {video.uid}; rename one of them"
            )
    return videos


def _structure(root: DataFolder, videos: tuple[Video, ...], layout: str | None, needs_labels: bool) -> Structure:
    try:
        return structure_of(tuple(video.source for video in videos), layout, needs_labels)
    except InputError as error:
        raise InputError(f"{root}: {error}") from error


def _clips(videos: tuple[Video, ...], structure: Structure) -> tuple[Clip, ...]:
    clips = []
    for video, label, split in zip(videos, structure.labels, structure.splits, strict=True):
        label = UNLABELED if label is None else label
        clips.append(Clip(video.uid, video.uid, -math.inf, math.inf, label, split or split_by_hash(video.uid)))
    return tuple(clips)


def _check_aliases(root: DataFolder, aliases: Aliases, videos: tuple[Video, ...], structure: Structure) -> None:
    """InputError if a symbolic link puts a video into a second class or split: only one of them would be used."""
    if not aliases or (not structure.classes and not any(structure.splits)):
        return
    paths = tuple(video.source for video in videos) + tuple(alias for alias, _ in aliases)
    together = structure_of(paths, structure.layout)
    places = dict(zip(paths, zip(together.labels, together.splits, strict=True), strict=True))
    conflicts = [f"{alias} is {source}" for alias, source in aliases if places[alias] != places[source]]
    if conflicts:
        raise InputError(
            f"{root}: {len(conflicts)} links put a video into a second class or split ({some(conflicts)}); remove one "
            "of the names, or pass --layout flat for videos without labels"
        )
