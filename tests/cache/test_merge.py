"""Merging caches: what several machines have made is as if one had made it."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.merging.answers import find_sorted, groups_of
from embedonce.cache.merging.merge import Merged, merge, planned_merge
from embedonce.cache.plan import PlannedSegment
from embedonce.cache.records import segment_document
from embedonce.cache.schema import FrameBatch, Status
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from tests.conftest import planned_video
from tests.support.cache_parts import OTHER, make_cache, problems, requests_of, slightly_other_rows
from tests.support.shared_units import (
    VIEWS,
    batch_of,
    content,
    everything_below,
)

A = {"a": range(6), "b": range(2)}
B = {"c": range(1), "d": range(7), "e": range(3)}


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
