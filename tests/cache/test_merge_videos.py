"""Merging caches of which some have videos in quarantine, not extracted yet, or removed for good."""

import os
from contextlib import closing
from dataclasses import replace

import pytest

from embedonce.cache.labels import LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.merging.merge import merge, planned_merge
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.cache.withdrawn import withdrawn_videos
from tests.support.cache_parts import ALL_SETS, OTHER, make_cache, plan_part, problems, quarantined, whole_videos
from tests.support.shared_units import (
    SECRET,
    batch_of,
    content,
    everything_below,
    logits_of,
    secrets,
)

A = {"a": range(6), "b": range(2)}
B = {"c": range(1), "d": range(7), "e": range(3)}


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


# -- what is not extracted yet -----------------------------------------------------------------------------------------


def test_what_an_input_has_not_extracted_yet_is_left_out_and_can_be_completed(tmp_path, backend):
    a = make_cache(tmp_path / "a", {"a": range(10), "b": range(2)}, {"x": range(2)}, backend=backend, pending=2)
    found = planned_merge([a], tmp_path / "into")
    assert set(found.pending) == {"a", "b", "x"}
    merge([a], tmp_path / "into")
    state = read_state(tmp_path / "into")
    assert set(state.planned_videos) == {"a"} and state.incomplete_uids() == {"a"}
    assert state.planned_videos["a"].num_requests == 10 and state.reader.num_rows == 8
    assert problems(tmp_path / "into") == []


def test_another_input_completes_what_is_not_extracted_yet(tmp_path, backend):
    a = make_cache(tmp_path / "a", {"a": range(10), "b": range(2)}, backend=backend, pending=1)
    b = make_cache(tmp_path / "b", {"b": range(2), "a": range(8, 10)}, backend=backend)
    assert planned_merge([a, b], tmp_path / "into").pending == ()
    merge([a, b], tmp_path / "into")
    assert content(tmp_path / "into") == content(make_cache(tmp_path / "whole", {"a": range(10), "b": range(2)}))
    assert read_state(tmp_path / "into").incomplete_uids() == frozenset()


def test_units_that_the_target_has_planned_are_committed_with_rows_of_several_inputs(tmp_path, backend):
    into = make_cache(tmp_path / "into", A, {"d": range(7), "c": range(1), "e": range(3)}, backend=backend, pending=3)
    planned = {unit.name for part in open_reader(into).plan() for unit in part.units}
    b = make_cache(tmp_path / "b", {"d": range(3, 7), "c": range(1)}, backend=OTHER[backend])
    c = make_cache(tmp_path / "c", {"d": range(5), "e": range(3)})
    found = planned_merge([b, c], into)
    assert [unit.name for unit in found.filled] == ["000002", "000003", "000004"] and found.num_waiting == 0
    merge([b, c], into)
    assert content(into) == content(make_cache(tmp_path / "whole", A | B)) and problems(into) == []
    assert set(open_reader(into).records) == planned
    hosts = {record.provenance["host"] for record in open_reader(into).records.values()}
    decoding = [record.provenance["decoding"].keys() for record in open_reader(into).records.values()]
    assert hosts == {"here"} and set().union(*decoding) == {*A, *B}


def test_units_of_the_target_that_the_inputs_have_in_part_wait(tmp_path, backend):
    into = make_cache(tmp_path / "into", A, {"c": range(1), "d": range(3)}, backend=backend, pending=1)
    b = make_cache(tmp_path / "b", {"d": range(3), "e": range(3)})
    assert planned_merge([b], into).num_waiting == 1
    merge([b], into)
    reader = open_reader(into)
    assert "d" not in reader.video_uids and "e" in reader.video_uids and "000002" not in reader.records
    assert [problem.message for problem in verify(into).problems] == []


def test_units_of_which_a_request_is_nowhere_wait(tmp_path):
    into = make_cache(tmp_path / "into", A, {"d": range(3)}, pending=1)
    b, c = make_cache(tmp_path / "b", {"d": range(2)}), make_cache(tmp_path / "c", {"d": range(1, 3)})
    assert planned_merge([b], into).num_waiting == 1
    merge([b], into)
    assert "d" not in open_reader(into).video_uids
    merge([b, c], into)
    assert open_reader(into).timeline("d").k.tolist() == [0, 1, 2] and problems(into) == []


# -- quarantine --------------------------------------------------------------------------------------------------------


def test_a_whole_video_wins_over_an_entry_in_quarantine(tmp_path, backend):
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B)
    for uid in ("c", "broken"):
        quarantined(a, uid)
    merge([a, b], tmp_path / "into")
    found = open_reader(tmp_path / "into").quarantined()
    assert found == {"broken": QuarantinedVideo("broken.mp4", "no video stream", 1, 2)}
    assert problems(tmp_path / "into") == []
    merge([b], a)  # into the one that has the entry
    assert set(open_reader(a).quarantined()) == {"broken"} and "c" in open_reader(a).video_uids
    assert problems(a) == []


