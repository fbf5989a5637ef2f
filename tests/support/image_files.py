"""Folders of image files whose numbers can be read from their pixels."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from PIL import Image

from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.images.timeline import read_image_timeline
from embedonce.pipeline.sources.ego4d_miniature.frames import numbered_frame
from embedonce.pipeline.video.timeline import Timeline
from tests.support.generators import returned


def write_frames(folder: Path, numbers: Iterable[int], name: str = "img_{:05}.jpg", shift: int = 0, **settings) -> Path:
    """Images of 64 x 160 pixels that show the number in their name. shift: as in numbered_frame, so that videos differ.

    settings: of Pillow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        write_image(folder / name.format(number), number, shift, **settings)
    return folder


def write_image(path: Path, number: int, shift: int = 0, **settings) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = {} if path.suffix == ".png" else {"quality": 95}
    Image.fromarray(numbered_frame(number, 64, 160, shift)).save(path, **(quality | settings))
    return path


def timeline_of(folder: Path, rate: int = 10) -> Timeline:
    return returned(read_image_timeline(ImageSequence(folder, Fraction(rate))))
