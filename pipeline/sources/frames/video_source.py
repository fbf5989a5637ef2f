"""Folders of frames, and single images, as a video source: classes and splits are read from the names of folders."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.images.numbering import SUFFIXES
from embedonce.pipeline.images.sequence import ImageSequence, rate_of
from embedonce.pipeline.sources.folder.file_kinds import IMAGE, VIDEO
from embedonce.pipeline.sources.folder.labeled_videos import source_of_paths
from embedonce.pipeline.sources.folder.layouts import readable
from embedonce.pipeline.sources.folder.listing import count_of, folder_notes
from embedonce.pipeline.sources.folder.walk import regular_file
from embedonce.pipeline.sources.frames.image_folders import (
    ImageFolder,
    ImageTree,
    find_images,
    holds_only_images,
    images_in,
)
from embedonce.pipeline.sources.frames.layout_choice import choose_layout
from embedonce.pipeline.sources.frames.options import SEQUENCES, FramesOptions, FramesSourceOptions
from embedonce.pipeline.sources.source import OpenRequest, Source

Found = tuple[dict[str, ImageSequence], list[tuple[str, str]]]  # videos, and (name, why not) of what cannot be used


class FramesSource:
    """Each folder of numbered images is a video, or each image is a video of one frame."""

    name = "frames"
    description = "a folder of images (--frames-rate, --frames-layout)"
    options_type = FramesSourceOptions
    own_options = ("frames_rate", "frames_layout", "frames_prefix")
    selects_classes = False

    def recognizes(self, root: Path | None, options: FramesSourceOptions) -> bool:
        return root is not None and (options.has_frames_option or (root.is_dir() and holds_only_images(root)))

    def open(self, request: OpenRequest) -> Mapping[str, Source]:
        root, options = request.folder, request.options
        found = find_images(root, options.frames_prefix or "")
        if not found.folders:
            named = f" named {options.frames_prefix} and a number" if options.frames_prefix else ""
            raise InputError(f"there is no image{named} in {root} or below it ({' '.join(SUFFIXES)})")
        try:
            layout = choose_layout(found.folders, options)
        except InputError as error:
            raise InputError(f"{root}: {error}") from error
        paths, bad = _sequences(root, found, options) if layout == SEQUENCES else _single_images(root, found)
        source = source_of_paths(root, self.name, paths, options.layout, request.needs_labels)
        return {
            "": replace(
                source,
                rejected=(*bad, *sorted(found.tree.unusable)),
                notes=(*_notes(found, len(paths), options, layout), *source.notes),
                files=f"{_summary(found)}; {source.files}",
            )
        }


def _sequences(root: Path, found: ImageTree, options: FramesOptions) -> Found:
    """InputError if the data folder and one of its folders have the same name."""
    assert options.frames_rate is not None
    rate, prefix = rate_of(options.frames_rate), options.frames_prefix or ""
    named = {_name_of(root, folder): folder for folder in found.folders}
    if len(named) < len(found.folders):
        own = _name_of(root, found.folders[0])
        raise InputError(
            f"{root} has images itself and in a folder of the same name, {readable(own)}, so two videos would have "
            "this name: move the images that are not in folders, or rename that folder"
        )
    paths = {n: ImageSequence(root / f.name, rate, prefix) for n, f in named.items() if not f.problem}
    return paths, [(name, folder.problem) for name, folder in named.items() if folder.problem]


def _single_images(root: Path, found: ImageTree) -> Found:
    """InputError if no image is a file that can be opened."""
    paths = {name: ImageSequence(root / name) for folder in found.folders for name in images_in(root, folder)}
    reasons = {name: reason for name in paths if (reason := regular_file(root / name)[1])}
    if len(reasons) == len(paths):
        name, reason = next(iter(reasons.items()), ("", "it is gone"))
        raise InputError(f"none of {len(paths)} images in {root} can be used; the first, {readable(name)}: {reason}")
    return {name: path for name, path in paths.items() if name not in reasons}, list(reasons.items())


def _name_of(root: Path, folder: ImageFolder) -> str:
    """The folder's relative path; the data folder itself is called by its own name."""
    return folder.name or os.path.basename(os.path.abspath(root))


def _summary(found: ImageTree) -> str:
    others = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(found.others.items()))
    return f"{count_of(found.num_images, IMAGE)} in {count_of(len(found.folders), 'folder')}" + (
        f", others: {others}" if others else ""
    )


def _notes(found: ImageTree, num_videos: int, options: FramesOptions, layout: str) -> Iterator[str]:
    if layout == SEQUENCES:
        rate = f"{options.frames_rate:.15g} frames per second"
        yield f"folders of numbered images, each of which is a video of {rate}: {num_videos}"
    else:
        yield f"images, each of which is a video of one frame: {num_videos}"
    if found.others[VIDEO]:
        yield f"video files next to the images, which are not read: {found.others[VIDEO]}; a table may name both"
    if found.others[IMAGE]:
        why = f"that are not named {options.frames_prefix} and a number or " if options.frames_prefix else ""
        yield f"images {why}of formats other than {' '.join(SUFFIXES)}, which are not read: {found.others[IMAGE]}"
    yield from folder_notes(found.tree, [f"{folder.name}/{folder.first}" for folder in found.folders], "image")
