"""What the demuxer reads: a local file by its name, any other one through its open file."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import av

from embedonce.pipeline.video.location import VideoLocation


class WatchedFile:
    """An open file that remembers why it could not be read, since FFmpeg takes a failed read for the file's end."""

    def __init__(self, file: io.BufferedReader):
        self._file = file
        self.name, self.seek, self.tell = file.name, file.seek, file.tell
        self.failure: OSError | None = None

    def read(self, size: int) -> bytes:
        if self.failure is not None:
            raise self.failure
        try:
            return self._file.read(size)
        except OSError as error:
            self.failure = error
            raise


DemuxerInput = str | WatchedFile


@contextlib.contextmanager
def demuxer_input(location: VideoLocation) -> Iterator[DemuxerInput]:
    """What open_container reads for this location. OSError at the end if anything could not be read."""
    if isinstance(location, Path):
        yield str(location)
        return
    with location.open("rb") as file:
        watched = WatchedFile(file)
        try:
            yield watched
        finally:
            if watched.failure is not None:
                raise watched.failure


def open_container(source: DemuxerInput, **options):
    """The container, read from its beginning. FFmpeg's errors are not converted."""
    if isinstance(source, WatchedFile):
        source.seek(0)
    return av.open(source, **options)
