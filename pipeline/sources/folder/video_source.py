"""Any folder of videos as a video source: classes and splits are read from the names of its sub-folders."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.naming import uids
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.sources.ego4d.layout import named_by_ego4d
from embedonce.pipeline.sources.ego4d.metadata import FILE_NAME
from embedonce.pipeline.sources.folder.layout_inference import structure_of
from embedonce.pipeline.sources.folder.layouts import Structure, some
from embedonce.pipeline.sources.folder.listing import FolderListing, find_videos
from embedonce.pipeline.sources.folder.options import FolderOptions
from embedonce.pipeline.sources.source import UNLABELED, Clip, DataFolder, OpenRequest, Source, Video
from embedonce.pipeline.splits.assignment import split_by_hash


class FolderSource:
    """All videos of a folder tree, one clip per video. It reads every folder that no other source recognizes."""

    name = "folder"
    description = "a folder of videos without annotations"
    options_type = FolderOptions
    own_options = ("layout",)
    selects_classes = False
    reads_urls = True

    def recognizes(self, root: DataFolder | None, options: Any) -> bool:
        return root is not None

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        assert request.root is not None
        if isinstance(request.root, RemoteFolder):
            _refuse_ego4d(request.root)
        source = folder_source(request.root, request.options.layout, request.needs_labels)
        return {"": _with_ego4d_warning(source)}


def folder_source(root: DataFolder, layout: str | None = None, needs_labels: bool = True) -> Source:
    """Every video file under root, with one clip that covers it; uid, class and split come from its path.

    layout: one of folder.layouts.LAYOUTS, or None to infer it. needs_labels: False if the labels will be dropped, so
    that only splits matter. Files that cannot be opened are listed in `rejected`. InputError if no video is left, or
    if the folders can be read in several ways.
    """
    listing = find_videos(root)
    videos = _videos(root, listing)
    if not videos:
        name, reason = listing.unusable[0]
        number = len(listing.unusable)
        raise InputError(f"none of {number} video files in {root} can be used; the first, {name}: {reason}")
    structure = _structure(root, videos, layout, needs_labels)
    _check_aliases(root, listing, videos, structure)
    return Source(
        root=root,
        kind=FolderSource.name,
        videos=videos,
        clips=_clips(videos, structure),
        classes=structure.classes,
        rejected=listing.unusable,
        notes=listing.notes + (structure.notes if needs_labels else ()),
        files=f"{listing.summary}; layout: {structure.layout}",
        named_by="folders",
        splits_by_hash=not any(structure.splits),
        no_classes_reason=structure.no_classes_reason,
    )


def _videos(root: DataFolder, listing: FolderListing) -> tuple[Video, ...]:
    """InputError if two paths have the same uid, which takes a hash collision."""
    videos = tuple(Video(uids.path_uid(relative), root / relative, relative) for relative in listing.usable)
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


def _check_aliases(root: DataFolder, listing: FolderListing, videos: tuple[Video, ...], structure: Structure) -> None:
    """InputError if a symbolic link puts a video into a second class or split: only one of them would be used."""
    if not listing.aliases or (not structure.classes and not any(structure.splits)):
        return
    paths = tuple(video.source for video in videos) + tuple(alias for alias, _ in listing.aliases)
    together = structure_of(paths, structure.layout)
    places = dict(zip(paths, zip(together.labels, together.splits, strict=True), strict=True))
    conflicts = [f"{alias} is {source}" for alias, source in listing.aliases if places[alias] != places[source]]
    if conflicts:
        raise InputError(
            f"{root}: {len(conflicts)} links put a video into a second class or split ({some(conflicts)}); remove one "
            "of the names, or pass --layout flat for videos without labels"
        )


def _refuse_ego4d(root: RemoteFolder) -> None:
    """InputError for an Ego4D download: its parts that must not be decoded are only read from local folders."""
    metadata = [name for name in root.names() if name.rpartition("/")[2] == FILE_NAME]
    if metadata:
        raise InputError(
            f"{root} contains {metadata[0]}, which lists the redacted parts of the videos; copy the download to this "
            "machine and give that folder"
        )


def _with_ego4d_warning(source: Source) -> Source:
    """The source, with a note if most files are named like Ego4D videos but ego4d.json is missing."""
    named = named_by_ego4d(video.path for video in source.videos)
    if 2 * len(named) <= len(source.videos):
        return source
    note = (
        f"{len(named)} of {len(source.videos)} files are named like Ego4D videos, but there is no ego4d.json: redacted "
        "intervals would be decoded; if these are Ego4D videos, put ego4d.json into the folder"
    )
    return replace(source, notes=(*source.notes, note))
