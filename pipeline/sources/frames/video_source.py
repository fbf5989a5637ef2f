"""Folders of frames, and single images, as a video source: classes and splits are read from the names of folders."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from embedonce.cache.errors import some
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.images.numbering import SUFFIXES
from embedonce.pipeline.images.sequence import ImageSequence, rate_of
from embedonce.pipeline.sources.folder.file_kinds import IMAGE, VIDEO
from embedonce.pipeline.sources.folder.labeled_videos import source_of_paths
from embedonce.pipeline.sources.folder.listing import folder_notes
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
        paths = _sequences(root, found, options) if layout == SEQUENCES else _single_images(root, found)
        bad = [(_name_of(root, f), f.problem) for f in found.folders if f.problem] if layout == SEQUENCES else []
        source = source_of_paths(root, self.name, paths, options.layout, request.needs_labels)
        return {
            "": replace(
                source,
                rejected=(*bad, *sorted(found.tree.unusable)),
                notes=(*_notes(found, len(paths), bad, options, layout), *source.notes),
                files=f"{_summary(found)}; {source.files}",
            )
        }


def _sequences(root: Path, found: ImageTree, options: FramesOptions) -> dict[str, ImageSequence]:
    assert options.frames_rate is not None
    rate, prefix = rate_of(options.frames_rate), options.frames_prefix or ""
    folders = (folder for folder in found.folders if not folder.problem)
    return {_name_of(root, folder): ImageSequence(root / folder.name, rate, prefix) for folder in folders}


def _single_images(root: Path, found: ImageTree) -> dict[str, ImageSequence]:
    return {name: ImageSequence(root / name) for folder in found.folders for name in images_in(root, folder)}


def _name_of(root: Path, folder: ImageFolder) -> str:
    """The folder's relative path; the data folder itself is called by its own name."""
    return folder.name or os.path.basename(os.path.abspath(root))


def _summary(found: ImageTree) -> str:
    others = ", ".join(f"{count} of kind {kind}" for kind, count in sorted(found.others.items()))
    folders = f"{len(found.folders)} folder" + ("s" if len(found.folders) > 1 else "")
    return f"{found.num_images} images in {folders}" + (f", others: {others}" if others else "")


def _notes(
    found: ImageTree, num_videos: int, bad: list[tuple[str, str]], options: FramesOptions, layout: str
) -> Iterator[str]:
    if layout == SEQUENCES:
        yield f"each of {num_videos} folders of numbered images is a video of {options.frames_rate:g} frames per second"
    else:
        yield f"each of {num_videos} images is a video of one frame"
    if bad:
        reasons = some(f"{name}: {problem}" for name, problem in bad)
        yield f"folders whose images are not the frames of one video: {len(bad)} ({reasons})"
    if found.others[VIDEO]:
        yield f"{found.others[VIDEO]} video files next to the images are not read"
    if found.others[IMAGE]:
        why = f"that are not named {options.frames_prefix} and a number or " if options.frames_prefix else ""
        yield f"{found.others[IMAGE]} images {why}of formats other than {' '.join(SUFFIXES)} are not read"
    yield from folder_notes(found.tree, [f"{folder.name}/{folder.first}" for folder in found.folders], "image")
