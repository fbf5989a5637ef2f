"""Videos and a student that the tests of this folder share."""

import pytest

from tests.support.predicted_videos import PredictedVideos, make_predicted_videos


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> PredictedVideos:
    return make_predicted_videos(tmp_path_factory.mktemp("predicted"))
