"""Merging the label sets of several caches: clips, heads and logits."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache.heads import logits_from
from embedonce.cache.labels import ClipLabel
from embedonce.cache.layout import Layout
from embedonce.cache.merging.merge import merge, planned_merge
from embedonce.cache.store import open_reader, open_writer
from tests.support.cache_parts import OTHER, make_cache, problems, slightly_other_rows, whole_videos, write_label_set
from tests.support.shared_units import (
    COMPUTED,
    LABELS,
    PLAIN,
    TENSORS,
    content,
)

A = {"a": range(6), "b": range(2)}
B = {"c": range(1), "d": range(7), "e": range(3)}


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


# -- label sets --------------------------------------------------------------------------------------------------------


def test_a_label_set_of_one_cache_gets_logits_for_the_rows_of_all(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend, label_sets=(LABELS, COMPUTED))
    b = make_cache(tmp_path / "b", B, backend=backend, label_sets=(PLAIN,))
    found = {united.labels.name: united for united in planned_merge([a, b], tmp_path / "into").label_sets}
    assert {name: united.without for name, united in found.items()} == {
        "main": (str(b),),
        "computed": (str(b),),
        "plain": (str(a),),
    }
    assert {name: united.num_new for name, united in found.items()} == {"main": 2, "computed": 2, "plain": 3}
    merge([a, b], tmp_path / "into")
    assert problems(tmp_path / "into") == []  # logits are those of the head
    whole, merged = content(make_cache(tmp_path / "whole", A | B)), content(tmp_path / "into")
    for key, value in whole.items():
        if key.startswith("main ") and "_" in key:
            assert np.allclose(np.frombuffer(merged[key], np.float32), np.frombuffer(value, np.float32), atol=1e-5)
        elif " " not in key or key.startswith("timeline"):
            assert merged[key] == value
    reader = open_reader(tmp_path / "into")
    clips = {name: {clip.video_uid for clip in reader.label_set(name).clips} for name in reader.label_sets()}
    assert clips == {"main": set(A), "computed": set(A), "plain": set(B)}


def test_stored_logits_are_copied_and_never_computed_again_if_head_and_rows_are_the_same(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend, label_sets=(), tensors={})
    with closing(open_writer(a, open_reader(a).identity)) as writer:
        write_label_set(writer, LABELS)
        reader = writer.reader()
    path = Layout.at(a).logit_paths("main").records / "000000.json"
    assert path.exists()
    reader.close()
    b = make_cache(tmp_path / "b", B, backend=OTHER[backend])
    merge([b, a], tmp_path / "into")
    merged, first = content(tmp_path / "into"), content(a)
    assert {key: merged[key] for key in first} == first


def test_clips_of_both_are_united_and_revised_in_one_step(tmp_path, backend):
    def second_half(part):
        return [ClipLabel(f"{video.uid}:1", video.uid, 3.0, 6.0, 1, "train") for video in part.videos]

    a = make_cache(tmp_path / "a", A, backend=backend)
    b = make_cache(tmp_path / "b", A | B, label_sets=())
    with closing(open_writer(b, open_reader(b).identity)) as writer:
        write_label_set(writer, LABELS, second_half)
    merge([b], a)
    clips = open_reader(a).label_set("main").clips
    assert {clip.clip_id for clip in clips} == {"a:0", "a:1", "b:0", "b:1", "c:1", "d:1", "e:1"}
    assert len(clips) == 7 and len(list((a / "labels" / "main" / "revisions").iterdir())) == 1
    assert problems(a) == []


def test_clips_that_share_an_id_in_one_cache_are_no_conflict_if_the_other_has_the_same(tmp_path):
    def two(part):
        return [
            ClipLabel("x", "a", start, start + 1.0, 0, "train") for start in (0.0, 1.0) if part.videos[0].uid == "a"
        ]

    caches = []
    for number, videos in enumerate((A, A | B)):
        root = make_cache(tmp_path / str(number), videos, label_sets=())
        with closing(open_writer(root, open_reader(root).identity)) as writer:
            write_label_set(writer, PLAIN, two)
        caches.append(root)
    merge(caches, tmp_path / "into")
    assert open_reader(tmp_path / "into").label_set("plain").clips == open_reader(caches[0]).label_set("plain").clips


def check_logits_are_those_of_the_stored_head(root: Path) -> None:
    reader = open_reader(root)
    for unit in reader.records:
        expected = logits_from(reader.head("main"), reader.all_embeddings(unit))
        assert np.allclose(reader.all_logits("main", unit), expected, rtol=0, atol=1e-5), unit


def test_a_head_of_another_machine_may_differ_slightly_and_logits_follow_the_one_that_is_kept(tmp_path, backend):
    slightly_other = {**TENSORS, "class_text": TENSORS["class_text"] * np.float32(1 + 5e-4)}
    a = make_cache(tmp_path / "a", A, backend=backend)
    b = make_cache(tmp_path / "b", B, backend=backend, tensors=slightly_other)
    merge([a, b], tmp_path / "into")
    reader = open_reader(tmp_path / "into")
    assert reader.label_tensors("main") == open_reader(a).label_tensors("main")
    check_logits_are_those_of_the_stored_head(tmp_path / "into")
    assert problems(tmp_path / "into") == []


def test_logits_that_the_target_lacks_are_those_of_its_own_rows(tmp_path, backend):
    into = make_cache(tmp_path / "into", A, backend=backend, change=slightly_other_rows, label_sets=())
    with closing(open_writer(into, open_reader(into).identity)) as writer:
        writer.create_label_set(LABELS, safetensors.numpy.save(TENSORS))
        writer.publish_clips("main", 0, whole_videos(writer.plan[0]))
    merge([make_cache(tmp_path / "b", A | B, backend=backend)], into)
    check_logits_are_those_of_the_stored_head(into)
    assert problems(into) == []


def test_videos_that_no_label_set_knows_are_no_unfinished_business(tmp_path, backend):
    into = make_cache(tmp_path / "into", A, backend=backend, label_sets=(LABELS, PLAIN))
    for number, (videos, sets) in enumerate(((B, ()), ({"f": range(2)}, (COMPUTED,)), ({"g": range(2)}, (PLAIN,)))):
        merge([make_cache(tmp_path / str(number), videos, label_sets=sets)], into)
        assert problems(into) == []
    reader = open_reader(into)
    clips = {name: sorted(clip.video_uid for clip in reader.label_set(name).clips) for name in reader.label_sets()}
    assert clips == {"main": ["a", "b"], "computed": ["f"], "plain": ["a", "b", "g"]}


def test_a_label_set_that_an_interrupted_merge_began_is_not_taken_for_an_unfinished_one(tmp_path):
    into = make_cache(tmp_path / "into", {"a": range(6)}, {"z": range(2)}, label_sets=(LABELS,))
    b = make_cache(tmp_path / "b", B, label_sets=(PLAIN,))
    with closing(open_writer(into, open_reader(into).identity)) as writer:
        writer.create_label_set(PLAIN, None)
        writer.publish_clips("plain", 0, [])
    merge([b], into)
    assert problems(into) == [] and {clip.video_uid for clip in open_reader(into).label_set("plain").clips} == set(B)


def test_a_label_set_without_a_head_keeps_the_logits_it_has_and_says_what_it_lacks(tmp_path):
    a = make_cache(tmp_path / "a", A, label_sets=(LABELS,), tensors={})
    b = make_cache(tmp_path / "b", B, label_sets=())
    merged = merge([a, b], tmp_path / "into")
    assert merged.without_logits == ("main",)
    reader = open_reader(tmp_path / "into")
    assert len(reader.logits_units("main")) == len(open_reader(a).records)
    assert merge([a], tmp_path / "only").without_logits == ()


def test_each_cache_keeps_its_choice_whether_logits_are_stored(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend, label_sets=(LABELS,))
    b = make_cache(tmp_path / "b", B, backend=backend, label_sets=(replace(LABELS, stores_logits=False),))
    for inputs, stores in (([a, b], True), ([b, a], False)):
        into = tmp_path / str(stores)
        merge(inputs, into)
        assert open_reader(into).label_set("main").stores_logits is stores
        assert len(open_reader(into).logits_units("main")) == len(open_reader(into).records) and problems(into) == []
