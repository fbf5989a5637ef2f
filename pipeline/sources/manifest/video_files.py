"""The videos that a table names: which spellings are one file, where it is, and which uid it has. Opens no file."""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path, PurePosixPath

from embedonce.cache.errors import StorageError
from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.naming.uids import path_uid
from embedonce.pipeline.remote_files.addresses import check_url, shown
from embedonce.pipeline.remote_files.failures import RemoteError
from embedonce.pipeline.remote_files.remote_file import RemoteFile
from embedonce.pipeline.remote_files.remote_folder import RemoteFolder, files_at
from embedonce.pipeline.sources.frames.options import FrameFolderOptions
from embedonce.pipeline.sources.manifest.named_video import NO_FILE, NamedVideo, is_direct, local_video
from embedonce.pipeline.sources.source import DataFolder

NO_FRAMES = FrameFolderOptions()


class VideoFiles:
    """Collects the videos of a table.

    looks_up_remote: find out whether files behind URLs exist. uid_of: makes the uid of a video from its name. frames:
    how folders of frames are read.
    """

    def __init__(
        self,
        root: DataFolder,
        looks_up_remote: bool = True,
        uid_of: Callable[[str], str] = path_uid,
        frames: FrameFolderOptions = NO_FRAMES,
    ):
        self._root, self._looks_up_remote, self._uid_of, self._frames = root, looks_up_remote, uid_of, frames
        self._index_of_name: dict[str, int] = {}
        self._index_of_file: dict[Hashable, int] = {}
        self.videos: list[NamedVideo] = []

    def index_of(self, name: str, line: int) -> int:
        """The index in `videos` of the file that a row names. ValueError if no file can have this name."""
        if name not in self._index_of_name:
            key, video = self._found(name, line)
            index = self._index_of_file.setdefault(key, len(self.videos))
            if index == len(self.videos):
                self.videos.append(video)
            elif video.name not in self.videos[index].names:
                self.videos[index].names.append(video.name)
            self._index_of_name[name] = index
        return self._index_of_name[name]

    def finish(self) -> None:
        """Look up remote files, and choose the name and the uid of each video, whatever the order of the rows."""
        self._find_remote()
        if isinstance(self._root, Path):
            for video in self.videos:
                if len(video.names) > 1:
                    _choose_name(video, self._root)
        _name_uids(self.videos, self._uid_of)

    def _found(self, name: str, line: int) -> tuple[Hashable, NamedVideo]:
        """(a key that is equal for all names of one file, the file)."""
        if is_url(name):
            try:
                check_url(name)
            except StorageError as error:
                raise ValueError(str(error)) from error
            return name, NamedVideo(line, [name])
        if isinstance(self._root, RemoteFolder):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"it is not below {self._root}")
            return path, NamedVideo(line, [path.as_posix()])
        return local_video(self._root, name, line, self._frames)

    def _find_remote(self) -> None:
        remote = [v for v in self.videos if is_url(v.name) or isinstance(self._root, RemoteFolder)]
        if not self._looks_up_remote or not remote:
            return
        found: dict[str, RemoteFile | RemoteError | str] = {}
        found |= files_at(video.name for video in remote if is_url(video.name))
        if isinstance(self._root, RemoteFolder):
            found |= _in_folder(self._root, [video.name for video in remote if not is_url(video.name)])
        for video in remote:
            file = found.get(video.name)
            if isinstance(file, RemoteFile):
                video.path = file
            elif file is None or (isinstance(file, RemoteError) and file.is_missing):
                video.wrong = NO_FILE
            else:
                video.unreadable = str(file)


def _in_folder(root: RemoteFolder, names: list[str]) -> dict[str, RemoteFile | RemoteError | str]:
    """The files of these names that a remote folder has, or why they cannot be read."""
    listed = set(root.names())
    existing = [name for name in names if name in listed]
    failures = root.describe(existing)
    return {name: failures[name] if name in failures else root / name for name in existing}


def _choose_name(video: NamedVideo, root: Path) -> None:
    """Of several names of one local file, use one without links, inside the data folder if possible."""
    video.names.sort(key=lambda name: (not is_direct(root, name), name.startswith(("../", "/")), name))
    if isinstance(video.path, ImageSequence):
        video.path = dataclasses.replace(video.path, path=root / video.name)
    elif video.path is not None:
        video.path = root / video.name


def _name_uids(videos: list[NamedVideo], uid_of: Callable[[str], str]) -> None:
    """The query of a URL may be a signature: it is in no uid, unless a hash of it must tell videos apart."""
    by_uid = defaultdict(list)
    for video in videos:
        by_uid[uid_of(public_name(video.name))].append(video)
    for uid, same in by_uid.items():
        for video in same:
            video.uid = uid if len(same) == 1 else path_uid(f"{public_name(video.name)}#{_digest(video.name)}")
    for video in videos:
        video.names = [public_name(name) for name in video.names]


def public_name(name: str) -> str:
    """The name of a video as it may be shown and stored: a URL without its query."""
    return shown(name) if is_url(name) else name


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
