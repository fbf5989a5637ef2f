"""A miniature Ego-Exo4D from end to end: numbers shown in the frames verify which of them have which keystep."""

from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.egoexo_miniature import FIRST, SECOND, VIDEOS, write_annotations, write_takes
from tests.support.labeled_frames import SAMPLED, labeled_clips, num_frames_of, shown
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATE = Fraction(30)
STIR, HEAT, UNBOX, CHECK = "Stir the mixture", "Adjust the stove heat", "Unbox package", "Check paper recipe"
EXPECTED = {
    f"{FIRST}:0.14-1.04": (FIRST, "train", (STIR,), shown(RATE, "0.14", "1.04")),
    f"{FIRST}:0.9-1.55": (FIRST, "train", (HEAT,), shown(RATE, "0.9", "1.55")),
    f"{SECOND}:0.25-1": (SECOND, "val", (CHECK,), shown(RATE, "0.25", "1.0")),
}
ALL = EXPECTED | {f"{FIRST}:1.6-1.9": (FIRST, "train", (UNBOX,), shown(RATE, "1.6", "1.9"))}


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    write_annotations(root / "annotations")
    write_takes(root, {name: f"takes/{name}" for name in VIDEOS})
    for name in VIDEOS.values():
        (root / name).parent.mkdir(parents=True)
        write_video(root / name, 60, rate=RATE)
    return root


def test_every_keystep_is_on_the_frames_of_its_segments(data, tmp_path):
    cache = tmp_path / "cache"
    shared = ["--data-dir", data, "--cache-dir", cache]
    given = ["--egoexo-labels", "keysteps,all-keysteps", "--fps", SAMPLED, "--decode-workers", "1"]
    assert "listed 2 videos = 2 committed" in call("extract-teacher", *shared, *given)
    assert labeled_clips(cache, "egoexo-keysteps") == EXPECTED
    assert labeled_clips(cache, "egoexo-all-keysteps") == ALL
    reader = open_reader(cache)
    assert reader.num_rows == num_frames_of(ALL)  # each frame once, and none outside of segments
    for name in VIDEOS.values():
        (data / name).unlink()
    call("relabel", *shared, "--egoexo-labels", "all-keysteps", "--teacher-head", "none", "--label-set", "again")
    assert labeled_clips(cache, "again") == ALL
