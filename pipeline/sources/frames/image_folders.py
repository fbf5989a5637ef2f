"""Finds the images of a folder tree, one folder after the other. Opens no image."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.images.numbering import NumberingError, has_prefix, is_image, looks_numbered, numbered
from embedonce.pipeline.sources.folder.file_kinds import ARCHIVE, IMAGE, OTHER, UNFINISHED, VIDEO, kind_of_name
from embedonce.pipeline.sources.folder.listing import check_folder
from embedonce.pipeline.sources.folder.walk import FolderTree, visit_folders


@dataclass(frozen=True)
class ImageFolder:
    """A folder with images, not counting its sub-folders.

    name: relative POSIX path; "" for the data folder itself. num_images: those that would be read. first, last: two of
    their names. problem: why they are not the frames of one video, or "". is_numbered: whether they look like frames.
    """

    name: str
    num_images: int
    first: str
    last: str
    problem: str
    is_numbered: bool


@dataclass
class ImageTree:
    """The folders of a tree that have images, its other files by kind, and what was observed on the way."""

    tree: FolderTree
    folders: list[ImageFolder] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def num_images(self) -> int:
        return sum(folder.num_images for folder in self.folders)


def find_images(root: Path, prefix: str) -> ImageTree:
    """The images below a folder; links to folders are followed. prefix: as in ImageSequence. InputError without a
    folder.
    """
    check_folder(root)
    found = ImageTree(FolderTree(root))
    for folder, files in visit_folders(found.tree):
        names = [file.name for file in files]
        images = [name for name in names if is_image(name) and has_prefix(name, prefix)]
        if images:
            found.folders.append(_image_folder(folder.rstrip("/"), images, prefix))
        found.others.update(kind_of_name(name) or OTHER for name in set(names) - set(images))
    found.folders.sort(key=lambda folder: os.fsencode(folder.name))
    return found


def images_in(root: Path, folder: ImageFolder) -> Iterator[str]:
    """The relative path of each image of a folder, in order. InputError if it cannot be listed any more."""
    try:
        with os.scandir(root / folder.name) as entries:
            names = [entry.name for entry in entries if is_image(entry.name) and not entry.is_dir()]
    except OSError as error:
        raise InputError(f"cannot list {root / folder.name}: {error.strerror}") from error
    for name in sorted(names, key=os.fsencode):
        yield f"{folder.name}/{name}" if folder.name else name


def holds_only_images(root: Path) -> bool:
    """Whether a folder tree has images, and no file that may be, become or contain a video. Stops at the first one."""
    has_images = False
    for _, files in visit_folders(FolderTree(root)):
        kinds = {kind_of_name(file.name) for file in files}
        if kinds & {VIDEO, UNFINISHED, ARCHIVE, None}:
            return False
        has_images |= IMAGE in kinds and any(is_image(file.name) for file in files)
    return has_images


def _image_folder(name: str, images: list[str], prefix: str) -> ImageFolder:
    problem = ""
    try:
        pairs = numbered(images, prefix)
        images = [image for _, image in (pairs[0], pairs[-1])]
        num_images = len(pairs)
    except NumberingError as error:
        problem, num_images = str(error), len(images)
    return ImageFolder(name, num_images, images[0], images[-1], problem, not problem or looks_numbered(images))
