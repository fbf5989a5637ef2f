"""Output order of codecs older than H.264: B pictures are output at once, other pictures when the next one arrives."""

I_PICTURE, P_PICTURE, B_PICTURE = range(3)
MANY = 1 << 24  # B pictures between two others


class AnchorOrder:
    """Numbers pictures in output order, and finds those that are not output.

    An anchor is a picture that others may depend on. A B picture with fewer than two anchors before it is not decoded.
    """

    def __init__(self):
        self.num_anchors = self._num_between = 0

    def number(self, kind: int) -> int:
        if kind != B_PICTURE:
            self.num_anchors += 1
            self._num_between = 0
            return self.num_anchors * MANY
        self._num_between += 1
        return (self.num_anchors - 1) * MANY + self._num_between
