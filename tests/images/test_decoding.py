"""Image files as RGB pixels: formats, colors, orientation, and damage."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from embedonce.pipeline.frames.canonical_frame import encode_canonical
from embedonce.pipeline.images.decoding import ImageError, decode_image
from embedonce.pipeline.video import container
from embedonce.pipeline.video.orientation import UPRIGHT

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def saved(path, image=None, kind="PNG", **settings):
    (Image.fromarray(PIXELS) if image is None else image).save(path, kind, **settings)
    return path


def test_lossless_formats_keep_every_pixel(tmp_path):
    for kind, settings in (("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True, "exact": True})):
        rgb, orientation, name = decode_image(saved(tmp_path / "a.jpg", kind=kind, **settings))  # whatever its name
        assert np.array_equal(rgb, PIXELS) and orientation == UPRIGHT and name == kind.lower()


@pytest.mark.parametrize("settings", [{}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_jpeg_files_are_decoded_as_libjpeg_does(tmp_path, settings):
    path = saved(tmp_path / "a.jpg", kind="JPEG", quality=90, **settings)
    rgb, _, name = decode_image(path)
    assert np.array_equal(rgb, np.asarray(Image.open(path))) and name == "jpeg"


@pytest.mark.parametrize("number", range(1, 9))
def test_exif_orientation_sets_the_frame_upright(tmp_path, number):
    exif = Image.Exif()
    exif[0x0112] = number
    path = saved(tmp_path / "a.png", exif=exif)
    rgb, orientation, _ = decode_image(path)
    assert np.array_equal(rgb, PIXELS)  # they are turned when the canonical frame is made
    upright = encode_canonical(rgb, orientation.rotation, 100, orientation.mirrored)
    expected = io.BytesIO()
    ImageOps.exif_transpose(Image.open(path)).save(expected, "JPEG", quality=100)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(upright))), np.asarray(Image.open(expected)))


def test_gray_palette_and_transparent_images(tmp_path):
    gray = decode_image(saved(tmp_path / "a.png", Image.fromarray(PIXELS[:, :, 0])))[0]
    assert np.array_equal(gray, np.repeat(PIXELS[:, :, :1], 3, 2))
    alpha = np.dstack([PIXELS, np.arange(240, dtype=np.uint8).reshape(12, 20)])
    assert np.array_equal(decode_image(saved(tmp_path / "b.png", Image.fromarray(alpha)))[0], PIXELS)  # dropped
    palette = Image.fromarray(PIXELS).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode_image(saved(tmp_path / "c.png", palette, transparency=bytes(range(16))))[0]
    assert np.array_equal(found, expected)
    black = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert decode_image(saved(tmp_path / "d.jpg", black, "JPEG"))[0][0, 0].tolist() == pytest.approx([254, 0, 0], abs=2)


def test_of_sixteen_bits_the_upper_eight_are_used(tmp_path):
    values = np.arange(240, dtype=np.uint16).reshape(12, 20) * 271
    gray = decode_image(saved(tmp_path / "a.png", Image.fromarray(values)))[0]
    assert np.array_equal(gray, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, 2))
    colored = np.dstack([values, values[::-1], values[:, ::-1]])
    (tmp_path / "b.png").write_bytes(_png_of_sixteen_bits(colored))
    assert np.array_equal(decode_image(tmp_path / "b.png")[0], (colored >> 8).astype(np.uint8))


def _png_of_sixteen_bits(rgb: np.ndarray) -> bytes:
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in rgb)
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_truncated_image_is_not_half_a_frame(tmp_path, kind):
    whole = saved(tmp_path / "whole", kind=kind).read_bytes()
    for length in (0, 3, 40, len(whole) // 2, int(len(whole) * 0.9)):
        (tmp_path / "a.jpg").write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"^a\.jpg: .") as caught:
            decode_image(tmp_path / "a.jpg")
        assert "\n" not in str(caught.value) and not caught.value.is_temporary


def test_damaged_bytes_never_bring_another_exception(tmp_path):
    generator = np.random.default_rng(1)
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        whole = np.frombuffer(saved(tmp_path / "whole", kind=kind).read_bytes(), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[generator.integers(0, len(whole), 4)] = generator.integers(0, 256, 4)
            (tmp_path / "a.png").write_bytes(damaged.tobytes())
            try:
                rgb = decode_image(tmp_path / "a.png")[0]
                assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
            except ImageError as error:
                assert str(error).startswith("a.png: ")


def test_what_is_not_one_image_of_a_known_format_is_refused(tmp_path, monkeypatch):
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1])]
    for kind in ("PNG", "WEBP"):
        path = saved(tmp_path / "a.png", frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match=r"a\.png: it is an animation of 2 pictures"):
            decode_image(path)
    for kind in ("TIFF", "GIF", "EPS"):
        path = saved(tmp_path / "b.jpg", kind=kind)
        with pytest.raises(ImageError, match=r"b\.jpg: it is not an image of a format that can be read \(JPEG, PNG"):
            decode_image(path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg: it is empty$"):
        decode_image(tmp_path / "empty.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit, which it doubles
    with pytest.raises(ImageError, match=r"bomb\.png: it is larger than 64000000 pixels$"):
        decode_image(saved(tmp_path / "bomb.png"))
    monkeypatch.undo()
    monkeypatch.setattr(container, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match=r"c\.png: a frame of 20x12 is larger than 100 pixels"):
        decode_image(saved(tmp_path / "c.png"))


def test_a_photo_with_a_preview_is_the_photo(tmp_path):
    photo, preview = Image.fromarray(PIXELS), Image.new("RGB", (4, 4))
    photo.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview])
    rgb, _, kind = decode_image(tmp_path / "a.jpg")
    assert rgb.shape == PIXELS.shape and kind == "jpeg"


def test_a_file_that_the_system_does_not_read_is_not_a_damaged_image(tmp_path):
    with pytest.raises(ImageError, match=r"a\.jpg: No such file") as caught:
        decode_image(tmp_path / "a.jpg")
    assert caught.value.is_temporary
