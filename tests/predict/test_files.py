"""Predictions of video files: equal to those of evaluation on cached frames, and what damaged files do."""

import numpy as np
import pytest

from embedonce.pipeline.predict.student import Student
from tests.support.predicted_videos import CLIPS, VIDEOS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def student(world) -> Student:
    return Student.load(world.checkpoint)


@pytest.mark.parametrize("name", VIDEOS)
def test_windows_equal_to_clips_get_the_probabilities_of_evaluation(world, student, name):
    expected, classes = world.expected(), world.reader.label_set().classes
    found = list(student.predict(world.video(name), top=2))
    np.testing.assert_allclose([(one.start, one.end) for one in found], CLIPS, atol=1e-6)
    for one in found:
        shares = expected[name, round(one.start, 6)]
        assert one.label == classes[shares.argmax()]
        got = dict(one.top)
        np.testing.assert_allclose([got[label] for label in classes], shares, atol=2e-4)
