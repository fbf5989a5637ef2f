"""The inspector of each codec's packets, by FFmpeg's decoder names."""

from embedonce.pipeline.video.headers.h264 import H264Inspector
from embedonce.pipeline.video.headers.hevc import HevcInspector
from embedonce.pipeline.video.headers.i_and_p_codecs import BEGINS, predictive_inspector
from embedonce.pipeline.video.headers.intra import Ffv1Inspector, IntraInspector, MjpegInspector
from embedonce.pipeline.video.headers.mpeg4 import Mpeg4Inspector
from embedonce.pipeline.video.headers.mpeg12 import Mpeg12Inspector
from embedonce.pipeline.video.headers.vpx_av1 import Av1Inspector, Vp8Inspector, Vp9Inspector

INTRA = ("prores", "dnxhd", "dvvideo", "jpeg2000", "png", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210")
INSPECTORS = {
    "h264": H264Inspector,
    "hevc": HevcInspector,
    "vp8": Vp8Inspector,
    "vp9": Vp9Inspector,
    "av1": Av1Inspector,
    "libdav1d": Av1Inspector,
    "mpeg1video": Mpeg12Inspector,
    "mpeg2video": Mpeg12Inspector,
    "mpeg4": Mpeg4Inspector,
    "mjpeg": MjpegInspector,
    "ffv1": Ffv1Inspector,
    **dict.fromkeys(INTRA, IntraInspector),
    **{codec: predictive_inspector(codec) for codec in BEGINS},
}
KEEPS_ORDER = {*INTRA, *BEGINS, "mjpeg", "ffv1"}  # frames come out as they go in, whatever else is unknown
