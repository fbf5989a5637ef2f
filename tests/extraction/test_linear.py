"""Work is linear in the size of the cache: executed lines are counted at two sizes, instead of measuring time.

Loops inside built-in functions execute no lines: where those matter, iterations are counted instead.
"""

import dataclasses
import math
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.inspect import summary
from embedonce.cache.plan import PlanIndex, PlannedSegment, PlanPart, cut_units, newest_uids
from embedonce.cache.reader import CacheReader
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.planning import known_uids
from embedonce.pipeline.extraction.preflight import pending_of
from embedonce.pipeline.extraction.quarantine import quarantine_absent
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.summary import summarize
from embedonce.pipeline.extraction.teacher_check import choose_rows
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.sources.data_summary import cache_tables
from embedonce.pipeline.sources.matching import CachedVideos, match_source
from embedonce.pipeline.sources.source import Clip, Source, Video
from tests.conftest import make_cache_identity, planned_video
from tests.support.counted_lines import lines_of
from tests.support.planned_cache import LABELS, commit_units, plan_videos, requests_of

SIZES = (6, 24)
MOST = 1.25  # times linear growth; a quadratic part gives up to 4


def check_linear(counts: dict[str, list[int]]) -> None:
    """counts: name -> work at each of SIZES, which must not grow faster than the size."""
    growth = SIZES[1] / SIZES[0]
    assert {what: pair for what, pair in counts.items() if pair[1] > MOST * growth * pair[0]} == {}


def uids_of(size: int) -> list[str]:
    return [f"v{number}" for number in range(size)]


def source_of(uids: list[str], digit: str = "a") -> Source:
    """A video and a clip for each uid. digit: repeated in the fingerprints of the files; planned_cache uses "a"."""
    root = Path("videos")
    videos = tuple(Video(uid, root / f"{uid}.mp4", f"{uid}.mp4", fingerprint=64 * digit) for uid in uids)
    clips = tuple(Clip(f"{uid}-0", uid, -math.inf, math.inf, 0, "train") for uid in uids)
    return Source(root, "annotations", videos, clips, ("cut", "stir"), uids_from_paths=False, has_fixed_clips=True)


def make_cache(root: Path, size: int, label_sets: int = 0) -> None:
    with closing(open_writer(root, make_cache_identity())) as writer:
        plan_videos(writer, dict.fromkeys(uids_of(size), 5))
        commit_units(writer, [unit.name for unit in writer.units])
        for number in range(label_sets):
            writer.create_label_set(dataclasses.replace(LABELS, name=f"set{number}"), None)
        writer.write_manifest()


def writing(writer: CacheWriter, source: Source) -> dict[str, Callable]:
    """The operations of an extraction on an open writer, except decoding."""
    uids = [video.uid for video in source.videos]
    return {
        "finding known videos": partial(known_uids, read_state(writer.cache_dir), source),
        "matching": lambda: match_source(source, CachedVideos.of_writer(writer)),
        "matching replaced files": lambda: match_source(source_of(uids, "b"), CachedVideos.of_writer(writer)),
        "counting pending rows": partial(pending_of, read_state(writer.cache_dir)),
        "labels": lambda: write_labels(writer, LabelSetRequest(source, LABELS), 0),
        "the same labels": lambda: write_labels(writer, LabelSetRequest(source, LABELS), 0),
        "manifest": writer.rebuild_manifest_if_stale,
        "counting attempts": lambda: [writer.count_attempt(uid, "lost") for uid in uids],
        "summary": partial(summarize, writer, source),
        "quarantining absent videos": lambda: [quarantine_absent(writer, uid) for uid in uids],
        "summary of quarantined videos": partial(summarize, writer, source),
    }


@pytest.mark.integration
def test_writing_is_linear_in_videos_and_shards(tmp_path):
    counts: dict[str, list[int]] = {}
    for size in SIZES:
        root, source = tmp_path / str(size), source_of(uids_of(size))
        counts.setdefault("extracting", []).append(lines_of(partial(make_cache, root, size)))
        with closing(open_writer(root, make_cache_identity())) as writer:
            for what, call in writing(writer, source).items():
                counts.setdefault(what, []).append(lines_of(call))
    check_linear(counts)


