"""What a user names as a source: files, folders, URLs and cameras."""

import re
from dataclasses import dataclass
from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.settings.paths import expand, without_secrets
from embedonce.pipeline.sources.folder.file_kinds import VIDEO, kind_of_name

FILE, URL, STREAM, CAMERA = "file", "url", "stream", "camera"
_CAMERA = re.compile(r"camera:(\d{1,3})|(/dev/video\d{1,3})")
_SCHEME = re.compile(r"([A-Za-z][\w+.-]*)://")
_KINDS = {"http": URL, "https": URL, "rtsp": STREAM, "rtsps": STREAM}


@dataclass(frozen=True)
class SourceName:
    """kind: FILE; URL, a file or stream of a web server; STREAM; or CAMERA. place: a path, URL or device.

    shown: in messages and predictions, without secrets.
    """

    kind: str
    place: str
    shown: str

    @property
    def is_live(self) -> bool:
        """Whether it certainly is: only its server knows of a URL."""
        return self.kind in (STREAM, CAMERA)


def source_names(texts: tuple[str, ...]) -> list[SourceName]:
    """The sources of these texts, folders replaced by the videos in them and their sub-folders, in order of names.

    InputError for what does not exist, folders without videos, and URLs of other kinds.
    """
    return [name for text in texts for name in _names(text)]


def _names(text: str) -> list[SourceName]:
    camera, scheme = _CAMERA.fullmatch(text), _SCHEME.match(text)
    if camera:
        return [SourceName(CAMERA, camera[1] or camera[2], text)]
    if text.startswith("camera:"):
        raise InputError(f"{text} is not a camera; write camera:0, or the device file such as /dev/video0")
    if scheme:
        kind = _KINDS.get(scheme[1].lower())
        if kind is None:
            raise InputError(f"{without_secrets(text)}: predict reads http://, https:// and rtsp:// URLs")
        return [SourceName(kind, text, without_secrets(text))]
    try:
        path = Path(expand(text))
    except ValueError as error:
        raise InputError(str(error)) from error
    return [SourceName(FILE, str(found), str(found)) for found in _files(path)]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        videos = sorted(file for file in path.rglob("*") if kind_of_name(file.name) == VIDEO and file.is_file())
        if not videos:
            raise InputError(f"there is no video in the folder {path}; name a file, a URL, or camera:0")
        return videos
    if not path.exists():
        raise InputError(f"there is no file {path}; name a video, a folder of videos, a URL, or camera:0")
    if not path.is_file():
        raise InputError(f"{path} is a pipe, a socket or a device, not a file or a folder; cameras are camera:0")
    return [path]
