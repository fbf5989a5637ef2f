"""--store-logits and --no-store-logits: the default, the choice that stays, and what a contradiction is told."""

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.labeling.requests import MAX_STORED_CLASSES, request_label_set
from embedonce.pipeline.sources.source import Clip, Source
from tests.commands.test_cli import call, error_of
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


class Teacher(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture
def place(tmp_path, monkeypatch) -> list:
    """Options of two commands for a cache of two videos in folders of their classes."""
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())
    for name in ("cut/1", "stir/2"):
        (tmp_path / "v" / name).parent.mkdir(parents=True)
        write_video(tmp_path / "v" / f"{name}.mp4", 60)
    return ["--cache-dir", tmp_path / "c"]


def records_of(place: list, name: str) -> int:
    return len(list((place[1] / "labels" / name / "records").iterdir()))


@pytest.mark.parametrize(
    ("classes", "choice", "stores"),
    [
        (MAX_STORED_CLASSES, None, True),
        (MAX_STORED_CLASSES + 1, None, False),
        (MAX_STORED_CLASSES + 1, True, True),
        (2, False, False),
    ],
)
def test_few_classes_are_stored_by_default(tmp_path, classes, choice, stores):
    names = tuple(f"action {number}" for number in range(classes))
    source = Source(tmp_path, "folder", (), (Clip("c", "a", 0.0, 1.0, 0, "train"),), names)
    assert request_label_set(source, "", "zero-shot", store_logits=choice).labels.stores_logits is stores
    assert request_label_set(source, "", "fitted", store_logits=choice).labels.stores_logits is stores
    without = request_label_set(source, "", "none", store_logits=choice).labels
    assert without.stores_logits and not without.computes_logits


@pytest.mark.integration
@pytest.mark.parametrize("head", ["zero-shot", "fitted"])
def test_a_label_set_without_stored_logits_keeps_its_choice(place, tmp_path, head):
    arguments = ["extract-teacher", "--data-dir", tmp_path / "v", *place, "--teacher-head", head]
    told = call(*arguments, "--no-store-logits")
    assert f"label set {head}: 2 classes, 2 clips, logits computed when read" in told
    assert records_of(place, head) == 0 and not verify(tmp_path / "c").problems
    write_video(tmp_path / "v" / "cut" / "3.mp4", 60)
    told = call(*arguments)  # without the option
    assert "3 clips, logits computed when read" in told and records_of(place, head) == 0
    told = error_of(*arguments, "--store-logits", code=4)
    assert told == (
        f"label set {head!r} of this cache does not store its logits, which cannot be changed: leave out "
        "--store-logits, or name a new label set with --label-set"
    )
    stored = call("relabel", *place, "--classes", classes_file(tmp_path), "--label-set", "again", "--store-logits")
    assert "computed when read" not in stored
    reader = open_reader(tmp_path / "c")
    assert records_of(place, "again") == len(reader.records) and reader.label_set("again").stores_logits
    if head == "zero-shot":  # of the same classes
        for unit in reader.records:
            pair = [reader.all_logits(name, unit) for name in (head, "again")]
            np.testing.assert_array_equal(*pair)  # whole units are computed as they would be for storing


@pytest.mark.integration
def test_a_label_set_with_stored_logits_keeps_its_choice(place, tmp_path):
    call("extract-teacher", "--data-dir", tmp_path / "v", *place)
    relabel = ["relabel", *place, "--classes", classes_file(tmp_path), "--clips-from", "zero-shot"]
    assert "computed when read" not in call(*relabel)
    told = error_of(*relabel, "--no-store-logits", code=4)
    assert "label set 'classes' of this cache stores its logits, which cannot be changed: leave out --no-store" in told
    call(*relabel, "--store-logits")


@pytest.mark.integration
def test_many_classes_are_not_stored_unless_wanted(place, tmp_path):
    call("extract-teacher", "--data-dir", tmp_path / "v", *place)
    (tmp_path / "many.txt").write_text(
        "\n".join(f"{a}{b}" for a in "bcdfglmpt" for b in ("ail", "ook", "arn", "eet", "ind", "oat", "ump", "ore"))
    )
    relabel = ["relabel", *place, "--classes", tmp_path / "many.txt", "--clips-from", "zero-shot"]
    assert "72 classes, 2 clips, logits computed when read" in call(*relabel)
    call(*relabel, "--label-set", "kept", "--store-logits")
    assert records_of(place, "many") == 0 < records_of(place, "kept")


def classes_file(folder):
    (folder / "classes.txt").write_text("cut\nstir\n")
    return folder / "classes.txt"
