"""A miniature HD-EPIC from end to end: numbers shown in the frames verify which of them have which verbs and nouns."""

from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.splits.assignment import split_by_hash
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.hd_epic_miniature import (
    CONVERTED,
    FIRST,
    FOLDER,
    PICKLE,
    SECOND,
    VIDEOS,
    write_annotations,
    write_converted,
)
from tests.support.labeled_frames import SAMPLED, labeled_clips, num_frames_of, shown
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATE = Fraction(30)
SPLITS = {FIRST: split_by_hash(FIRST), SECOND: split_by_hash(SECOND)}
WINDOWS = {
    f"{FIRST}-1": (FIRST, shown(RATE, "0.14", "1.04")),
    f"{FIRST}-2": (FIRST, shown(RATE, "0.9", "1.55")),
    f"{SECOND}-1": (SECOND, shown(RATE, "0.25", "1.0")),
    f"{SECOND}-2": (SECOND, shown(RATE, "1.1", "1.4")),
}
VERBS = {
    f"{FIRST}-1": ("open", "hold"),
    f"{FIRST}-2": ("take",),
    f"{SECOND}-1": ("turn on",),
    f"{SECOND}-2": ("hold",),
}
NOUNS = {f"{FIRST}-1": ("cupboard",), f"{FIRST}-2": ("chopping board",), f"{SECOND}-1": ("tap",)}


def expected(classes: dict[str, tuple[str, ...]]) -> dict[str, tuple]:
    clips = {uid: (*WINDOWS[uid], names) for uid, names in classes.items()}
    return {uid: (video, SPLITS[video], names, frames) for uid, (video, frames, names) in clips.items()}


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    write_annotations(root / FOLDER)
    for name in VIDEOS.values():
        (root / name).parent.mkdir(parents=True)
        write_video(root / name, 60, rate=RATE)
    return root


def test_every_verb_and_noun_is_on_the_frames_of_its_narration(data, tmp_path):
    cache = tmp_path / "cache"
    shared = ["--data-dir", data, "--cache-dir", cache]
    given = ["--hd-epic-labels", "verbs,nouns", "--fps", SAMPLED, "--decode-workers", "1"]
    assert "listed 2 videos = 2 committed" in call("extract-teacher", *shared, *given)
    assert labeled_clips(cache, "hd-epic-verbs") == expected(VERBS)
    assert labeled_clips(cache, "hd-epic-nouns") == expected(NOUNS)
    reader = open_reader(cache)
    assert reader.num_rows == num_frames_of(expected(VERBS))  # each frame once, and none outside of clips
    assert all(clip.labels is not None for clip in reader.label_set("hd-epic-nouns").clips)  # several are possible
    for name in VIDEOS.values():
        (data / name).unlink()
    write_converted(data / FOLDER / CONVERTED)
    (data / FOLDER / PICKLE).unlink()
    call("relabel", *shared, "--hd-epic-labels", "verbs", "--teacher-head", "none", "--label-set", "again")
    assert labeled_clips(cache, "again") == expected(VERBS)
