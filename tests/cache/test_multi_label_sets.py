"""Label sets with several labels per clip: their form on disk, which the others keep, and what is refused."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache import commit, documents
from embedonce.cache.convert import convert
from embedonce.cache.errors import DamagedError, LabelSetError
from embedonce.cache.heads import logits_from
from embedonce.cache.labels import ClipLabel, LabelSet, multi_hot
from embedonce.cache.merging import label_sets
from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.labeling.fitted_logits import fitted_head
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.labeling.revision import revise
from embedonce.pipeline.sources.source import Clip, Source, with_several_labels
from tests.conftest import planned_video
from tests.support.format_reader import FormatReader
from tests.support.planned_cache import make_planned_cache
from tests.support.tiny_cache import CLASSES, make_tiny_cache


def stored(root: Path, name: str) -> dict:
    """The fields of a document, without its checksum."""
    document = json.loads((root / "labels" / "tiny" / name).read_bytes())
    return {key: value for key, value in document.items() if key != "checksum"}


def edit(root: Path, name: str, **changes) -> None:
    fields = stored(root, name) | changes
    commit.replace(root / "labels" / "tiny" / name, documents.serialize_with_checksum(fields))


def test_a_label_set_with_one_label_per_clip_has_its_old_form(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 2)
    fields = {"format_version", "name", "kind", "classes", "prompts", "logit_scale", "facts", "stores_logits"}
    assert set(stored(root, "label_set.json")) == fields | {"tensors_sha256"}
    assert stored(root, "label_set.json")["format_version"] == 1
    first = stored(root, "clips/000000.json")["clips"][0]
    assert set(first) == {"clip_id", "video_uid", "start_sec", "end_sec", "label", "split"} and first["label"] == 2
    clip = open_reader(root).label_set().clips[0]
    assert clip.labels is None and clip.all_labels == (2,)
    assert dataclasses.replace(clip, label=-1).all_labels == ()


def test_several_labels_are_stored_as_documented(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 2, several=True)
    document = stored(root, "label_set.json")
    assert document["multi_label"] is True and document["format_version"] == 2
    listed = stored(root, "clips/000000.json")["clips"]
    assert listed[0] == {
        **{"clip_id": "v0-0", "video_uid": "v0", "start_sec": 0.0, "end_sec": 2.5},
        **{"label": -1, "split": "val", "labels": [2]},
    }
    labels, mine = open_reader(root).label_set(), FormatReader(root)
    assert labels.multi_label and {clip.labels for clip in labels.clips} == {(0,), (1, 2), (2,)}
    assert [mine.classes_of(clip, "tiny") for clip in mine.clips("tiny")] == [
        [CLASSES[number] for number in clip.all_labels] for clip in labels.clips
    ]


def test_multi_hot():
    table = multi_hot([(0, 2), (), (1,)], 3)
    assert table.dtype == bool and table.tolist() == [[True, False, True], [False] * 3, [False, True, False]]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"labels": [2, 1]}, "invalid labels"),
        ({"labels": [1, 1]}, "invalid labels"),
        ({"labels": [-1]}, "invalid labels"),
        ({"labels": [True]}, "invalid labels"),
        ({"labels": [[1]]}, "invalid labels"),
        ({"labels": [0], "label": 0}, "invalid labels"),
        ({"labels": [3]}, "beyond the 3 classes"),
        ({"labels": None}, "not a list"),
        ({"labels": 1}, "not a list"),
    ],
)
def test_invalid_labels_are_damage(tmp_path, changes, problem):
    root = make_tiny_cache(tmp_path / "c", 2, several=True)
    clips = stored(root, "clips/000000.json")["clips"]
    edit(root, "clips/000000.json", clips=[clips[0] | changes, *clips[1:]])
    with pytest.raises(DamagedError, match=problem):
        open_reader(root).label_set()


def test_one_label_and_several_are_not_mixed(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 2, several=True)
    edit(root, "label_set.json", multi_label=False)
    with pytest.raises(DamagedError, match="some of its clips have one label, and others a list"):
        open_reader(root).label_set()
    edit(root, "label_set.json", multi_label=True, format_version=1)
    with pytest.raises(DamagedError, match="has another format version than 1"):
        open_reader(root).label_set()
    edit(root, "label_set.json", multi_label="yes", format_version=2)
    with pytest.raises(DamagedError):
        open_reader(root).label_set()


def test_an_existing_label_set_keeps_its_number_of_labels(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 2, several=True)
    writer = open_writer(root, open_reader(root).identity)
    with pytest.raises(LabelSetError, match="has several labels per clip, and the data now one label"):
        writer.create_label_set(LabelSet("tiny", "fitted", CLASSES, (), None, {}), None)
    writer.close()


def test_caches_with_another_number_of_labels_are_not_merged(tmp_path):
    caches = [make_tiny_cache(tmp_path / name, 2, several=name == "b") for name in "ab"]
    opened = [type("Open", (), {"name": root.name, "reader": open_reader(root)}) for root in caches]
    with pytest.raises(LabelSetError, match=r"a has 3 fitted classes \(.*and b 3 fitted classes, several per clip"):
        label_sets._check_agreement("tiny", *opened)


def test_a_converted_cache_has_the_same_labels(tmp_path):
    root = make_tiny_cache(tmp_path / "c", 3, several=True)
    convert(root, tmp_path / "d", "webdataset")
    assert open_reader(tmp_path / "d").label_set() == open_reader(root).label_set()


# -- from a source -----------------------------------------------------------------------------------------------------


def test_a_label_set_of_a_source_with_several_labels(tmp_path):
    root = make_planned_cache(tmp_path / "c")
    labels_of = {"a": (0, 1), "b": (), "c": (1,)}
    clips = tuple(Clip(f"{uid}:0", uid, 0.0, 3.0, -1, "train", labels=labels) for uid, labels in labels_of.items())
    for changed in (clips, (*clips[:2], dataclasses.replace(clips[2], labels=(0,)))):
        source, writer = (
            Source(root, "folder", (), changed, ("cut", "stir")),
            open_writer(root, open_reader(root).identity),
        )
        write_labels(writer, request_label_set(source, "", "none", "mine"), seed=0)
        writer.close()
        labels = open_reader(root).label_set("mine")
        assert labels.multi_label and [clip.labels for clip in labels.clips] == [clip.labels for clip in changed]
    assert not open_reader(root).label_set("main").multi_label


def test_changed_labels_are_described():
    videos, labels = {}, LabelSet("x", "none", ("cut", "stir"), (), None, {}, multi_label=True)
    before, after = (ClipLabel("a:0", "a", 0.0, 3.0, -1, "train", numbers) for numbers in ((0, 1), ()))
    revision = revise({0: (before,)}, {0: [after]}, labels, Source(Path(), "folder", (), (), ("cut", "stir")), videos)
    assert "a: cut and stir -> unlabeled" in revision.lines[0]
    fitted = dataclasses.replace(labels, kind="fitted")
    with pytest.raises(LabelSetError, match="was fitted to training labels that have changed"):
        revise({0: (before,)}, {0: [after]}, fitted, Source(Path(), "folder", (), (), ("cut", "stir")), videos)


def test_a_head_is_fitted_to_all_labels(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "c", 24, several=True))
    stored = reader.label_set("tiny")
    clips = [Clip(c.clip_id, c.video_uid, c.start_sec, c.end_sec, -1, c.split, labels=c.labels) for c in stored.clips]
    clips[3] = dataclasses.replace(clips[3], labels=())  # of the first training video
    videos = {uid: planned_video(uid) for uid in reader.video_uids}
    writer = SimpleNamespace(planned_videos=videos, reader=lambda: reader)
    labels = dataclasses.replace(stored, name="mine", clips=())
    found, tensors = fitted_head(writer, Source(tmp_path, "folder", (), tuple(clips), CLASSES), labels, 0)
    assert found.facts["held_out_frame_map"] > 0.9 and "held_out_frame_top1" not in found.facts
    assert sum(found.facts[name] for name in ("train_rows", "selection_rows", "held_out_rows")) == 5 * (3 * 16 - 1)
    head = safetensors.numpy.load(tensors)
    logits = logits_from(head, reader.all_embeddings("000003")[:, 0])  # of a validation video
    truth = np.repeat(multi_hot([c.labels for c in stored.clips if c.video_uid == "v3"], 3), 5, axis=0)
    assert ((logits > 0) == truth).mean() > 0.9


def test_the_form_with_several_labels_is_that_of_all_clips_or_none():
    clips = [ClipLabel("a", "v", 0.0, 1.0, 1, "train"), ClipLabel("b", "v", 1.0, 2.0, -1, "train")]
    mixed = [Clip(c.clip_id, c.video_uid, c.start_sec, c.end_sec, c.label, c.split) for c in clips]
    mixed.append(Clip("c", "v", 2.0, 3.0, -1, "train", labels=(2, 0)))
    with pytest.raises(ValueError, match="of 3 clips, 1 have a list of labels, and the others one label"):
        Source(Path(), "x", (), tuple(mixed), CLASSES).is_multi_label  # noqa: B018
    several = with_several_labels(mixed)
    assert [clip.labels for clip in several] == [(1,), (), (0, 2)] and {clip.label for clip in several} == {-1}
    assert Source(Path(), "x", (), several, CLASSES).is_multi_label
    assert not Source(Path(), "x", (), tuple(mixed[:2]), CLASSES).is_multi_label
