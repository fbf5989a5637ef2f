"""A miniature Assembly101 from end to end: numbers shown in the frames verify which of them have which label."""

from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.naming.uids import path_uid
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.assembly101_miniature import FIXED, ONE, THREE, TWO, VIDEOS, WORN, write_tables
from tests.support.labeled_frames import SAMPLED, labeled_clips, num_frames_of, shown
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATES = {FIXED: Fraction(60), WORN: Fraction(30)}  # whatever the rate, frames are counted at 30 per second
PLACES = {
    (ONE, FIXED): ("train", [("4/30", "31/30", "pick up wheel", "pick up"), ("1", "46/30", "clap hand", "clap")]),
    (ONE, WORN): ("train", [("4/30", "31/30", "pick up wheel", "pick up")]),
    (TWO, FIXED): ("val", [("0.5", "40/30", "pick up hand", "pick up")]),
    (THREE, FIXED): ("test", [("0.1", "1.1", "clap hand", "clap")]),
}


def expected(kind: int) -> list[tuple]:
    """The clips with their actions (kind 0) or verbs (1)."""
    return sorted(
        (path_uid(f"{sequence}/{view}"), split, (names[kind],), shown(RATES[view], start, end))
        for (sequence, view), (split, clips) in PLACES.items()
        for start, end, *names in clips
    )


def test_every_clip_has_the_frames_of_its_thirtieths_of_seconds_in_videos_of_any_rate(tmp_path):
    write_tables(tmp_path / "data" / "fine-grained-annotations")
    for name in VIDEOS:
        path = tmp_path / "data" / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = RATES[path.name]
        write_video(path, int(2 * rate), rate=rate)
    cache = tmp_path / "cache"
    given = ["--assembly101-labels", "actions,verbs", "--fps", SAMPLED, "--decode-workers", "1"]
    output = call("extract-teacher", "--data-dir", tmp_path / "data", "--cache-dir", cache, *given)
    assert "listed 4 videos = 4 committed" in output
    actions, verbs = labeled_clips(cache, "assembly101-actions"), labeled_clips(cache, "assembly101-verbs")
    assert sorted(actions.values()) == expected(0) and sorted(verbs.values()) == expected(1)
    assert open_reader(cache).num_rows == num_frames_of(actions)
