"""Decoded frames are upright, have square pixels and the right colors."""

from fractions import Fraction

import av
import numpy as np
import pytest

from embedonce.pipeline.extraction.decode_tasks import DecodeTask, decode_video
from embedonce.pipeline.extraction.scan_tasks import ScanTask, scan_video
from embedonce.pipeline.extraction.upright import planned_shape
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.sources.ego4d_miniature.frames import numbered_frame, read_number
from embedonce.pipeline.video.color import Scaler
from tests.support.videos import timeline_of, write_video

RED, GREEN, BLUE, WHITE, GREY = (230, 20, 20), (20, 220, 30), (20, 30, 220), (235, 235, 235), (120, 120, 120)


def extracted(path, short_side=64) -> np.ndarray:
    """The first canonical frame of a video, as extraction stores it."""
    *_, scan = scan_video(ScanTask("v", path, Grid(1.0), "software"))
    requests, shape = scan.requests, planned_shape(scan.timeline, short_side)
    views = np.array([[0, 0, 8, 8, 0, 3]], np.int32)
    frames = (requests.frame_index, requests.pts, scan.timeline.by_order, shape, 95, views, 8)
    messages = decode_video(DecodeTask("v", path, "software", *frames, duration_sec=1.0))
    row = next(row for message in messages if isinstance(message, list) for row in message)
    return np.asarray(canonical_frame.decode_jpeg(row.jpeg))


def quarters() -> np.ndarray:
    """(240, 320, 3): red and green above, blue and white below."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[:120, :160], image[:120, 160:], image[120:, :160], image[120:, 160:] = RED, GREEN, BLUE, WHITE
    return image


def write_picture(path, image: np.ndarray, codec="libx264", **settings):
    """A video of a few equal frames. settings: pix_fmt, rotation, aspect, matrix (FFmpeg's number), full."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = settings.get("pix_fmt", "yuv420p")
        stream.codec_context.sample_aspect_ratio = settings.get("aspect", Fraction(1))
        if codec == "libx264":
            stream.options = {"crf": "4"}
        matrix, full = settings.get("matrix"), settings.get("full", False)
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if full:
            stream.codec_context.color_range = 2
        if "rotation" in settings:
            stream.set_display_rotation(settings["rotation"])
        source = av.VideoFrame.from_ndarray(image, format="rgb24")
        for number in range(3):
            frame = source.reformat(
                format=stream.pix_fmt,
                dst_colorspace={1: "ITU709", 9: "BT2020"}.get(settings.get("encoded_as", matrix), "ITU601"),
                dst_color_range="JPEG" if full else "MPEG",
                interpolation="BICUBIC",
            )
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def corners(image: np.ndarray) -> list[tuple[int, ...]]:
    """The colors in the middle of the four quarters: above left, above right, below left, below right."""
    height, width = image.shape[:2]
    return [tuple(map(int, image[y * height // 4, x * width // 4])) for y in (1, 3) for x in (1, 3)]


def close(found, expected, tolerance=6) -> bool:
    return bool((np.abs(np.array(found) - np.array(expected)) <= tolerance).all())


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (0, (RED, GREEN, BLUE, WHITE)),
        (-90, (BLUE, RED, WHITE, GREEN)),  # FFmpeg counts counter-clockwise: a quarter turn to the right
        (90, (GREEN, WHITE, RED, BLUE)),
        (180, (WHITE, BLUE, GREEN, RED)),
    ],
)
def test_rotation_sets_the_frame_upright(tmp_path, metadata, expected):
    image = extracted(write_picture(tmp_path / "v.mp4", quarters(), rotation=metadata))
    assert image.shape[:2] == ((64, 86) if metadata in (0, 180) else (86, 64))
    assert close(corners(image), expected)


def test_a_rotation_by_another_angle_is_rounded_and_reported(tmp_path):
    path = write_picture(tmp_path / "v.mp4", quarters(), rotation=-77)
    timeline = timeline_of(path)
    assert timeline.rotation == 90 and timeline.notes == ("its rotation of 77 degrees is rounded to 90",)


def test_sample_aspect_ratio_is_applied(tmp_path):
    image = np.zeros((120, 160, 3), np.uint8)
    image[20:100, 60:100] = WHITE  # 80 high and 40 wide: a square where pixels are twice as wide as high
    found = extracted(write_picture(tmp_path / "v.mp4", image, aspect=Fraction(2, 1)), 120)
    assert found.shape == (120, 320, 3)
    bright = np.argwhere(found[:, :, 1] > 128)
    height, width = bright.max(0) - bright.min(0) + 1
    assert abs(int(height) - 80) <= 2 and abs(int(width) - 80) <= 2


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"full": True, "pix_fmt": "yuvj420p"},
        {"full": True, "matrix": 1},
        {"matrix": 1},
        {"matrix": 6},
        {"matrix": 9, "pix_fmt": "yuv420p10le"},
        {"pix_fmt": "yuv420p10le"},
        {"pix_fmt": "yuv422p"},
        {"pix_fmt": "yuv444p"},
        {"pix_fmt": "gbrp", "codec": "libx264rgb"},
        {"pix_fmt": "yuva420p", "codec": "libvpx-vp9", "file": "v.webm"},
        {"pix_fmt": "rgba", "codec": "png", "file": "v.mov"},
        {"pix_fmt": "yuva444p10le", "codec": "prores_ks", "file": "v.mov"},
    ],
)
def test_colors_come_out_right_whatever_the_format(tmp_path, settings):
    codec = settings.get("codec", "libx264")
    if codec == "libx264rgb":
        settings = settings | {"pix_fmt": "rgb24"}
    path = tmp_path / settings.get("file", "v.mp4")
    image = extracted(write_picture(path, quarters(), **({"codec": codec} | settings)))
    assert close(corners(image), (RED, GREEN, BLUE, WHITE), 8), corners(image)


