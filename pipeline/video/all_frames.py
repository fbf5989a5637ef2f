"""Every frame of a video file in display order, for showing it: damaged frames as they come out."""

from collections.abc import Iterator

import av

from embedonce.pipeline.video.container import open_video, packets_of
from embedonce.pipeline.video.geometry import Orientations
from embedonce.pipeline.video.location import VideoLocation
from embedonce.pipeline.video.orientation import Orientation


def all_frames(path: VideoLocation) -> Iterator[tuple[float, av.VideoFrame, Orientation]]:
    """(seconds, frame, orientation) of every frame that has a time. VideoError if the file cannot be opened."""
    orient = Orientations()
    with open_video(path, "software") as (container, stream):
        for packet in _packets(container, stream):
            for frame in _decoded(stream, packet):
                if frame.pts is not None:
                    yield float(frame.pts * stream.time_base), frame, orient(frame)


def _packets(container, stream) -> Iterator[av.Packet | None]:
    yield from packets_of(container, stream)
    yield None


def _decoded(stream, packet: av.Packet | None) -> list[av.VideoFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.error.FFmpegError:
        return []
