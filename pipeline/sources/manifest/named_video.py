"""A video that a table names: its spellings, its file, and why it cannot be used. Opens no file."""

import errno
import os
import stat
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from embedonce.pipeline.images.numbering import is_image
from embedonce.pipeline.images.sequence import ImageSequence, rate_of
from embedonce.pipeline.sources.frames.options import FrameFolderOptions
from embedonce.pipeline.sources.source import VideoPath

NO_FILE = "there is no such file"
_WRONG_NAMES = {
    errno.ENOENT: NO_FILE,
    errno.ENOTDIR: NO_FILE,
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "it is a link to itself",
}


@dataclass
class NamedVideo:
    """One file that a table names.

    line: where it is named first. names: its spellings: paths from the data folder, absolute ones outside of it, or a
    URL; the first is used. path: the file; None if it was not found. wrong: why the table must be corrected, or "".
    unreadable: why the file cannot be read now, or "". uid: of the video, once it is known.
    """

    line: int
    names: list[str]
    path: VideoPath | None = None
    wrong: str = ""
    unreadable: str = ""
    uid: str = ""

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def is_missing(self) -> bool:
        return self.wrong.startswith(NO_FILE)

    @property
    def is_usable(self) -> bool:
        return self.path is not None and not self.wrong and not self.unreadable

    @property
    def is_outside(self) -> bool:
        """Whether a local file is not in the data folder."""
        return self.name.startswith(("../", "/"))


def local_video(root: Path, name: str, line: int, frames: FrameFolderOptions) -> tuple[Hashable, NamedVideo]:
    """(a key that is equal for all names of one file, the file). ValueError if no file can have this name.

    The file may also be a folder of frames, which these options are about, or an image.
    """
    if not _is_possible(name):
        raise ValueError(f"no file can have the name {name!r}")
    video = NamedVideo(line, [name_in(root, name)])
    try:
        status = (root / name).stat()
    except OSError as error:
        if error.errno in _WRONG_NAMES:
            video.wrong = _WRONG_NAMES[error.errno] + _hint(root, name)
        else:
            video.unreadable = f"it cannot be reached: {error.strerror}"
        return video.name, video
    if stat.S_ISDIR(status.st_mode):
        if frames.frames_rate is None:
            video.wrong = "it is a folder, not a video file; folders of frames need --frames-rate FPS"
        else:
            video.path = ImageSequence(root / video.name, rate_of(frames.frames_rate), frames.frames_prefix or "")
    elif not stat.S_ISREG(status.st_mode):
        video.wrong = "it is not a regular file"
    else:
        video.path = ImageSequence(root / video.name) if is_image(video.name) else root / video.name
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(root / name), video


def name_in(root: Path, name: str) -> str:
    """The path from a data folder, with forward slashes; an absolute path stays one if it is outside of the folder."""
    folder = os.path.abspath(root)
    if not os.path.isabs(name) and ".." not in PurePosixPath(name).parts:
        return PurePosixPath(name).as_posix()
    plain = os.path.normpath(os.path.join(folder, name))
    if not _is_same(plain, os.path.join(folder, name)):
        return PurePosixPath(name).as_posix()  # `..` after a link to another folder
    if Path(plain).is_relative_to(folder):
        return os.path.relpath(plain, folder)
    return plain if os.path.isabs(name) else os.path.relpath(plain, folder)


def is_direct(root: Path, name: str) -> bool:
    """Whether no link leads from the data folder to the file."""
    return os.path.realpath(root / name) == os.path.normpath(os.path.join(os.path.realpath(root), name))


def _is_possible(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _is_same(a: str, b: str) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return not (os.path.lexists(a) or os.path.lexists(b))


def _hint(root: Path, name: str) -> str:
    has_slashes = "\\" in name and (root / name.replace("\\", "/")).exists()
    return "; write its path with forward slashes" if has_slashes else ""