def committed_without(root, uid: str, part: dict, quarantine: bool = True):
    """A cache whose units lack a video, which is in quarantine."""
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        plan_part(writer, part)
        writer.quarantine(uid, QuarantinedVideo(f"{uid}.mp4", "damaged", 1, 2))
        done = writer.committed_units()
        for unit in writer.units:
            if unit.name not in done:
                kept = tuple(segment for segment in unit.segments if segment.video_uid != uid)
                writer.commit_frames(unit.name, batch_of(replace(unit, segments=kept)), {})
        for labels in ALL_SETS:
            write_label_set_again(writer, labels)
        writer.write_manifest()
    return root


def write_label_set_again(writer, labels: LabelSet) -> None:
    for part in writer.plan:
        writer.publish_clips(labels.name, part.part, whole_videos(part))
    if labels.has_logits and labels.stores_logits:
        reader = writer.reader()
        for unit in set(reader.records) - reader.logits_units(labels.name):
            logits = logits_of(reader.all_embeddings(unit)) if reader.records[unit].num_rows else None
            if logits is not None:
                writer.commit_logits(labels.name, unit, reader.records[unit].keys, logits, {})


def test_a_video_that_was_left_out_of_a_shard_is_replaced_by_a_whole_one(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend)
    committed_without(a, "d", {"c": range(1), "d": range(3)})
    b = make_cache(tmp_path / "b", {"d": range(3)}, backend=backend)
    merge([a, b], tmp_path / "into")
    reader = open_reader(tmp_path / "into")
    assert reader.quarantined() == {} and reader.timeline("d").k.tolist() == [0, 1, 2]
    assert problems(tmp_path / "into") == []
    found = planned_merge([b], a)  # whose shard is finished without it
    assert found.quarantine.blocked == ("d",) and found.quarantine.released == ()
    merge([b], a)
    assert "d" not in open_reader(a).video_uids and set(open_reader(a).quarantined()) == {"d"} and problems(a) == []
    remove(a, videos_removal(["d"], is_withdrawal=False))
    merge([b], a)
    assert content(a) == content(tmp_path / "into") and open_reader(a).quarantined() == {}


def test_a_video_in_quarantine_everywhere_stays_there_with_the_rows_that_it_has(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend)
    committed_without(a, "d", {"c": range(1), "d": range(3)})
    merge([a], tmp_path / "into")
    reader = open_reader(tmp_path / "into")
    assert set(reader.quarantined()) == {"d"} and "d" not in reader.video_uids and "c" in reader.video_uids
    assert problems(tmp_path / "into") == []


# -- withdrawn videos --------------------------------------------------------------------------------------------------


def test_videos_withdrawn_anywhere_do_not_come_into_the_target(tmp_path, backend):
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B | {"a": range(6)})
    remove(a, videos_removal(["a"], is_withdrawal=True))
    found = planned_merge([b, a], tmp_path / "into")
    assert found.added.withdrawn == {"a"} and len(found.withdrawn) == 1
    merge([b, a], tmp_path / "into")
    assert content(tmp_path / "into") == content(make_cache(tmp_path / "whole", B | {"b": range(2)}))
    assert withdrawn_videos(Layout.at(tmp_path / "into")).has_name("a") and problems(tmp_path / "into") == []
    c = make_cache(tmp_path / "c", {"a": range(6), "f": range(1)})
    merge([c], tmp_path / "into")  # the target remembers
    assert "a" not in open_reader(tmp_path / "into").video_uids and "f" in open_reader(tmp_path / "into").video_uids


def test_nothing_of_a_withdrawn_video_comes_into_the_target(tmp_path, backend):
    a = make_cache(tmp_path / "a", {"a": range(2), SECRET: range(2)}, backend=backend)
    b = make_cache(tmp_path / "b", {"b": range(1), SECRET: range(2), "d": range(1)}, backend=backend)
    assert len(open_reader(b).records["000000"].segments) == 3 and SECRET.encode() in everything_below(b)
    remove(a, videos_removal([SECRET], is_withdrawal=True))
    merge([b, a], tmp_path / "into")
    below = everything_below(tmp_path / "into")
    assert [secret for secret in secrets() if secret in below] == [] and problems(tmp_path / "into") == []


def test_entries_in_quarantine_of_withdrawn_videos_are_not_carried_over(tmp_path):
    a, b = make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", B)
    remove(a, videos_removal(["a"], is_withdrawal=True))
    quarantined(b, "a")
    merge([a, b], tmp_path / "into")
    assert open_reader(tmp_path / "into").quarantined() == {}


def test_videos_withdrawn_under_another_name_are_recognized_by_their_content(tmp_path):
    a = make_cache(tmp_path / "a", A, describe=lambda video: replace(video, fingerprint=64 * video.uid))
    remove(a, videos_removal(["a"], is_withdrawal=True))
    b = make_cache(tmp_path / "b", {"other": range(2)}, describe=lambda video: replace(video, fingerprint=64 * "a"))
    found = planned_merge([a, b], tmp_path / "into")
    assert found.added.withdrawn == {"other"} and [video.uid for video in found.added.videos] == ["b"]
