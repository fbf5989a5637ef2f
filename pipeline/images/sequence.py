"""A folder of numbered images, or a single image, used like the path of a video file. Decodes nothing."""

import hashlib
import io
import os
import stat
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from embedonce.pipeline.images.joined_files import JoinedFiles, open_regular
from embedonce.pipeline.images.numbering import has_prefix, is_image, numbered

TICKS_OF_AN_IMAGE = Fraction(1000)  # a second; a single image is displayed for one of them
MAX_DENOMINATOR = 10**6  # of a frame rate
BUFFER_BYTES = 1 << 16
SAMPLE_BYTES = 1 << 12  # from the middle of an image


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image in a folder. num_bytes, modified_ns: as in os.stat_result."""

    name: str
    num_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Frames:
    """The images of a video in the order of their numbers.

    pts: (n,) int64, increasing: ticks at which they are displayed, by their numbers; number 1, or 0 if there is one, is
    displayed at 0. first_number: of the first image. names: of the n files in the folder.
    """

    pts: np.ndarray
    first_number: int
    folder: Path
    names: tuple[str, ...]

    def path(self, i: int) -> Path:
        """Of image i."""
        return self.folder / self.names[i]


@dataclass(frozen=True)
class ImageSequence:
    """The frames of a video in a folder, or one image.

    path: of the folder, or of the image. rate: frames per second; None for one image. prefix: of the names of the
    images that are read; "" for all of them.
    """

    path: Path
    rate: Fraction | None = None
    prefix: str = ""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def time_base(self) -> Fraction:
        """The seconds from one number to the next."""
        return 1 / (TICKS_OF_AN_IMAGE if self.rate is None else self.rate)

    def files(self) -> list[ImageFile]:
        """The images, by name. OSError if the folder, or the image, cannot be read."""
        if self.rate is None:
            return [_image_file("", self.path.stat())]
        return [_image_file(entry.name, entry.stat()) for entry in self._entries()]

    def frames(self) -> Frames:
        """The images by number. OSError as files(); NumberingError if they are not the frames of one video."""
        if self.rate is None:
            return Frames(np.zeros(1, np.int64), 0, self.path.parent, (self.path.name,))
        pairs = numbered([entry.name for entry in self._entries()], self.prefix)
        numbers, first = np.array([number for number, _ in pairs], np.int64), pairs[0][0]
        return Frames(numbers - min(1, first), first, self.path, tuple(name for _, name in pairs))

    def _entries(self) -> list[os.DirEntry]:
        with os.scandir(self.path) as entries:
            named = [entry for entry in entries if is_image(entry.name) and has_prefix(entry.name, self.prefix)]
            return sorted((entry for entry in named if entry.is_file()), key=lambda entry: entry.name)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """All images as one file, after a digest of their names, sizes and frame rate, so that its content stands for
        that of the video; where most images have one size, some bytes of each are in the digest. OSError as files(),
        also from its methods.
        """
        assert mode == "rb"
        files = self.files()
        lines = [f"{self.rate}\n", *(f"{file.num_bytes} {file.name}\n" for file in files)]
        digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape"))
        for file in _of_equal_size(files):
            digest.update(_sample(self.path / file.name, file.num_bytes))
        names, sizes = [file.name for file in files], [file.num_bytes for file in files]
        return io.BufferedReader(JoinedFiles(digest.digest(), self.path, names, sizes), BUFFER_BYTES)

    def stat(self) -> os.stat_result:
        """As of one file: the sum of the sizes, and the last modification. OSError as files()."""
        files = self.files()
        modified_ns = max((file.modified_ns for file in files), default=0)
        seconds = modified_ns // 10**9
        values = (stat.S_IFREG | 0o444, 0, 0, 1, 0, 0, sum(file.num_bytes for file in files), *[seconds] * 3)
        return os.stat_result(values, {"st_mtime_ns": modified_ns})

    def checked(self) -> "ImageSequence":
        """The same: of local files nothing is known that might have changed."""
        return self


def rate_of(frames_per_second: float) -> Fraction:
    """A frame rate as a fraction: 29.97002997 is 30000/1001."""
    return Fraction(str(frames_per_second)).limit_denominator(MAX_DENOMINATOR)


def _of_equal_size(files: list[ImageFile]) -> list[ImageFile]:
    """The images of the most frequent size if most have it, as those that are not compressed; else none."""
    counts = Counter(file.num_bytes for file in files)
    size, count = counts.most_common(1)[0] if files else (0, 0)
    return [file for file in files if file.num_bytes == size] if 2 * count > len(files) > 1 else []


def _sample(path: Path, num_bytes: int) -> bytes:
    with open_regular(path) as file:
        file.seek(max(0, (num_bytes - SAMPLE_BYTES) // 2))
        return file.read(SAMPLE_BYTES)


def _image_file(name: str, status: os.stat_result) -> ImageFile:
    return ImageFile(name, status.st_size, status.st_mtime_ns)
