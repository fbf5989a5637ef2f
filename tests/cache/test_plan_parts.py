"""Extensions of the plan are cut into parts of bounded size, and can be interrupted between any two of them."""

import itertools
import os
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from embedonce.cache import documents, rebuild
from embedonce.cache import writer as cache_writer
from embedonce.cache.convert import convert
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.plan import PlannedSegment, PlanPart, cut_units
from embedonce.cache.plan_documents import plan_document, plan_from
from embedonce.cache.plan_parts import PART_BYTES, cut_parts
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.base import MAX_DOCUMENT_BYTES
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity, planned_segment, planned_video
from tests.support.planned_cache import SHARD_FRAMES, commit_units, make_planned_cache, plan_videos

ROWS = {"a": 3, "b": 20, "c": 5, "d": 1}
SMALL = 1000  # bytes of a part: a video with its first unit, or a few units
EMPTY_BYTES = 200  # of a document without videos and units


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(cache_writer, "cut_parts", partial(cut_parts, num_bytes=SMALL))


def planned(rows=ROWS):
    videos = [planned_video(uid, num_requests=count) for uid, count in rows.items()]
    return videos, cut_units([planned_segment(uid, count) for uid, count in rows.items()], SHARD_FRAMES, 0)


def as_documents(parts: list[PlanPart]) -> list[dict]:
    return [plan_document(part) for part in parts]


def requests_in(parts: list[PlanPart]) -> dict[str, list[int]]:
    """uid -> requests k, in the order of the plan."""
    found: dict[str, list[int]] = {}
    for segment in (segment for part in parts for unit in part.units for segment in unit.segments):
        found.setdefault(segment.video_uid, []).extend(segment.request_k.tolist())
    return found


# -- cutting ---------------------------------------------------------------------------------------------------------


def test_parts_hold_everything_once_in_order_and_are_bounded():
    videos, units = planned()
    parts = list(cut_parts(7, videos, units, SMALL))
    assert [part.part for part in parts] == list(range(7, 7 + len(parts))) and len(parts) > 2
    assert [unit.name for part in parts for unit in part.units] == [unit.name for unit in units]
    assert sorted(video.uid for part in parts for video in part.videos) == list(ROWS)
    written = [documents.serialize_verified(document, plan_from, "it") for document in as_documents(parts)]
    assert max(map(len, written)) < SMALL + EMPTY_BYTES
    assert as_documents(parts) == as_documents(list(cut_parts(7, videos, units, SMALL)))


def test_a_video_is_listed_in_the_part_of_its_first_unit_and_continued_in_later_ones():
    parts = list(cut_parts(0, *planned(), SMALL))
    first = next(part.part for part in parts if any(video.uid == "b" for video in part.videos))
    later = [part.part for part in parts if "b" in part.continued]
    assert later and later == list(range(first + 1, first + 1 + len(later)))


def test_an_extension_that_fits_is_one_part_and_nothing_is_none():
    videos, units = planned()
    (part,) = cut_parts(3, videos, units)
    assert (part.part, part.videos, part.units, part.continued) == (3, tuple(videos), units, ())
    assert list(cut_parts(3, [], ())) == []


def test_videos_without_units_are_kept():
    videos = [planned_video(uid) for uid in "abc"]
    parts = list(cut_parts(0, videos, (), 1))
    assert [part.videos for part in parts] == [(video,) for video in videos]


def test_a_part_is_far_from_what_cannot_be_read():
    """Parts, and what a rebuilt part may be longer, are below 64 MiB, of which a reader takes 16 times as much."""
    assert PART_BYTES <= rebuild.PART_BYTES < 64 << 20 and MAX_DOCUMENT_BYTES >= 16 * (64 << 20)


def test_a_unit_does_not_take_any_number_of_videos_that_show_nothing():
    nothing, k = np.zeros(0, np.int64), np.zeros(1, np.int64)
    segments = [PlannedSegment(f"v{number}", nothing, nothing, k, k - 1) for number in range(10)]
    units = cut_units(segments, SHARD_FRAMES, 0)
    assert [len(unit.segments) for unit in units] == [4, 4, 2]


# -- in a cache ------------------------------------------------------------------------------------------------------


