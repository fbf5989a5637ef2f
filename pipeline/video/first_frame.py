"""Decoding the first frame of a video while its packets are read."""

import contextlib

import av


class FirstFrame:
    """Decodes the packets that it is called with until a frame comes out.

    The decoder is drained right after the first key frame, so that its frame comes out at once.
    may_be_hidden: also decode a first frame that an edit list hides, as it looks like the first one displayed.
    """

    def __init__(self, codec_context, may_be_hidden: bool = False):
        self._codec_context, self._may_be_hidden = codec_context, may_be_hidden
        self.frame: av.VideoFrame | None = None
        self.is_redescribed = False  # packets contain parameters: there are several sample descriptions
        self._is_drained = False

    def __call__(self, packet: av.Packet | None) -> av.VideoFrame | None:
        if packet is not None and self.frame is not None:
            for side in packet.iter_sidedata():
                self.is_redescribed |= side.data_type == "new_extradata"
            return self.frame
        if self._may_be_hidden and packet is not None and packet.is_keyframe and packet.is_discard:
            packet = _shown(packet)
        if self.frame is None:
            with contextlib.suppress(av.error.FFmpegError):
                self.frame = next(iter(self._codec_context.decode(packet)), None)
        may_drain = packet is not None and packet.is_keyframe and not packet.is_discard
        if self.frame is None and not self._is_drained and may_drain:
            self._is_drained = True
            with contextlib.suppress(av.error.FFmpegError):
                self.frame = next(iter(self._codec_context.decode(None)), None)
            self._codec_context.flush_buffers()
        return self.frame


def _shown(packet: av.Packet) -> av.Packet:
    """A copy of the packet that is not marked as hidden, without side data."""
    shown = av.Packet(bytes(packet))
    shown.time_base, shown.pts, shown.is_keyframe = packet.time_base, packet.pts, True
    return shown