def test_an_unnamed_matrix_is_that_of_its_size(tmp_path):
    """BT.601 in standard definition, BT.709 above: what players do."""
    small, large = quarters(), np.kron(quarters(), np.ones((3, 4, 1), np.uint8))
    for name, image, encoded_as in (("small.mp4", small, 6), ("large.mp4", large, 1)):
        path = write_picture(tmp_path / name, image, encoded_as=encoded_as)
        assert close(corners(extracted(path)), (RED, GREEN, BLUE, WHITE)), name


def test_the_range_of_colors_is_the_frames_own():
    frame = av.VideoFrame(16, 16, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    for color_range, grey in ((1, 0), (2, 16)):  # 16 is black in the limited range of television, grey in the full one
        frame.color_range = color_range
        assert (Scaler()(frame) == grey).all()


@pytest.mark.parametrize(("height", "width"), [(65, 161), (33, 47), (2, 2), (1, 1)])
def test_odd_and_tiny_sizes(tmp_path, height, width):
    image = np.full((height, width, 3), GREY, np.uint8)
    found = extracted(write_picture(tmp_path / "v.mp4", image, pix_fmt="yuv444p"))
    assert close(found.reshape(-1, 3).mean(0), GREY, 3) and min(found.shape[:2]) == 64


def test_reducing_does_not_alias():
    """Lines one pixel wide become grey, not a pattern."""
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    found = Scaler()(av.VideoFrame.from_ndarray(stripes, format="rgb24"), (150, 200)).astype(int)
    assert np.ptp(found[10:-10, 10:-10]) <= 12 and abs(found.mean() - 127) < 6


def test_a_scaler_serves_frames_of_any_size_in_turn():
    scale = Scaler()
    for number, (height, width) in enumerate([(64, 160), (128, 320), (64, 160)]):
        frame = av.VideoFrame.from_ndarray(numbered_frame(number, height, width), format="rgb24")
        assert read_number(scale(frame, (32, 80))) == number and scale(frame).shape == (height, width, 3)


def test_high_dynamic_range_is_reported(tmp_path, real_videos):
    notes = timeline_of(real_videos / "mp4parse-rust__video_colr_nclx_hlg.mp4").notes
    assert notes == ("its colors are HDR (HLG) and are not tone-mapped: frames look pale",)
    assert timeline_of(write_video(tmp_path / "v.mp4", 2)).notes == ()
