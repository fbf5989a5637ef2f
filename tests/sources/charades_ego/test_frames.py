"""A miniature Charades-Ego from end to end: numbers shown in the frames verify which of them have which actions."""

from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.charades_ego_miniature import NAMES, write_lists
from tests.support.labeled_frames import SAMPLED, labeled_clips, num_frames_of, shown
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

FIRST, THIRD = Fraction(30000, 1001), Fraction(24)  # frames per second of videos of either view
CLOTHES, DOOR, CUP, SITTING = NAMES
MOMENTS = {
    "ABCDEEGO:0.2-0.55": ("ABCDEEGO", "train", (DOOR,), shown(FIRST, "0.2", "0.55")),
    "ABCDEEGO:0.55-1.2": ("ABCDEEGO", "train", (DOOR, CUP), shown(FIRST, "0.55", "1.2")),
    "ABCDEEGO:1.2-1.4": ("ABCDEEGO", "train", (CUP,), shown(FIRST, "1.2", "1.4")),
    "PQRSTEGO:0.3-0.9": ("PQRSTEGO", "val", (CLOTHES, SITTING), shown(FIRST, "0.3", "0.9")),
}
THIRD_PERSON = {
    "ABCDE:0-1": ("ABCDE", "train", (SITTING,), shown(THIRD, "0", "1")),
    "PQRST:0.5-3": ("PQRST", "val", (CLOTHES,), shown(THIRD, "0.5", "2")),  # the video is 2 s long
}
WHOLE = {
    "ABCDEEGO:0-2": ("ABCDEEGO", "train", (DOOR, CUP), shown(FIRST, "0", "2")),
    "PQRSTEGO:0-2": ("PQRSTEGO", "val", (CLOTHES, SITTING), shown(FIRST, "0", "2")),
}


@pytest.fixture
def data(tmp_path):
    write_lists(tmp_path / "data" / "CharadesEgo")
    (tmp_path / "data" / "CharadesEgo_v1_480").mkdir()
    for name in ("ABCDEEGO", "ABCDE", "KLMNOEGO", "PQRSTEGO", "PQRST"):
        rate = FIRST if name.endswith("EGO") else THIRD
        write_video(tmp_path / "data" / "CharadesEgo_v1_480" / f"{name}.mp4", round(2 * rate), rate=rate, ticks=60000)
    return tmp_path / "data"


def test_every_frame_has_the_actions_that_are_going_on(data, tmp_path):
    cache = tmp_path / "cache"
    shared = ["--data-dir", data, "--cache-dir", cache]
    output = call(
        "extract-teacher", *shared, "--charades-labels", "first,third", "--fps", SAMPLED, "--decode-workers", "1"
    )
    assert "listed 4 videos = 4 committed" in output
    assert labeled_clips(cache, "charades-first") == MOMENTS
    assert labeled_clips(cache, "charades-third") == THIRD_PERSON
    reader = open_reader(cache)
    assert reader.num_rows == num_frames_of(MOMENTS, THIRD_PERSON)  # each frame once, and none outside of clips
    assert all(clip.labels is not None for clip in reader.label_set("charades-third").clips)  # several are possible
    for path in (data / "CharadesEgo_v1_480").iterdir():
        path.unlink()
    call("relabel", *shared, "--charades-labels", "both", "--teacher-head", "none")
    assert labeled_clips(cache, "charades-both") == MOMENTS | THIRD_PERSON


def test_whole_videos_have_all_of_their_actions(data, tmp_path):
    cache = tmp_path / "cache"
    given = ["--charades-labels", "first-videos", "--fps", SAMPLED, "--decode-workers", "1"]
    call("extract-teacher", "--data-dir", data, "--cache-dir", cache, *given)
    assert labeled_clips(cache, "charades-first-videos") == WHOLE
