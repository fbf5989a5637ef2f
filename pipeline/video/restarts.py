"""Whether decoding can begin anew at a key frame as containers call them. Pure arithmetic on bytes.

Containers, and FFmpeg's parsers, also call frames of H.264 key frames from which on a picture is refreshed bit by bit.
"""

from embedonce.pipeline.video.headers.bits import BitsError, payload, split_nals

SLICES, IDR = (1, 5), 5  # nal_unit_type of H.264, table 7-1
INTRA = {2, 4, 7, 9}  # slice_type, table 7-6


def is_intra(data: bytes, extradata: bytes) -> bool:
    """Whether a packet of H.264 holds nothing that is predicted from other frames. extradata: as avcC or Annex B."""
    length_size = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 6 else 0
    try:
        slices = [nal for nal in split_nals(data, length_size) if nal[0] & 31 in SLICES]
        return all(nal[0] & 31 == IDR or payload(nal, 1).exp_golombs(2)[1] in INTRA for nal in slices)
    except BitsError:
        return False
