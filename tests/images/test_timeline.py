"""When the images of a folder are displayed: numbers, missing ones, and folders that are no videos."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from embedonce.cache.schema import LOST
from embedonce.pipeline.frames.grid import Grid
from embedonce.pipeline.frames.sampling_times import request_frames
from embedonce.pipeline.images.requested_images import RequestedImages
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.images.timeline import read_image_timeline, step_of
from embedonce.pipeline.sources.ego4d_miniature.frames import read_number
from embedonce.pipeline.video.color import Scaler
from embedonce.pipeline.video.container import TemporaryError, VideoError
from tests.support.generators import returned
from tests.support.image_files import timeline_of, write_frames, write_image


def shown(folder, fps: float | None, rate: int = 10) -> list[int]:
    """The number in the frame that answers each requested time; LOST where there is none."""
    timeline = timeline_of(folder, rate)
    times = (timeline.pts, timeline.key_pts, timeline.time_base, timeline.end_sec, timeline.holes)
    requests = request_frames(Grid(fps), *times)
    decoded = RequestedImages(ImageSequence(folder, Fraction(rate)), requests.pts)
    numbers = {i: read_number(Scaler()(frame)) for i, frame in decoded}
    return [numbers[row] if row >= 0 else int(row) for row in requests.row.tolist()]


def test_each_number_is_displayed_for_one_step(tmp_path):
    timeline = timeline_of(write_frames(tmp_path, range(1, 21)))
    assert timeline.pts.tolist() == list(range(20)) and timeline.time_base == (1, 10) and timeline.end_sec == 2.0
    assert timeline.codec == "jpeg" and timeline.size == (64, 160) and timeline.notes == ()
    assert shown(tmp_path, 10.0) == list(range(1, 21))
    assert shown(tmp_path, 5.0) == list(range(1, 21, 2))
    assert shown(tmp_path, None) == list(range(1, 21))  # every image is a key frame


def test_names_without_leading_zeros_are_in_numeric_order(tmp_path):
    assert shown(write_frames(tmp_path, range(8, 13), "f{}.png"), 10.0) == [8, 9, 10, 11, 12]


def test_the_first_number_is_1_or_0(tmp_path):
    timeline = timeline_of(write_frames(tmp_path, range(0, 5)))
    assert timeline.pts.tolist() == [0, 1, 2, 3, 4] and timeline.notes == ()


def test_a_missing_number_is_a_lost_frame_and_no_shift(tmp_path):
    write_frames(tmp_path, [1, 2, 3, 6, 7])
    timeline = timeline_of(tmp_path)
    assert timeline.holes.tolist() == [[3, 5]] and timeline.end_sec == 0.7
    assert shown(tmp_path, 10.0) == [1, 2, 3, LOST, LOST, 6, 7]
    assert timeline.notes == ("2 images are missing, the first after img_00003.jpg: nothing is displayed at that time",)


def test_missing_images_at_the_beginning_leave_the_others_at_their_times(tmp_path):
    timeline = timeline_of(write_frames(tmp_path, [31, 32, 33]))
    assert timeline.pts.tolist() == [30, 31, 32] and timeline.end_sec == 3.3
    assert timeline.notes == ("its first image is img_00031.jpg, which is displayed at 3.00 s",)


def test_every_tenth_frame_is_displayed_until_the_next_one(tmp_path):
    timeline = timeline_of(write_frames(tmp_path, [1, 11, 21, 41]))
    assert timeline.holes.tolist() == [[30, 40]] and timeline.end_sec == 5.0
    assert shown(tmp_path, 2.0) == [1, 1, 11, 11, 21, 21, LOST, LOST, 41, 41]
    assert "only every 10th number has an image: each is displayed until the next one" in timeline.notes
    assert [step_of(np.array(pts)) for pts in ([0], [0, 7], [0, 2, 4], [0, 2, 5])] == [1, 1, 2, 1]


def test_numbers_that_are_no_frame_numbers_are_refused(tmp_path):
    write_frames(tmp_path, [1], "{}.jpg")
    write_image(tmp_path / "160000000000.jpg", 2)
    with pytest.raises(VideoError, match=r"its images, 1.jpg to 160000000000.jpg, span 4444444 hours at 10 images"):
        timeline_of(tmp_path)


def test_several_formats_in_one_folder_are_one_video_and_noted(tmp_path):
    write_frames(tmp_path, [1, 3], "{}.jpg")
    write_frames(tmp_path, [2], "{}.PNG")
    assert shown(tmp_path, 10.0) == [1, 2, 3]
    assert timeline_of(tmp_path).notes == ("its images have several formats (.jpg, .png)",)


def test_images_that_cannot_be_decoded_are_missing_and_others_give_the_size(tmp_path):
    write_frames(tmp_path, [1, 2, 3])
    (tmp_path / "img_00001.jpg").write_bytes((tmp_path / "img_00001.jpg").read_bytes()[:-30])
    timeline = timeline_of(tmp_path)
    assert timeline.pts.tolist() == [0, 1, 2] and timeline.size == (64, 160)
    (note,) = timeline.notes
    assert note.startswith("images that cannot be decoded, such as img_00001.jpg: image file is truncated")
    decoded = RequestedImages(ImageSequence(tmp_path, Fraction(10)), timeline.pts)
    assert [i for i, _ in decoded] == [1, 2] and decoded.num_found == 2
    assert decoded.complaint.startswith("img_00001.jpg: image file is truncated")


def test_a_folder_or_an_image_without_pixels_is_no_video(tmp_path):
    write_frames(tmp_path, [1, 2])
    for path in tmp_path.iterdir():
        path.write_bytes(b"not an image")
    with pytest.raises(VideoError, match=r"none of its 2 images can be decoded \(img_00001.jpg: it is not an image"):
        timeline_of(tmp_path)
    with pytest.raises(VideoError, match=r"it cannot be decoded \(img_00002.jpg: it is not an image"):
        returned(read_image_timeline(ImageSequence(tmp_path / "img_00002.jpg")))
    with pytest.raises(TemporaryError, match=r"it cannot be read now \(No such file"):
        timeline_of(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="it has no image that can be read"):
        timeline_of(tmp_path / "empty")


def test_one_image_is_a_video_of_one_frame(tmp_path):
    timeline = returned(read_image_timeline(ImageSequence(write_image(tmp_path / "photo.png", 77))))
    assert (timeline.pts.tolist(), timeline.end_sec, timeline.codec) == ([0], 0.001, "png")
    for fps in (0.5, 1.0, 30.0, 1000.0, None):
        times = (timeline.pts, timeline.key_pts, timeline.time_base, timeline.end_sec, timeline.holes)
        assert request_frames(Grid(fps), *times).row.tolist() == [0]  # requested once, whatever the rate


def test_pixels_are_those_of_the_image(tmp_path):
    folder = write_frames(tmp_path, range(1, 4), "{:03}.png")
    (*_, (_, frame)) = RequestedImages(ImageSequence(folder, Fraction(30)), np.array([0, 2]))
    assert np.array_equal(Scaler()(frame), np.asarray(Image.open(folder / "003.png")))
    assert frame.pts * frame.time_base == Fraction(2, 30)


def test_an_image_that_was_removed_meanwhile_is_not_replaced_by_another(tmp_path):
    write_frames(tmp_path, [1, 2, 3])
    (tmp_path / "img_00002.jpg").unlink()
    assert [i for i, _ in RequestedImages(ImageSequence(tmp_path, Fraction(10)), np.array([0, 1, 2]))] == [0, 2]
