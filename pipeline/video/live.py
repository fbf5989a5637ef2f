"""Live sources: streams behind URLs and cameras, whose frames are decoded as they come and cannot be read again.

Only the formats and protocols of streams are accepted: a playlist cannot make FFmpeg open local files.
"""

import contextlib
import errno
import sys
from collections.abc import Callable, Iterator
from typing import Any

import av

from embedonce.pipeline.video.container import MAX_PIXELS, VideoError, check_size
from embedonce.pipeline.video.tracks import pick_track

NETWORK_OPTIONS = {
    "protocol_whitelist": "http,https,tcp,tls,udp,rtp,rtsp,srtp,crypto,httpproxy",
    "format_whitelist": "rtsp,sdp,rtp,mpegts,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,hls,mpjpeg,mjpeg,ogg,h264,hevc",
    "rtsp_transport": "tcp",  # frames are never lost on the way
}
CAMERA_FORMATS = {"linux": "v4l2"}  # by sys.platform, of FFmpeg as PyAV brings it

Opener = Callable[[], Any]


def open_stream(url: str, timeout_sec: float) -> Any:
    """The container of a stream. VideoError, with the reason, if it cannot be opened within this time."""
    options = NETWORK_OPTIONS if url.lower().startswith("rtsp") else _without(NETWORK_OPTIONS, "rtsp_transport")
    with _explained():
        return av.open(url, options=options, timeout=timeout_sec)


def open_camera(device: str, timeout_sec: float) -> Any:
    """The container of a camera. device: its number, or the path of its device file."""
    form = CAMERA_FORMATS.get(sys.platform)
    if form is None:
        raise VideoError(f"cameras can be opened on {', '.join(CAMERA_FORMATS)} only; give the URL of a stream")
    with _explained():
        return av.open(f"/dev/video{device}" if device.isdecimal() else device, format=form, timeout=timeout_sec)


def live_frames(container: Any) -> Iterator[tuple[float | None, av.VideoFrame]]:
    """(seconds or None, frame) of each frame of an open container, in the order of decoding.

    VideoError if it has no video, if reading fails, and for frames that are too large.
    """
    with _explained():
        stream = pick_track(container)
        if stream is None or stream.codec_context is None:
            raise VideoError("it has no video")
        stream.thread_type = "NONE"
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        for packet in container.demux(stream):
            for frame in _decoded(stream, packet):
                check_size(frame.width, frame.height)
                yield None if frame.pts is None else float(frame.pts * stream.time_base), frame


def sample_aspect(container: Any) -> Any:
    """Width over height of a pixel according to the container, or None."""
    stream = pick_track(container)
    return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio


def _decoded(stream: Any, packet: av.Packet) -> list[av.VideoFrame]:
    """The frames of a packet; none for a damaged one, as at the beginning of a stream that is joined midway."""
    try:
        return [frame for frame in stream.codec_context.decode(packet) if not frame.is_corrupt]
    except av.error.InvalidDataError:
        return []


def _without(options: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in options.items() if key != name}


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what FFmpeg raises into a VideoError."""
    try:
        yield
    except av.error.ExitError as error:
        raise VideoError("no data came within --stall-timeout") from error
    except av.error.FFmpegError as error:
        reason = "the connection broke off" if error.errno == errno.EIO else error.strerror or str(error)
        raise VideoError(reason) from error
    except (OSError, ValueError) as error:
        raise VideoError(" ".join(str(error).split())) from error
