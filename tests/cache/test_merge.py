"""Merging caches: what several machines have made is as if one had made it."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache.errors import DamagedError
from embedonce.cache.labels import ClipLabel, LabelSet, logits_from
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.merging.answers import find_sorted, groups_of
from embedonce.cache.merging.merge import Merged, merge, planned_merge
from embedonce.cache.plan import PlannedSegment
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.records import segment_document
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.schema import FrameBatch, Status
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.cache.withdrawn import withdrawn_videos
from tests.conftest import planned_video
from tests.support.cache_parts import ALL_SETS, make_cache, plan_part, requests_of, whole_videos, write_label_set
from tests.support.shared_units import (
    COMPUTED,
    LABELS,
    PLAIN,
    SECRET,
    TENSORS,
    VIEWS,
    batch_of,
    content,
    everything_below,
    logits_of,
    secrets,
)

A = {"a": range(6), "b": range(2)}
B = {"c": range(1), "d": range(7), "e": range(3)}
OTHER = {"hdf5": "webdataset", "webdataset": "hdf5"}


def problems(root: Path) -> list[str]:
    report = verify(root)
    extra = [f"extra: {path}" for path in report.extra]
    return [problem.message for problem in report.problems] + extra + list(report.unfinished)


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


# -- what is merged ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backends", ["same", "mixed"])
def test_two_halves_are_the_cache_that_was_made_at_once(tmp_path, backend, backends):
    other = backend if backends == "same" else OTHER[backend]
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B, backend=other)
    before = everything_below(a), everything_below(b)
    merged = merge([a, b], tmp_path / "into")
    assert content(tmp_path / "into") == content(make_cache(tmp_path / "whole", A | B))
    assert open_reader(tmp_path / "into").identity.backend == backend  # that of the first
    assert problems(tmp_path / "into") == []
    units = len(open_reader(a).records) + len(open_reader(b).records)
    assert merged == Merged(units, 19, units, (), 5, 19)
    assert (everything_below(a), everything_below(b)) == before


def test_plan_records_and_provenance_are_those_of_the_inputs(tmp_path, backend):
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B, {"f": range(2)})
    merge([a, b], tmp_path / "into")
    found, sources = open_reader(tmp_path / "into"), [open_reader(a), open_reader(b)]
    videos = {video.uid: video for part in found.plan() for video in part.videos}
    expected = {video.uid: video for source in sources for part in source.plan() for video in part.videos}
    assert {uid: replace(v, views=()) for uid, v in videos.items()} == {
        uid: replace(v, views=()) for uid, v in expected.items()
    }
    records = [record for source in sources for _, record in sorted(source.records.items())]
    assert list(found.records) == [f"{number:06d}" for number in range(len(records))]
    for mine, theirs in zip(found.records.values(), records, strict=True):
        assert list(map(segment_document, mine.segments)) == list(map(segment_document, theirs.segments))
        assert mine.provenance == theirs.provenance and mine.provenance["decoding"]


def test_one_cache_is_added_to_an_existing_one(tmp_path, backend):
    into = make_cache(tmp_path / "into", A, backend=backend)
    kept = {unit: record.sha256 for unit, record in open_reader(into).records.items()}
    for number, videos in enumerate((B, {"f": range(5)})):
        merge([make_cache(tmp_path / str(number), videos, backend=OTHER[backend])], into)
    assert content(into) == content(make_cache(tmp_path / "whole", A | B | {"f": range(5)}))
    assert {unit: open_reader(into).records[unit].sha256 for unit in kept} == kept
    assert problems(into) == []


def test_manifest_and_settings_are_those_of_the_merged_cache(tmp_path):
    caches = [make_cache(tmp_path / name, videos) for name, videos in (("a", A), ("b", B), ("c", {"f": range(2)}))]
    for root, text in ((caches[1], "fps: 2.0"), (caches[2], "fps: 3.0")):
        (root / "extract_config.yaml").write_text(text)
    for inputs, units in ((caches[:2], 6), (caches[2:], 7)):
        merge(inputs, tmp_path / "into")
        manifest = read_manifest(Layout.at(tmp_path / "into"))
        assert [shard["unit"] for shard in manifest["shards"]] == list(open_reader(tmp_path / "into").records)
        assert len(manifest["labels"]["main"]["records"]) == len(manifest["shards"]) == units
        assert (tmp_path / "into" / "extract_config.yaml").read_text() == "fps: 2.0"  # of the first that has any


def test_merging_again_changes_nothing(tmp_path, backend):
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B, backend=OTHER[backend])
    merge([a, b], tmp_path / "into")
    before = everything_below(tmp_path / "into")
    merged = merge([a, b], tmp_path / "into")
    assert (merged.num_units, merged.num_logits, merged.total_rows) == (0, 0, 19)
    assert everything_below(tmp_path / "into") == before


def test_every_outcome_of_a_request_is_kept(tmp_path, backend):
    def some_fail(batch: FrameBatch) -> FrameBatch:
        """Of each segment the first request is corrupt, if it has several."""
        segments, kept, first = [], [], 0
        for segment in batch.segments:
            lost = int(segment.num_rows > 1)
            kept += range(first + lost, first + segment.num_rows)
            first += segment.num_rows
            status = np.where(segment.request_row < lost, Status.CORRUPT, Status.OK).astype(np.uint8)
            columns = {name: getattr(segment, name)[lost:] for name in ("frame_index", "pts")}
            row = np.maximum(segment.request_row - lost, -1)
            segments.append(replace(segment, **columns, request_status=status, request_row=row))
        arrays = batch.embeddings[kept], batch.crop_crc32[kept]
        return FrameBatch(tuple(segments), tuple(batch.jpegs[row] for row in kept), *arrays)

    a = make_cache(tmp_path / "a", A, backend=backend, change=some_fail)
    b = make_cache(tmp_path / "b", B, backend=backend, change=some_fail)
    merge([a, b], tmp_path / "into")
    counts = [open_reader(root).count_statuses() for root in (a, b, tmp_path / "into")]
    assert counts[2] == {name: counts[0][name] + counts[1][name] for name in counts[0]} and counts[2]["corrupt"] == 6
    assert content(tmp_path / "into") == {**content(a), **content(b)} and problems(tmp_path / "into") == []


def test_units_without_rows_and_without_answers_are_kept(tmp_path, backend):
    def nothing(batch: FrameBatch) -> FrameBatch:
        segments = tuple(
            replace(
                segment,
                frame_index=segment.frame_index[:0],
                pts=segment.pts[:0],
                request_status=np.full(len(segment.request_k), Status.MISSING, np.uint8),
                request_row=np.full(len(segment.request_k), -1, np.int64),
            )
            for segment in batch.segments
        )
        return FrameBatch(segments, (), batch.embeddings[:0], batch.crop_crc32[:0])

    a, b = make_cache(tmp_path / "a", A, backend=backend, change=nothing), make_cache(tmp_path / "b", B)
    merge([a, b], tmp_path / "into")
    assert content(tmp_path / "into") == {**content(a), **content(b)} and problems(tmp_path / "into") == []
    assert open_reader(tmp_path / "into").count_statuses()["missing"] == 8


# -- videos in several caches ------------------------------------------------------------------------------------------


def test_a_video_that_both_have_is_kept_once(tmp_path, backend):
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B | {"b": range(2)})
    assert planned_merge([a, b], tmp_path / "into").shared == {"b"}
    merged = merge([a, b], tmp_path / "into")
    assert merged.total_rows == 19 and merged.num_rows == 19
    assert content(tmp_path / "into") == content(make_cache(tmp_path / "whole", A | B))
    assert problems(tmp_path / "into") == []


def test_partial_overlaps_complete_each_other(tmp_path, backend):
    a = make_cache(tmp_path / "a", {"a": range(6), "b": range(3, 9)}, backend=backend)
    b = make_cache(tmp_path / "b", {"b": range(12), "a": range(4, 10)}, backend=OTHER[backend], shard_frames=5)
    for inputs, into in (([a, b], tmp_path / "into"), ([b], a)):
        merge(inputs, into)
        whole = content(make_cache(tmp_path / f"whole-{into.name}", {"a": range(10), "b": range(12)}))
        assert content(into) == whole and problems(into) == []
    assert read_state(a).incomplete_uids() == frozenset()


def slightly_other_rows(batch: FrameBatch) -> FrameBatch:
    noise = 1e-3 * np.random.default_rng(0).standard_normal(batch.embeddings.shape)
    values = batch.embeddings + noise
    values *= 0.9985 / np.linalg.norm(values, axis=2, keepdims=True)  # as short as verification allows
    return replace(batch, embeddings=values.astype(np.float16))


def test_embeddings_may_differ_as_much_as_they_do_between_machines(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend)
    b = make_cache(tmp_path / "b", {"a": range(9)}, backend=backend, change=slightly_other_rows)
    merge([a, b], tmp_path / "into")
    found, first = content(tmp_path / "into"), content(a)
    assert {key: found[key] for key in first if not key.endswith(" a")} == {
        key: value for key, value in first.items() if not key.endswith(" a")
    }
    assert open_reader(tmp_path / "into").num_rows == 11 and problems(tmp_path / "into") == []


def test_frames_that_answer_requests_of_both_are_rows_of_one_unit_only(tmp_path):
    def make(root, k, row, frames):
        with closing(open_writer(root, open_reader(example).identity)) as writer:
            video = planned_video("a", views=VIEWS, fingerprint=64 * "a")
            index = np.array(frames, np.int64)
            writer.extend_plan([video], [PlannedSegment("a", index, index * 512, np.array(k), np.array(row))], 4)
            for unit in writer.units:
                writer.commit_frames(unit.name, batch_with(unit, 64 * "a"), {})
        return root

    def batch_with(unit, fingerprint):
        batch = batch_of(unit)
        return replace(batch, segments=tuple(replace(s, fingerprint=fingerprint) for s in batch.segments))

    example = make_cache(tmp_path / "example", A)
    a = make(tmp_path / "a", [0, 1, 2], [0, 0, 1], [0, 5])
    b = make(tmp_path / "b", [3, 4], [0, 1], [5, 9])
    assert planned_merge([a, b], tmp_path / "into").added.num_dropped == 1
    merge([a, b], tmp_path / "into")
    reader = open_reader(tmp_path / "into")
    keys = [key for record in reader.records.values() for key in record.keys]
    assert keys == ["a_00000000", "a_00000005", "a_00000009"]
    assert reader.timeline("a").k.tolist() == [0, 1, 2, 4] and problems(tmp_path / "into") == []


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


def quarantined(root, uid: str, reason: str = "no video stream") -> None:
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        writer.quarantine(uid, QuarantinedVideo(f"{uid}.mp4", reason, 1, 2))
        writer.write_manifest()


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


# -- reading meanwhile, and damage -------------------------------------------------------------------------------------


def test_a_reader_that_is_open_sees_the_past_and_a_new_one_what_is_committed(tmp_path, backend):
    into, b = make_cache(tmp_path / "into", A, backend=backend), make_cache(tmp_path / "b", B)
    reader, seen = open_reader(into), []
    before = content(into)

    def look(rows: int) -> None:
        seen.append(open_reader(into).num_rows)
        assert {key: value for key, value in content(into).items() if key in before} == before

    merge([b], into, on_progress=look)
    assert seen == sorted(set(seen)) and len(seen) == len(open_reader(b).records)
    assert reader.num_rows == 8 and [len(reader.batch(unit).keys) for unit in reader.records] == [4, 4]


def test_shards_of_one_input_only_are_open_at_a_time(tmp_path, backend):
    videos = ({"a": range(6)}, {"a": range(3, 9)}, {"d": range(6)})
    inputs = [make_cache(tmp_path / f"in{n}", part, backend=backend) for n, part in enumerate(videos)]
    seen = []

    def look(rows: int) -> None:
        links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        seen.append({root.name for link in links for root in inputs if link.startswith(f"{root}/frames/")})

    merge(inputs, tmp_path / "into", on_progress=look)
    assert seen == [{name} for name in ("in0", "in0", "in1", "in1", "in2", "in2")]


@pytest.mark.parametrize("column", ["frames", "labels/main/logits"])
def test_a_damaged_shard_is_never_copied(tmp_path, backend, column):
    a, b = make_cache(tmp_path / "a", A, backend=backend), make_cache(tmp_path / "b", B, backend=backend)
    shard = sorted((b / column).iterdir())[1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedError, match=shard.name):
        merge([a, b], tmp_path / "into")
    assert [problem.message for problem in verify(tmp_path / "into").problems] == []  # what was committed is sound
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    merge([a, b], tmp_path / "into")
    assert content(tmp_path / "into") == content(make_cache(tmp_path / "whole", A | B))


# -- helpers -----------------------------------------------------------------------------------------------------------


def test_values_are_found_in_sorted_arrays():
    assert find_sorted(np.array([3, 9, 0, 5]), np.array([0, 3, 5])).tolist() == [1, -1, 0, 2]
    assert find_sorted(np.array([3, 9]), np.array([], np.int64)).tolist() == [-1, -1]
    assert [group.tolist() for group in groups_of(np.array([2, 0, 2, 1]))] == [[1], [3], [0, 2]]
    assert groups_of(np.zeros(0, np.int64)) == []
    assert requests_of("a", range(2, 5)).request_row.tolist() == [0, 1, 2]
