"""The class Student: embeddings of images, and predictions of arrays of frames."""

import itertools

import av
import numpy as np
import pytest
import torch

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.frames.canonical_frame import load_view
from embedonce.pipeline.frames.clip_frames import segment_centers
from embedonce.pipeline.predict.student import Student
from tests.support.predicted_videos import FRAMES, RESOLUTION

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def student(world) -> Student:
    return Student.load(world.checkpoint)


def frames_of(world, name: str, count: int) -> np.ndarray:
    with av.open(str(world.video(name))) as container:
        frames = itertools.islice(container.decode(video=0), count)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def test_embeddings_are_those_of_the_trained_student(world, student):
    images = frames_of(world, "slow", 3)
    reader = world.reader
    timeline = reader.timeline("slow")
    cached = reader.frames(timeline.unit[0])
    crop = load_view(cached.jpeg(int(timeline.row[0])), timeline.views[0], RESOLUTION)
    with torch.inference_mode():
        features = world.student.encode_frames(torch.from_numpy(crop.transpose(2, 0, 1).copy())[None])
    expected = torch.nn.functional.normalize(features, dim=1)[0].numpy()
    found = student.embed(images)
    assert found.shape == (3, len(expected)) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ expected > 0.99  # its colors were converted once more


def test_frames_in_memory_have_the_classes_of_their_video(world, student):
    """At 2 frames per second, each sampling time of the video gets the frame shown then."""
    images = frames_of(world, "slow", 6)
    times = np.arange(15) / 5
    shown = images[np.minimum((times * 2 + 1e-6).astype(int), 5)]
    found = list(student.predict(shown, times=times, window=1.0))
    expected = list(student.predict(world.video("slow")))
    assert [(one.label, one.num_frames) for one in found] == [(one.label, one.num_frames) for one in expected]
    np.testing.assert_allclose(*([one.probability for one in some] for some in (found, expected)), atol=0.02)


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ([], "needs at least one image"),
        ([np.zeros((4, 4), np.uint8)], r"images must be \(H, W, 3\) uint8 RGB, got \(4, 4\) uint8"),
        ([np.zeros((4, 4, 3), np.float32)], r"got \(4, 4, 3\) float32"),
        ([np.zeros((4, 400, 3), np.uint8)], "more than"),
    ],
)
def test_images_of_other_forms_are_refused(student, images, problem):
    with pytest.raises(ValueError, match=problem):
        student.embed(images)


@pytest.mark.parametrize("times", [None, [0.0], [0.0, 0.0], [1.0, 0.5], [0.0, np.inf], [np.nan, 1.0]])
def test_frames_need_increasing_times(student, times):
    with pytest.raises(ValueError, match="give times=: 2 increasing seconds"):
        list(student.predict(np.zeros((2, 64, 64, 3), np.uint8), times=times))


def test_unknown_options_and_sources_are_refused(student):
    with pytest.raises(TypeError, match="speed"):
        list(student.predict("v.mp4", speed=2))
    with pytest.raises(InputError, match=r"there is no file v.mp4"):
        list(student.predict("v.mp4"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stride": 1e-300}, "--stride must be at least 0.001"),
        ({"window": 0}, "--window must be greater than 0"),
        ({"top": 0}, "--top must be"),
        ({"smoothing": 1.5}, "--smoothing must be"),
        ({"threshold": -1.0}, "--threshold must be"),
    ],
)
def test_options_have_the_limits_of_the_command(student, options, problem):
    with pytest.raises(ValueError, match=problem):
        list(student.predict("v.mp4", **options))


def test_the_frames_of_a_window_are_the_middles_of_equal_parts():
    assert segment_centers(10, FRAMES).tolist() == [1, 5, 8] and segment_centers(3, 3).tolist() == [0, 1, 2]
