"""Assignment of videos to splits and to model selection."""

import uuid
from collections import Counter

import numpy as np
import pytest

from embedonce.pipeline.naming.uids import (
    part_uid,
    path_uid,
    recording_of,
)
from embedonce.pipeline.splits.assignment import one_split, selection_uids, split_by_hash


def test_splits_of_known_uids_are_stable():
    uids = [f"video-{i}" for i in range(12)]
    assert "".join(split_by_hash(uid)[0] for uid in uids) == "tttvvvvttttt"
    assert sorted(selection_uids(f"video-{i}" for i in range(40))) == ["video-14", "video-21", "video-29", "video-9"]


@pytest.mark.integration
def test_split_fractions_are_correct_and_independent():
    uids = [f"v{i}" for i in range(20_000)]
    val = {uid for uid in uids if split_by_hash(uid) == "val"}
    selection = selection_uids(uids)
    assert 0.19 < len(val) / len(uids) < 0.21
    assert len(selection) == len(uids) / 10
    assert 0.08 < len(selection & val) / len(val) < 0.12
    assert val < {uid for uid in uids if split_by_hash(uid, 0.5) == "val"}
    assert not any(split_by_hash(uid, 0.0) == "val" for uid in uids)
    assert all(split_by_hash(uid, 1.0) == "val" for uid in uids)


def test_selection_of_small_sets():
    uids = [f"v{i}" for i in range(100)]
    assert selection_uids([]) == selection_uids(uids[:1]) == frozenset()
    for count in range(2, 100):
        chosen = selection_uids(uids[:count])
        assert len(chosen) == max(1, round(count / 10)) <= max(1, count / 5)
        assert selection_uids(reversed(uids[:count])) == chosen < set(uids)


@pytest.mark.parametrize("seed", range(20))
def test_selection_covers_all_classes_and_never_takes_the_last_recording_of_one(seed):
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 30, generator.integers(1, 9))
    labels = {f"{seed}-{label}-{i}": {label} for label, count in enumerate(counts) for i in range(count)}
    chosen = selection_uids(labels, labels)
    left = Counter(label for uid, found in labels.items() if uid not in chosen for label in found)
    assert set(left) == set(range(len(counts)))  # every class can still be learnt
    taken = {label for uid in chosen for label in labels[uid]}
    assert len(chosen) <= max(1, len(labels) / 5)
    can_spare = {label for label, count in enumerate(counts) if count > 1}
    assert taken <= can_spare and (taken == can_spare or len(chosen) == max(1, len(labels) // 5))


@pytest.mark.parametrize("seed", range(5))
def test_selection_is_stratified(seed):
    """A tenth of the recordings of each class, where they can be counted; one of each class at least."""
    sizes = [400, 200, 100, 50, 25, 12, 6, 3, 2, 1]
    labels = {f"{seed}-{label}-{i}": {label} for label, size in enumerate(sizes) for i in range(size)}
    taken = Counter(label for uid in selection_uids(labels, labels) for label in labels[uid])
    shares = [40, 20, 10, 5, 2, 1, 1, 1, 1, 0]
    assert all(abs(taken[label] - share) <= 2 for label, share in enumerate(shares)) and sum(taken.values()) == 80
    assert [taken[label] for label in range(5, 10)] == shares[5:]
    equal = {f"{seed}-{label}-{i}": {label} for label in range(12) for i in range(50)}
    counts = Counter(label for uid in selection_uids(equal, equal) for label in equal[uid])
    assert set(counts.values()) == {5} and len(counts) == 12


def test_unlabeled_recordings_are_selected_by_hash_alone():
    uids = [f"v{i}" for i in range(100)]
    assert selection_uids(uids, {uid: {-1} for uid in uids}) == selection_uids(uids)


def test_a_recording_that_is_the_only_one_of_a_class_is_not_selected():
    labels = {f"v{i}": {0} for i in range(9)} | {"only": {0, 1}, "bare": {-1}}
    assert "only" not in selection_uids(labels, labels)
    assert selection_uids({"a": 0, "b": 0}, {"a": {0}, "b": {1}}) == frozenset()


def test_parts_of_a_recording_are_selected_together():
    recordings = [str(uuid.UUID(int=i, version=4)) for i in range(60)]
    parts = [part_uid(recording, str(uuid.UUID(int=i, version=4))) for recording in recordings for i in (100, 101, 102)]
    assert {recording_of(part) for part in parts} == set(recordings)
    assert recording_of("a__b") == "a__b" and recording_of(recordings[0]) == recordings[0]
    chosen = selection_uids(parts)
    assert 0 < len(chosen) < len(parts)
    assert {recording_of(uid) for uid in chosen}.isdisjoint(recording_of(uid) for uid in set(parts) - chosen)
    few = [uid for uid in parts if uid not in chosen][:6]  # of two recordings, none of which the hash selects
    assert len(selection_uids(few)) == 3


def test_clips_of_a_group_of_ucf101_are_selected_together():
    groups = [[f"YoYo/v_YoYo_g{group:02}_c{clip:02}.avi" for clip in range(1, 5)] for group in range(1, 26)]
    uids = [path_uid(name) for group in groups for name in group]
    assert len({recording_of(uid) for uid in uids}) == 25
    chosen = {recording_of(uid) for uid in selection_uids(uids)}
    assert 0 < len(chosen) <= 5 and len(selection_uids(uids)) == 4 * len(chosen)
    first = path_uid(groups[0][0])
    assert recording_of(f"{first}__0123abcd") == recording_of(f"{first}__0123abcd-2") == recording_of(first)
    folders = [f"YoYo/v_YoYo_g{group:02}_c{clip:02}" for group in range(1, 26) for clip in range(1, 5)]  # of frames
    assert len({recording_of(path_uid(name)) for name in folders}) == 25
    for names in ([path_uid(name) for name in folders], uids, [f"{uid}__0123abcd" for uid in uids]):
        splits = [split_by_hash(uid) for uid in names]
        assert set(splits) == {"train", "val"} and splits == [split for split in splits[::4] for _ in range(4)]
    others = ("YoYo_2Fv_YoYo_g09_c02_2Emp4", "YoYo_2FYoYo_g09_c02_2Eavi", "v_YoYo_c02_2Eavi")
    assert [recording_of(uid) for uid in others] == list(others)


def test_a_video_in_two_splits_is_assigned_to_the_one_with_most_annotated_time():
    assert one_split({"train": 5.0, "val": 6.0}) == "val"
    assert one_split({"val": 5.0, "train": 6.0}) == "train"
    assert one_split({"train": 5.0, "val": 5.0}) == "val"  # held out, rather than trained on
