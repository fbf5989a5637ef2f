"""What the log of a training says of --time-shift."""

from dataclasses import replace

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.tiny_cache import make_tiny_cache


@pytest.mark.integration
@pytest.mark.parametrize(
    ("share", "is_whole_video", "words"),
    [(0.4, False, "--time-shift 0.4 can move"), (0.4, True, "--time-shift 0.4 has no effect"), (0.0, True, None)],
)
def test_the_log_says_whether_any_window_can_be_moved(tmp_path, caplog, share, is_whole_video, words):
    cache = make_tiny_cache(tmp_path / "c")
    shape = {"frames_per_clip": 4, "student_resolution": 128, "student_size": "tiny"}
    config = TrainConfig(cache, tmp_path / "s", num_workers=0, time_shift=share, **shape)
    reader = open_reader(cache)
    labels = reader.label_set()
    if is_whole_video:  # of 15 frames, one every half second
        clips = [replace(clip, end_sec=7.5) for clip in labels.clips if clip.start_sec == 0]
        labels = replace(labels, clips=tuple(clips))
    with caplog.at_level("INFO", "embedonce"):
        datasets(config, reader, labels)
    assert ("--time-shift" in caplog.text) == (words is not None)
    assert str(words or "") in caplog.text
