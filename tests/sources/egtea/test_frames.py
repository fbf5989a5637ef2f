"""A miniature EGTEA Gaze+ from end to end: numbers shown in the frames verify which of them have which label."""

from fractions import Fraction

import pytest

from embedonce.cache.store import open_reader
from tests.commands.test_cli import call, fake_teacher  # noqa: F401 (a fixture: no CLIP model is loaded)
from tests.support.egtea_miniature import (
    CLIPS,
    CUT,
    PIZZA,
    READ,
    SALAD,
    TEST,
    TRAIN,
    TRANSFER,
    clip_file,
    write_lists,
)
from tests.support.labeled_frames import SAMPLED, labeled_clips, shown
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

RATE = Fraction(24)
NUM_FRAMES = (27, 31, 30)  # of the cut clips
LABELS = {
    CUT: ("train", ("Cut tomato",), ("Cut",), ("tomato",)),
    TRANSFER: ("train", ("Transfer tomato, cutting board",), ("Transfer",), ("cutting board", "tomato")),
    READ: ("val", ("Inspect/Read recipe",), ("Inspect/Read",), ("recipe",)),
}


def expected(clip: str, video: str, start: str, end: str, split: str = "") -> list[tuple]:
    listed_split, *classes = LABELS[clip]
    frames = shown(RATE, start, end)
    return [(video, split or listed_split, names, frames) for names in classes]


def extracted(root, cache) -> dict[str, list[tuple]]:
    """clip -> its video, split, classes and the numbers of its frames, by kind of label."""
    given = ["--egtea-labels", "actions,verbs,nouns", "--fps", SAMPLED, "--decode-workers", "1"]
    call("extract-teacher", "--data-dir", root, "--cache-dir", cache, *given)
    by_kind = [labeled_clips(cache, f"egtea-{kind}") for kind in ("actions", "verbs", "nouns")]
    assert open_reader(cache).label_set("egtea-nouns").multi_label
    assert [len(clips) for clips in by_kind] == [3, 3, 3]
    return {clip: [clips[clip] for clips in by_kind] for clip in by_kind[0]}


def test_cut_clips_have_the_labels_of_the_lists_on_all_their_frames(tmp_path):
    write_lists(tmp_path / "data" / "action_annotation")
    for clip, num_frames in zip(CLIPS, NUM_FRAMES, strict=True):
        path = tmp_path / "data" / clip_file(clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, num_frames, rate=RATE)
    assert extracted(tmp_path / "data", tmp_path / "cache") == {
        f"{clip}:0": expected(clip, clip, "0", str(num_frames / RATE))
        for clip, num_frames in zip(CLIPS, NUM_FRAMES, strict=True)
    }


def test_clips_of_sessions_are_the_frames_of_their_milliseconds(tmp_path):
    write_lists(tmp_path / "data")
    (tmp_path / "data" / TRAIN).write_text(f"{CUT} 1 2 2\n{READ} 2 1 3\n")
    (tmp_path / "data" / TEST).write_text(f"{TRANSFER} 3 3 2 1\n")  # of the session of CUT
    for session in (SALAD, PIZZA):
        write_video(tmp_path / "data" / f"{session}.mp4", 60, rate=RATE)
    assert extracted(tmp_path / "data", tmp_path / "cache") == {
        CUT: expected(CUT, SALAD, "0.25", "1.1"),
        TRANSFER: expected(TRANSFER, SALAD, "1.0", "2.04", "val"),
        READ: expected(READ, PIZZA, "0.5", "1.52", "train"),
    }
    assert open_reader(tmp_path / "cache").num_rows == len(shown(RATE, "0.25", "2.04")) + len(
        shown(RATE, "0.5", "1.52")
    )
