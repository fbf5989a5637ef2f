"""The numbers of frames, read from the names of image files."""

import pytest

from embedonce.pipeline.images.numbering import (
    NumberingError,
    has_prefix,
    is_image,
    looks_numbered,
    numbered,
    split_name,
)


@pytest.mark.parametrize(
    "name, parts",
    [
        ("img_00001.jpg", ("img_", 1)),
        ("frame_0000000001.jpg", ("frame_", 1)),
        ("000017.png", ("", 17)),
        ("000000.png", ("", 0)),
        ("cam2-9.jpeg", ("cam2-", 9)),
        ("a1b2.JPG", ("a1b", 2)),
        ("img_٣.jpg", None),  # of another alphabet
        ("photo.jpg", None),
        ("img_1_rgb.jpg", None),
        ("1403636579763555584.png", None),  # a time in ns
    ],
)
def test_the_number_ends_the_name(name, parts):
    assert split_name(name) == parts


def test_frames_are_in_the_order_of_their_numbers_not_of_their_names():
    names = ["img_10.jpg", "img_9.jpg", "img_100.jpg", "img_1.png"]
    assert numbered(names) == [(1, "img_1.png"), (9, "img_9.jpg"), (10, "img_10.jpg"), (100, "img_100.jpg")]


@pytest.mark.parametrize(
    "names, problem",
    [
        ([], "it has no image that can be read (.jpg .jpeg .png .webp .bmp)"),
        (
            ["img_2.jpg", "img_01.jpg", "img_1.jpg"],
            "two of its images have the number 1 (img_01.jpg and img_1.jpg)",
        ),
        (["img_1.jpg", "img_1.png"], "two of its images have the number 1 (img_1.jpg and img_1.png)"),
        (["img_1.jpg", "cover.jpg"], "the name of its image cover.jpg does not end in the number of a frame"),
        (
            ["001.jpg", "a b1.jpg"],
            "its images have several names with numbers (001.jpg and a b1.jpg): choose one of them, such as "
            "--frames-prefix 'a b'",
        ),
        (
            ["flow_x_1.jpg", "img_1.jpg"],
            "its images have several names with numbers (flow_x_1.jpg and img_1.jpg): choose one of them, such as "
            "--frames-prefix flow_x_",
        ),
    ],
)
def test_what_is_no_video_is_said_in_one_sentence(names, problem):
    with pytest.raises(NumberingError) as caught:
        numbered(names)
    assert str(caught.value).startswith(problem) and "\n" not in str(caught.value)


def test_a_prefix_may_end_in_a_digit():
    assert has_prefix("cam2_1.jpg", "cam2_") and has_prefix("v20001.jpg", "v2") and has_prefix("any.jpg", "")
    assert not has_prefix("cam2_1.jpg", "cam") and not has_prefix("img_.jpg", "img_")
    assert has_prefix(f"img_{'0' * 30}1.jpg", "img_") and not has_prefix(f"img_{'1' * 30}.jpg", "img_")
    assert numbered(["v20001.jpg", "v20000.jpg"], "v2") == [(0, "v20000.jpg"), (1, "v20001.jpg")]
    with pytest.raises(NumberingError, match="no image named v2 and a number"):
        numbered([], "v2")


def test_a_number_that_is_too_long_is_refused_with_a_prefix_too():
    name = f"img_{10**12}.jpg"
    with pytest.raises(NumberingError, match=rf"the name of its image {name} does not end in .*, of up to 12 digits"):
        numbered(["img_1.jpg", name], "img_")
    assert numbered(["img_0000000000000001.jpg"], "img_") == [(1, "img_0000000000000001.jpg")]


def test_images_are_recognized_by_their_suffix():
    assert all(map(is_image, ("a.jpg", "b.JPEG", "c.Png", "d.webp", "e.bmp")))
    assert not any(map(is_image, (".a.jpg", "a.tif", "a.gif", "a.heic", "jpg", "a.jpg.txt")))


def test_what_looks_numbered():
    assert looks_numbered(["cat.0.jpg", "cat.17.jpg", "readme.jpg"])
    assert looks_numbered(["img_1.jpg", "img_2.jpg", "flow_1.jpg", "flow_2.jpg"])  # not one video, but no photos
    assert not looks_numbered(["cat.jpg", "dog.jpg", "cow1.jpg", "cow2.jpg"])
    assert not looks_numbered(["sofa3.jpg", "chair1.jpg"])