def test_a_cut_plan_is_read_committed_verified_and_converted(tmp_path, backend, small_parts):
    root = make_planned_cache(tmp_path / "c", backend, committed=(), parts=(ROWS, {"e": 9}))
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        units = [unit.name for unit in writer.units]
        commit_units(writer, units)
        writer.write_manifest()
        count = len(writer.plan)
    assert count > 4 and verify(root).problems == []
    reader = open_reader(root)
    assert len(reader.plan()) == count and list(reader.records) == units
    assert {uid: len(k) for uid, k in requests_in(reader.plan()).items()} == {
        uid: rows + 2 for uid, rows in (ROWS | {"e": 9}).items()
    }
    other = "webdataset" if backend == "hdf5" else "hdf5"
    convert(root, tmp_path / "copy", other)
    assert as_documents(open_reader(tmp_path / "copy").plan()) == as_documents(reader.plan())


def test_an_extension_that_is_interrupted_between_parts_is_finished_by_the_next_run(tmp_path, backend, small_parts):
    whole = requests_in(make_and_plan(tmp_path / "whole", backend))
    for survivors in itertools.count(1):
        root = tmp_path / str(survivors)
        with closing(open_writer(root, make_cache_identity(backend))) as writer:
            publish, left = writer._plan.publish, iter(range(survivors))

            def dying(part, publish=publish, left=left):
                if next(left, None) is None:
                    raise StorageError("the disk is full")
                return publish(part)

            writer._plan.publish = dying
            try:
                plan_videos(writer, ROWS)
            except StorageError:
                pass
            else:
                break
        with closing(open_writer(root, make_cache_identity(backend))) as writer:
            listed, short = set(writer.planned_videos), writer.incomplete_uids()
            assert {uid for uid in listed if len(requests_in(writer.plan)[uid]) < len(whole[uid])} == short
            plan_missing(writer, short, set(ROWS) - listed)
            assert {uid: sorted(k) for uid, k in requests_in(writer.plan).items()} == whole
            commit_units(writer, [unit.name for unit in writer.units])
        assert verify(root).problems == []
    assert survivors > 3


def make_and_plan(root, backend) -> list[PlanPart]:
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        plan_videos(writer, ROWS)
        return writer.plan


def plan_missing(writer, incomplete, unknown) -> None:
    """What the next extraction plans: the rest of some videos, and the others."""
    planned_k = {uid: len(k) for uid, k in requests_in(writer.plan).items()}
    rest = []
    for uid in sorted(incomplete):
        rows, done = ROWS[uid], planned_k[uid]
        index, k = np.arange(done, rows, dtype=np.int64), np.arange(done, rows + 2, dtype=np.int64)
        row = np.where(k < rows, k - done, rows - 1 - k)
        row[k == rows + 1] = -3
        whole = planned_segment(uid, rows)
        rest.append(PlannedSegment(uid, whole.frame_index[index], whole.pts[index], k, row))
    writer.extend_plan([], rest, SHARD_FRAMES)
    plan_videos(writer, {uid: ROWS[uid] for uid in ROWS if uid in unknown})


def test_a_part_that_is_too_long_to_be_read_is_rebuilt_as_several(tmp_path, backend, monkeypatch):
    """As a version that did not cut parts has written it."""
    root = make_planned_cache(tmp_path / "c", backend)
    before = requests_in(open_reader(root).plan())
    os.truncate(root / "plan" / "000000.json", MAX_DOCUMENT_BYTES + 1)  # nearly all hole
    with pytest.raises(DamagedError, match="--rebuild-plan"):
        open_writer(root, make_cache_identity(backend))
    monkeypatch.setattr(rebuild, "PART_BYTES", SMALL)
    rebuilt = rebuild_plan(root)
    assert rebuilt.is_done and sorted(part.part for part in rebuilt.parts) == [0, *range(3, 2 + len(rebuilt.parts))]
    assert len(rebuilt.parts) > 1 and [part.part for part in rebuilt.parts][-1] == 0  # written last
    reader = open_reader(root)
    assert {uid: sorted(k) for uid, k in requests_in(reader.plan()).items()} == before
    assert [problem.message for problem in verify(root).problems] == []
    open_writer(root, make_cache_identity(backend)).close()
