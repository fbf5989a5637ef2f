"""Decides whether the images of a folder tree are frames of videos or stand for themselves, and never guesses.

Works on what was found; reads nothing.
"""

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.folder.layouts import readable
from embedonce.pipeline.sources.frames.image_folders import ImageFolder
from embedonce.pipeline.sources.frames.options import IMAGES, SEQUENCES, FramesOptions

NO_TIME = "an image has no time"
SINGLE = "--frames-layout images if each image stands for itself"


def choose_layout(folders: list[ImageFolder], options: FramesOptions) -> str:
    """One of FRAMES_LAYOUTS. InputError if the options exclude each other, or if the folders may be either."""
    layout, rate = options.frames_layout, options.frames_rate
    if layout == IMAGES and rate is not None:
        raise InputError(
            f"--frames-rate is for folders of frames, and with --frames-layout {IMAGES} there are none: leave one of "
            "them out"
        )
    if layout == IMAGES:
        return IMAGES
    if layout == SEQUENCES or rate is not None:
        if rate is None:
            raise InputError(f"--frames-layout {SEQUENCES} needs --frames-rate FPS: {NO_TIME}")
        _check_any_fits(folders)
        return SEQUENCES
    example = next((folder for folder in folders if folder.is_numbered and folder.num_images > 1), None)
    if example is not None:
        raise InputError(
            f"the images in {_place_of(example)} are numbered like the frames of a video ({readable(example.first)} "
            f"to {readable(example.last)}), and {NO_TIME}: give --frames-rate FPS if each such folder is a video, or "
            f"{SINGLE}"
        )
    return IMAGES


def _place_of(folder: ImageFolder) -> str:
    return readable(folder.name) or "the data folder"


def _check_any_fits(folders: list[ImageFolder]) -> None:
    if all(folder.problem for folder in folders):
        first = folders[0]
        count = f"none of {len(folders)} folders has" if len(folders) > 1 else "there is no folder that has"
        raise InputError(
            f"{count} the frames of one video; {_place_of(first)}: {first.problem}; or leave --frames-rate out and "
            f"give {SINGLE}"
        )