@pytest.mark.integration
def test_reading_is_linear_in_videos_and_shards(tmp_path):
    counts: dict[str, list[int]] = {}
    for size in SIZES:
        root = tmp_path / str(size)
        make_cache(root, size, label_sets=1)
        calls = {
            "opening": lambda root=root: open_reader(root),
            "opening to write": lambda root=root: open_writer(root, make_cache_identity()).close(),
            "verifying": lambda root=root: verify(root),
            "inspecting": lambda root=root: [summary(root), cache_tables(root)],
            "choosing rows": lambda root=root: choose_rows(open_reader(root), 10**6, 0),
            "timelines": lambda root=root, size=size: [open_reader(root).timeline(uid) for uid in uids_of(2)],
            "converting": lambda root=root: convert(root, root.with_suffix(".other"), "webdataset"),
        }
        for what, call in calls.items():
            counts.setdefault(what, []).append(lines_of(call))
        for path in (root / "plan").iterdir():
            path.unlink()
        counts.setdefault("rebuilding", []).append(lines_of(lambda root=root: rebuild_plan(root)))
    check_linear(counts)


@pytest.mark.integration
def test_reading_is_linear_in_label_sets(tmp_path):
    counts: dict[str, list[int]] = {}
    for size in SIZES:
        root = tmp_path / str(size)
        make_cache(root, 3, label_sets=size)
        for what, call in {"verifying": verify, "inspecting": summary, "opening": open_reader}.items():
            counts.setdefault(what, []).append(lines_of(partial(call, root)))
        with closing(open_writer(root, make_cache_identity())) as writer:
            counts.setdefault("manifest", []).append(lines_of(writer.write_manifest))
    check_linear(counts)


@pytest.mark.parametrize("shape", ["many videos", "one long video"])
def test_building_shards_is_linear_in_rows(shape):
    counts = []
    for size in SIZES:
        rows = dict.fromkeys(uids_of(size), 6) if shape == "many videos" else {"v0": 6 * size}
        requests = [requests_of(uid, count) for uid, count in rows.items()]
        videos = {uid: planned_video(uid) for uid in rows}
        builder = ShardBuilder(cut_units(requests, 4, 0), videos, (2, 8))
        counts.append(lines_of(partial(assemble, builder, rows)))
    check_linear({shape: counts})


def assemble(builder: ShardBuilder, rows: dict[str, int]) -> None:
    """Add every row of every video, and pop complete units after each."""
    embeddings, crc32, taken = np.zeros((2, 8), np.float16), np.zeros(2, np.uint32), 0
    for uid, count in rows.items():
        for i in range(count):
            if i % 5 == 4:
                builder.refuse(uid, i)
            else:
                builder.add(uid, i, b"jpeg", embeddings, crc32)
            taken += sum(len(batch.jpegs) for _, batch in builder.pop_complete())
        builder.end(uid)
    taken += sum(len(batch.jpegs) for _, batch in builder.pop_complete())
    assert taken == sum(count - count // 5 for count in rows.values())


def test_extending_a_plan_is_linear_in_what_is_added():
    def grow(size: int) -> None:
        index = PlanIndex()
        for number in range(size):
            uid, rows = f"v{number}", np.arange(4)
            segment = PlannedSegment(uid, rows, rows, rows, rows)
            index.add(PlanPart(number, (planned_video(uid),), cut_units([segment], 4, index.next_number)))
            assert index.videos[uid].uid == uid

    check_linear({"plan": [lines_of(partial(grow, size)) for size in SIZES]})


def test_a_chain_of_replaced_files_is_followed_in_linear_time():
    counts = []
    for size in SIZES:
        videos = [planned_video("v0"), *(planned_video(f"v{n}", replaces=f"v{n - 1}") for n in range(1, size))]
        plan = [PlanPart(0, tuple(videos), ())]
        assert set(newest_uids(plan).values()) == {f"v{size - 1}"} and len(newest_uids(plan)) == size - 1
        counts.append(lines_of(partial(newest_uids, plan)))
    check_linear({"replaced": counts})


def test_a_cycle_of_replacements_terminates():
    plan = [PlanPart(0, (planned_video("a", replaces="b"), planned_video("b", replaces="a")), ())]
    assert set(newest_uids(plan)) == {"a", "b"}


@pytest.mark.integration
def test_a_summary_iterates_over_the_videos_a_few_times_at_most(tmp_path, monkeypatch):
    """Membership in a tuple is a loop in a built-in function: accesses are counted instead of lines."""
    make_cache(tmp_path / "c", 20)
    gone_through = []
    listed = CacheReader.video_uids.fget
    monkeypatch.setattr(CacheReader, "video_uids", property(lambda self: gone_through.append(1) or listed(self)))
    with closing(open_writer(tmp_path / "c", make_cache_identity())) as writer:
        assert summarize(writer, source_of(uids_of(20))).committed == 20
    assert len(gone_through) <= 3
