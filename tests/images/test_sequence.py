"""A folder of images as one file: its frames, its size, and its content."""

import os
import pickle
from fractions import Fraction

import pytest

from embedonce.pipeline.images.numbering import NumberingError
from embedonce.pipeline.images.sequence import ImageSequence, rate_of
from embedonce.pipeline.sources.content_identity import (
    WHOLE_BYTES,
    are_equal,
    fingerprint,
    read_whole,
    whole_fingerprint,
)
from tests.support.image_files import write_image


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "clip"
    root.mkdir()
    for number in (10, 9, 1):
        (root / f"img_{number}.jpg").write_bytes(bytes([number]) * number)
    (root / "notes.txt").write_text("no image")
    (root / ".img_3.jpg").write_text("hidden")
    (root / "img_4.jpg").symlink_to("nowhere")
    (root / "img_5.jpg").mkdir()
    return root


def test_frames_are_placed_by_their_numbers(folder):
    frames = ImageSequence(folder, Fraction(25)).frames()
    assert frames.pts.tolist() == [0, 8, 9] and frames.first_number == 1
    assert frames.names == ("img_1.jpg", "img_9.jpg", "img_10.jpg") and frames.path(2) == folder / "img_10.jpg"
    (folder / "img_0.jpg").write_bytes(b"0")
    assert ImageSequence(folder, Fraction(25)).frames().pts.tolist() == [0, 1, 9, 10]
    (folder / "img_10.png").write_bytes(b"1")
    with pytest.raises(NumberingError, match="two of its images have the number 10"):
        ImageSequence(folder, Fraction(25)).frames()


def test_rates_are_exact_fractions():
    assert rate_of(30) == 30 and rate_of(29.97) == Fraction(2997, 100)
    assert rate_of(29.97002997) == Fraction(30000, 1001)
    assert ImageSequence(None, rate_of(1e-6)).time_base == 10**6


def test_it_is_read_as_one_file(folder):
    sequence = ImageSequence(folder, Fraction(25))
    with sequence.open() as file:
        data = file.read()
        assert data[32:] == b"\1" + b"\n" * 10 + b"\t" * 9  # by name, after a digest
        assert file.seek(0, 2) == len(data)
        for start, length in ((0, 5), (30, 4), (32, 1), (33, 10), (40, 100), (len(data), 5)):
            file.seek(start)
            assert file.read(length) == data[start : start + length]
    assert sequence.stat().st_size == 20
    assert pickle.loads(pickle.dumps(sequence)) == sequence


def test_its_content_is_that_of_its_images_their_names_and_the_rate(folder, tmp_path):
    before = fingerprint(ImageSequence(folder, Fraction(25)))
    assert before == fingerprint(ImageSequence(folder.rename(tmp_path / "moved"), Fraction(25))) != ""
    moved = tmp_path / "moved"
    assert fingerprint(ImageSequence(moved, Fraction(30))) != before
    os.utime(moved / "img_1.jpg", (0, 0))
    (moved / "notes.txt").unlink()
    assert fingerprint(ImageSequence(moved, Fraction(25))) == before
    (moved / "img_9.jpg").rename(moved / "img_8.jpg")
    assert fingerprint(ImageSequence(moved, Fraction(25))) != before
    (moved / "img_8.jpg").rename(moved / "img_9.jpg")
    (moved / "img_9.jpg").write_bytes(b"x" * 9)  # as long as before
    assert fingerprint(ImageSequence(moved, Fraction(25))) != before
    assert fingerprint(ImageSequence(tmp_path / "none", Fraction(25))) == ""


def test_a_large_folder_is_sampled_and_a_changed_size_is_always_seen(tmp_path):
    for number in range(1, 9):
        (tmp_path / f"{number}.jpg").write_bytes(os.urandom(WHOLE_BYTES))
    sequence = ImageSequence(tmp_path, Fraction(1))
    before, whole = fingerprint(sequence), whole_fingerprint(sequence)
    assert before != whole and are_equal(sequence, sequence)
    with (tmp_path / "5.jpg").open("ab") as file:
        file.write(b"x")
    assert fingerprint(sequence) != before


def test_of_images_that_are_not_compressed_each_is_sampled(tmp_path):
    for number in range(1, 101):
        write_image(tmp_path / f"{number:03}.bmp", number)  # of one size, more than 1 MiB together
    sequence = ImageSequence(tmp_path, Fraction(25))
    assert sequence.stat().st_size > WHOLE_BYTES
    prints = {fingerprint(sequence)}
    for number in (2, 37, 50, 99):
        write_image(tmp_path / f"{number:03}.bmp", number + 500)
        prints.add(fingerprint(sequence))
    assert len(prints) == 5
    (tmp_path / "050.bmp").unlink()
    (tmp_path / "050.png").write_bytes(b"of another size")
    prints.add(fingerprint(sequence))
    write_image(tmp_path / "060.bmp", 777)
    prints.add(fingerprint(sequence))
    assert len(prints) == 7


def test_a_file_that_shrinks_or_goes_while_it_is_read_is_an_error(folder):
    sequence = ImageSequence(folder, Fraction(25))
    with sequence.open() as file:
        (folder / "img_10.jpg").write_bytes(b"")
        with pytest.raises(OSError, match="shorter than it was"):
            file.read()
    with sequence.open() as file:
        (folder / "img_9.jpg").unlink()
        with pytest.raises(FileNotFoundError):
            file.read()
    assert len(list(read_whole(sequence))) == 1


def test_one_image_is_known_by_its_bytes_alone(folder):
    image = ImageSequence(folder / "img_9.jpg")
    before = fingerprint(image)
    moved = ImageSequence(image.path.rename(folder / "photo.jpg"))
    assert fingerprint(moved) == before and moved.stat().st_size == 9
    assert moved.frames().path(0) == folder / "photo.jpg" and moved.frames().pts.tolist() == [0]
