"""Opens what a user named: files and videos of web servers, read exactly; streams and cameras, as they come."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from embedonce.pipeline.frames.preprocessing import Preprocessing
from embedonce.pipeline.predict.live_source import LiveSource
from embedonce.pipeline.predict.read_ahead import read_ahead
from embedonce.pipeline.predict.sampled_frames import End, Sampled, file_frames
from embedonce.pipeline.predict.source_names import CAMERA, FILE, STREAM, SourceName
from embedonce.pipeline.predict.web_videos import web_video
from embedonce.pipeline.video.live import open_camera, open_stream
from embedonce.pipeline.video.location import VideoLocation

FILE_BATCH = 16  # frames of a file that are encoded together
READ_AHEAD = 2 * FILE_BATCH  # prepared frames of a file that wait for the student

CameraOpener = Callable[[str, float], Any]  # (device, seconds until it must have opened) -> container


@dataclass(frozen=True)
class OpenedSource:
    """The sampled frames of a source, read as they are taken.

    batch: frames encoded together. live: None for files. location: of a file, None for others. is_sampled: whether its
    frames are at regular sampling times.
    """

    frames: Iterator[Sampled | End]
    batch: int
    live: LiveSource | None = None
    location: VideoLocation | None = None
    is_sampled: bool = True


@dataclass(frozen=True)
class Reading:
    """How sources are read.

    fps: sampling times per second; None: the key frames. max_seconds: of each source. stall_timeout: seconds without a
    frame after which a live source is given up. camera: opens cameras.
    """

    preprocessing: Preprocessing
    fps: float | None
    max_seconds: float | None = None
    stall_timeout: float = 10.0
    camera: CameraOpener = open_camera

    def open(self, name: SourceName) -> OpenedSource:
        """The source of this name. InputError for a web server that cannot be reached; frames raise other errors."""
        if name.kind == FILE:
            return self._file(Path(name.place))
        if name.kind == CAMERA:
            return self._live(name, partial(self.camera, name.place, self.stall_timeout))
        if name.kind != STREAM and (video := web_video(name.place, self.stall_timeout)) is not None:
            return self._file(video)
        return self._live(name, partial(open_stream, name.place, self.stall_timeout))

    def _file(self, location: VideoLocation) -> OpenedSource:
        frames = file_frames(location, self.preprocessing, self.fps, self.max_seconds)
        return OpenedSource(read_ahead(frames, READ_AHEAD), FILE_BATCH, location=location)

    def _live(self, name: SourceName, opener: Callable[[], Any]) -> OpenedSource:
        is_paced = name.kind not in (CAMERA, STREAM)  # a web server may send faster than real time
        live = LiveSource(name.shown, opener, is_paced, self.stall_timeout)
        return OpenedSource(live.frames(self.preprocessing, self.fps, self.max_seconds), 1, live)
