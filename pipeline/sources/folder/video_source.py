"""Any folder of videos as a video source: classes and splits are read from the names of its sub-folders."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder
from embedonce.pipeline.sources.ego4d.layout import named_by_ego4d
from embedonce.pipeline.sources.ego4d.metadata import FILE_NAME
from embedonce.pipeline.sources.folder.labeled_videos import source_of_paths
from embedonce.pipeline.sources.folder.listing import find_videos
from embedonce.pipeline.sources.folder.options import FolderOptions
from embedonce.pipeline.sources.source import DataFolder, OpenRequest, Source


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
    if not listing.usable:
        name, reason = listing.unusable[0]
        number = len(listing.unusable)
        raise InputError(f"none of {number} video files in {root} can be used; the first, {name}: {reason}")
    videos = {name: root / name for name in listing.usable}
    source = source_of_paths(root, FolderSource.name, videos, layout, needs_labels, listing.aliases)
    return replace(
        source,
        rejected=listing.unusable,
        notes=listing.notes + source.notes,
        files=f"{listing.summary}; {source.files}",
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
