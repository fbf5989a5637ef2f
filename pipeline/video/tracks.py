"""Which of a container's video tracks is the video: real ones before still pictures, enabled ones before others."""

from av.stream import Disposition

STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
KNOWS_FRAMES = {"mov,mp4,m4a,3gp,3g2,mj2"}  # containers where a track without frames and without duration is empty
STILL_CODECS = ("png", "bmp", "gif", "tiff", "webp")  # of covers that are tracks of their own; not Motion JPEG


def pick_track(container):
    """The video stream to use, or None where there is none.

    What counts, in this order: a decoder is there; no still picture; several frames rather than one or none; flagged
    as default (MP4: enabled); the largest picture; the first.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    return max(streams, key=_rank, default=None)


def track_note(container, stream) -> list[str]:
    """Which track is used of several, in words; nothing where there is no choice."""
    others = [_words(other) for other in container.streams.video if other.index != stream.index]
    if not others:
        return []
    return [f"of {len(others) + 1} video tracks {_words(stream)} is used, not {', '.join(others)}"]


def _rank(stream) -> tuple:
    is_default = bool(stream.disposition & Disposition.default)
    return (
        stream.codec_context is not None,
        not _is_still(stream),
        _frames_rank(stream),
        is_default,
        _area(stream),
        -stream.index,
    )


def _frames_rank(stream) -> int:
    """Several frames, an unknown number, a single one, none."""
    if stream.frames:
        return 3 if stream.frames > 1 else 1
    return 2 if stream.duration or stream.container.format.name not in KNOWS_FRAMES else 0


def _is_still(stream) -> bool:
    context = stream.codec_context
    return bool(stream.disposition & STILLS) or (context is not None and context.name in STILL_CODECS)


def _area(stream) -> int:
    return 0 if stream.codec_context is None else stream.codec_context.width * stream.codec_context.height


def _words(stream) -> str:
    if stream.codec_context is None:
        return f"stream {stream.index} (unknown codec)"
    context = stream.codec_context
    facts = [context.name, f"{context.width}x{context.height}"]
    facts += ["a still picture"] if _is_still(stream) else []
    facts += [] if stream.disposition & Disposition.default else ["not the default"]
    return f"stream {stream.index} ({', '.join(facts)})"
