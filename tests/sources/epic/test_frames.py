"""A miniature EPIC-KITCHENS-100 from end to end: numbers shown in the frames verify which of them have which label."""

from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.epic_miniature import write_tables
from tests.support.labeled_frames import SAMPLED, labeled_clips, num_frames_of, shown
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATES = {"P01_01": Fraction(60000, 1001), "P02_102": Fraction(50)}


@pytest.fixture
def data(tmp_path):
    write_tables(tmp_path / "data" / "epic-kitchens-100-annotations")
    for video, name in (("P01_01", "EPIC-KITCHENS/P01/videos/P01_01.MP4"), ("P02_102", "P02/P02_102.mp4")):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        write_video(tmp_path / "data" / name, 100, rate=RATES[video], ticks=60000)
    return tmp_path / "data"


VERBS = {
    "P01_01_0": ("P01_01", "train", ("take",), shown(RATES["P01_01"], "0.14", "1.037")),
    "P01_01_1": ("P01_01", "train", ("turn on",), shown(RATES["P01_01"], "0.9", "1.5")),
    "P02_102_10": ("P02_102", "val", ("turn on",), shown(RATES["P02_102"], "0.25", "1.0")),
}
NOUNS = {"P01_01_0": "plate", "P01_01_1": "tap", "P02_102_10": "sous vide machine"}


def test_every_verb_and_noun_is_on_the_frames_of_its_timestamps(data, tmp_path):
    cache = tmp_path / "cache"
    shared = ["--data-dir", data, "--cache-dir", cache]
    given = ["--epic-labels", "verbs,nouns", "--fps", SAMPLED, "--decode-workers", "1"]
    output = call("extract-teacher", *shared, *given)
    assert "listed 2 videos = 2 committed" in output
    nouns = {uid: (video, split, (NOUNS[uid],), frames) for uid, (video, split, _, frames) in VERBS.items()}
    assert labeled_clips(cache, "epic-verbs") == VERBS and labeled_clips(cache, "epic-nouns") == nouns
    assert open_reader(cache).num_rows == num_frames_of(VERBS)  # each frame once, and none outside of clips
    for path in data.rglob("*.[mM][pP]4"):
        path.unlink()
    call("relabel", *shared, "--epic-labels", "nouns", "--teacher-head", "none", "--label-set", "again")
    assert labeled_clips(cache, "again") == nouns
