"""Choose the video track of a container: real videos before still pictures, enabled tracks before others."""

from av.stream import Disposition

STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
KNOWS_FRAMES = {"mov,mp4,m4a,3gp,3g2,mj2"}  # containers in which a track without frames and duration is empty
IMAGE_CODECS = {"mjpeg", "png", "bmp", "tiff"}  # also used by cover images in tracks of their own


def pick_track(container):
    """The video stream to use, or None.

    Criteria in this order: a decoder exists; not a still picture; several frames rather than one or none; not an image
    codec; flagged as default (MP4: enabled); the largest picture; the first stream.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return max(streams, key=_rank, default=None)


def track_note(container, stream) -> list[str]:
    """A note naming the chosen track if there are several; otherwise nothing."""
    tracks = container.streams.video
    if len(tracks) < 2:
        return []
    names_default = any(_is_default(track) for track in tracks)
    words = {track.index: _words(track, names_default) for track in tracks}
    others = ", ".join(f"{track.index} ({words[track.index]})" for track in tracks if track.index != stream.index)
    used = f"video stream {stream.index} of {len(tracks)} video streams is used ({words[stream.index]})"
    return [f"{used}, not {others}"]


def _rank(stream) -> tuple:
    return (
        stream.codec_context is not None,
        not stream.disposition & STILLS,
        _frames_rank(stream),
        stream.codec_context is not None and stream.codec_context.name not in IMAGE_CODECS,
        _is_default(stream),
        _area(stream),
        -stream.index,
    )


def _frames_rank(stream) -> int:
    """3: several frames, 2: unknown, 1: a single frame, 0: none."""
    if stream.frames:
        return 3 if stream.frames > 1 else 1
    return 2 if stream.duration or stream.container.format.name not in KNOWS_FRAMES else 0


def _area(stream) -> int:
    return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height


def _is_default(stream) -> bool:
    return bool(stream.disposition & Disposition.default)


def _words(stream, names_default: bool) -> str:
    context = stream.codec_context
    properties = ["unknown codec"] if context is None else [context.name, f"{context.width}x{context.height}"]
    properties += ["a still picture"] if stream.disposition & STILLS or stream.frames == 1 else []
    properties += ["default"] if names_default and _is_default(stream) else []
    return ", ".join(properties)
