"""A miniature EPIC-KITCHENS-100 from end to end: numbers shown in the frames verify which of them have which label."""

import math
from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.sources.ego4d.test_frames import numbers
from tests.support.epic_miniature import write_tables
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

SAMPLED = 10  # times per second
RATES = {"P01_01": Fraction(60000, 1001), "P02_102": Fraction(50)}


@pytest.fixture
def data(tmp_path):
    write_tables(tmp_path / "data" / "epic-kitchens-100-annotations")
    for video, name in (("P01_01", "EPIC-KITCHENS/P01/videos/P01_01.MP4"), ("P02_102", "P02/P02_102.mp4")):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        write_video(tmp_path / "data" / name, 100, rate=RATES[video], ticks=60000)
    return tmp_path / "data"


def shown(video: str, start: str, end: str) -> list[int]:
    """The numbers of the frames shown at the sampled times in [start, end), in decimal seconds."""
    times = [Fraction(k, SAMPLED) for k in range(100)]
    return [math.floor(t * RATES[video]) for t in times if Fraction(start) <= t < Fraction(end)]


EXPECTED = {
    "P01_01_0": ("P01_01", "train", "take", "plate", shown("P01_01", "0.14", "1.037")),
    "P01_01_1": ("P01_01", "train", "turn on", "tap", shown("P01_01", "0.9", "1.5")),
    "P02_102_10": ("P02_102", "val", "turn on", "sous vide machine", shown("P02_102", "0.25", "1.0")),
}


def clips(cache, label_set: str) -> dict[str, tuple]:
    reader = open_reader(cache)
    labels = reader.label_set(label_set)
    return {
        clip.clip_id: (
            clip.video_uid,
            clip.split,
            labels.classes[clip.label],
            numbers(reader, clip.video_uid, clip.start_sec, clip.end_sec),
        )
        for clip in labels.clips
    }


def test_every_verb_and_noun_is_on_the_frames_of_its_timestamps(data, tmp_path):
    cache = tmp_path / "cache"
    shared = ["--data-dir", data, "--cache-dir", cache]
    given = ["--epic-labels", "verbs,nouns", "--fps", SAMPLED, "--decode-workers", "1"]
    output = call("extract-teacher", *shared, *given)
    assert "listed 2 videos = 2 committed" in output
    assert clips(cache, "epic-verbs") == {uid: (v, s, verb, f) for uid, (v, s, verb, _, f) in EXPECTED.items()}
    assert clips(cache, "epic-nouns") == {uid: (v, s, noun, f) for uid, (v, s, _, noun, f) in EXPECTED.items()}
    reader = open_reader(cache)
    wanted = {(video, frame) for video, _, _, _, frames in EXPECTED.values() for frame in frames}
    assert reader.num_rows == len(wanted)  # each frame once, and none outside of clips
    for path in data.rglob("*.[mM][pP]4"):
        path.unlink()
    call("relabel", *shared, "--epic-labels", "nouns", "--teacher-head", "none", "--label-set", "again")
    assert clips(cache, "again") == clips(cache, "epic-nouns")
