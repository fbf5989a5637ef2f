"""Several writers of one cache at the same time: who plans what, and whose rows are committed."""

import itertools
import multiprocessing
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache import plan_writer
from embedonce.cache.adoption import ADOPTED
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.commit import sha256
from embedonce.cache.errors import (
    AlreadyCommittedError,
    DamagedError,
)
from embedonce.cache.plan import cut_units
from embedonce.cache.plan_parts import cut_parts
from embedonce.cache.reader import CacheReader
from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity, planned_video
from tests.support.cache_parts import requests_of, with_fingerprints
from tests.support.shared_units import LABELS, TENSORS, VIEWS, batch_of, fingerprint_of
from tests.support.shared_writers import (
    IDENTITY,
    VIDEOS,
    commit,
    complaints,
    computed_by,
    plan,
    shared_writer,
)

# -- the plan ----------------------------------------------------------------------------------------------------------


def plan_at_once(root: Path, start, number: int, results) -> None:
    """A process that plans videos that all plan, and some of its own."""
    own = {f"own{number}-{i}": range(3) for i in range(3)}
    with closing(shared_writer(root)) as writer:
        start.wait()
        units = plan(writer, VIDEOS | own) + plan(writer, {f"late{number}": range(9)})
        results.put([unit.name for unit in units])


def test_processes_that_plan_at_once_plan_each_video_once(tmp_path):
    context, root = multiprocessing.get_context("fork"), tmp_path / "cache"
    start, results = context.Barrier(4), context.Queue()
    processes = [context.Process(target=plan_at_once, args=(root, start, i, results)) for i in range(4)]
    for process in processes:
        process.start()
    named = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    asked = (
        VIDEOS
        | {f"own{i}-{j}": range(3) for i in range(4) for j in range(3)}
        | {f"late{i}": range(9) for i in range(4)}
    )
    assert complaints(root, asked) == []
    reader = open_reader(root)
    assert sorted(itertools.chain(*named)) == [unit.name for part in reader.plan() for unit in part.units]
    planned = {(s.video_uid, k) for part in reader.plan() for u in part.units for s in u.segments for k in s.request_k}
    assert len(planned) == sum(map(len, asked.values()))


def test_a_writer_sees_what_others_plan_and_returns_what_it_planned_itself(tmp_path):
    with closing(shared_writer(tmp_path / "cache")) as first, closing(shared_writer(tmp_path / "cache")) as second:
        assert [unit.name for unit in plan(first, {"a": range(9)})] == ["000000", "000001", "000002"]
        units = plan(second, {"a": range(9), "b": range(2)})
        assert [(unit.name, unit.segments[0].video_uid) for unit in units] == [("000003", "b")]
        assert second.planned_videos.keys() == {"a", "b"} and plan(second, {"a": range(9)}) == ()
        first.refresh()
        assert [unit.name for unit in first.units] == [f"{number:06d}" for number in range(4)]
        commit(first, first.units[3], 0)
        assert second.committed_units() == {"000003"} and len(first.plan) == len(second.plan) == 2
    assert complaints(tmp_path / "cache", {"a": range(9), "b": range(2)}) == []


@pytest.mark.parametrize(("last", "own"), [({}, 3), ({"a": range(12)}, 1)])
def test_a_video_that_takes_several_parts_is_planned_whole_although_others_plan_in_between(
    tmp_path, monkeypatch, last, own
):
    """Whoever plans its last part: another writer may take its first part for what an interrupted one has left."""
    monkeypatch.setattr(plan_writer, "cut_parts", partial(cut_parts, num_bytes=700))  # a unit each
    with closing(shared_writer(tmp_path / "cache")) as first, closing(shared_writer(tmp_path / "cache")) as second:
        publish, others = first._plan.publish, iter([{"b": range(2)}, {}, {"c": range(2)}, last])

        def late(part):
            plan(second, next(others, {}))
            return publish(part)

        monkeypatch.setattr(first._plan, "publish", late)
        assert len(plan(first, {"a": range(12)})) == own
    assert complaints(tmp_path / "cache", {"a": range(12), "b": range(2), "c": range(2)}) == []
    reader = open_reader(tmp_path / "cache")
    assert sum(len(s.request_k) for p in reader.plan() for u in p.units for s in u.segments if s.video_uid == "a") == 12
    assert ["".join(video.uid for video in part.videos) for part in reader.plan()] == ["b", "a", "c", ""]


def test_a_unit_that_another_writer_has_planned_is_committed_with_its_plan(tmp_path):
    with closing(shared_writer(tmp_path / "cache")) as first, closing(shared_writer(tmp_path / "cache")) as second:
        (unit,) = plan(first, {"a": range(2)})
        second.commit_frames(unit.name, with_fingerprints(batch_of(unit), first), {})
    assert open_reader(tmp_path / "cache").records[unit.name].part == 0


def test_units_that_another_writer_has_planned_and_committed_are_no_sign_of_an_old_plan(tmp_path):
    with closing(shared_writer(tmp_path / "cache")) as first, closing(shared_writer(tmp_path / "cache")) as second:
        for unit in plan(first, {"a": range(9)}):
            commit(first, unit, 0)
        second.check_plan()
        assert [unit.name for unit in plan(second, {"b": range(1)})] == ["000003"]


def test_what_is_left_of_a_video_is_planned_by_one_writer(tmp_path):
    """A rebuilt plan lost some times of a video, and two writers scan it again."""
    root = tmp_path / "cache"
    with closing(open_writer(root, IDENTITY)) as writer:
        video = planned_video("a", views=VIEWS, fingerprint=fingerprint_of("a"), num_requests=6)
        writer.append_units([video], cut_units([requests_of("a", range(4))], 4, first_number=0))
    with closing(shared_writer(root)) as first, closing(shared_writer(root)) as second:
        assert first.incomplete_uids() == second.incomplete_uids() == {"a"}
        units = plan(first, {"a": range(6)}) + plan(second, {"a": range(6)})
        assert [unit.segments[0].request_k.tolist() for unit in units] == [[4, 5]]
        assert not first.incomplete_uids() and not second.incomplete_uids()


# -- commits -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path, backend):
    """Two writers of one cache with a planned unit."""
    identity = make_cache_identity(backend)
    with closing(shared_writer(tmp_path / "cache", identity)) as first:
        plan(first, {"a": range(3)})
        with closing(shared_writer(tmp_path / "cache", identity)) as second:
            yield first, second


def rows(writer, machine: int = 0):
    return computed_by(machine, with_fingerprints(batch_of(writer.units[0]), writer))


def stopped(writer, batch) -> None:
    """Publish a shard, and stop before its record."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.commit_frames("000000", batch, {"host": "first"}, stop)


def shard_of(writer) -> Path:
    (name,) = writer.store.list("frames")
    return Path(writer.cache_dir) / name


def test_a_shard_without_a_record_is_taken_as_it_is_if_it_holds_the_same_rows(two):
    first, second = two
    stopped(first, rows(first, 1))
    stored = shard_of(first).read_bytes()
    second.commit_frames("000000", rows(second, 2), {"host": "second"})
    record = second.reader().records["000000"]
    assert shard_of(first).read_bytes() == stored and record.num_bytes == len(stored)
    assert record.provenance == {"host": "second", ADOPTED: True}
    np.testing.assert_array_equal(open_reader(first.cache_dir).batch("000000").embeddings, rows(first, 1).embeddings)
    assert verify(first.cache_dir).problems == [] and complaints(first.cache_dir, {"a": range(3)}) == []


def test_the_writer_whose_shard_another_has_committed_is_told(two):
    first, second = two
    with pytest.raises(AlreadyCommittedError):
        first.commit_frames("000000", rows(first, 1), {}, lambda: second.commit_frames("000000", rows(second, 2), {}))
    with pytest.raises(AlreadyCommittedError):
        second.commit_frames("000000", rows(second, 3), {})
    assert complaints(first.cache_dir, {"a": range(3)}) == []


def test_a_writer_that_finds_another_record_while_it_compares_is_told(two, monkeypatch):
    first, second = two
    stopped(first, other_frame(rows(first)))
    compare = CacheReader.batch

    def late(reader, unit):
        monkeypatch.setattr(CacheReader, "batch", compare)
        first.commit_frames("000000", other_frame(rows(first)), {})
        return compare(reader, unit)

    monkeypatch.setattr(CacheReader, "batch", late)
    with pytest.raises(AlreadyCommittedError):
        second.commit_frames("000000", rows(second), {})


def other_frame(batch):
    return replace(batch, jpegs=(batch.jpegs[0][:-1] + b"x", *batch.jpegs[1:]))


def other_crop(batch):
    return replace(batch, crop_crc32=batch.crop_crc32 ^ np.uint32([[0, 0], [0, 1], [0, 0]]))


def other_embedding(batch):
    """One of them is as far from the stored one as no other machine's would be."""
    values = batch.embeddings.astype(np.float32)
    across = np.roll(values[2, 1], 1) - np.roll(values[2, 1], 1) @ values[2, 1] * values[2, 1]
    values[2, 1] = 0.998 * values[2, 1] + np.sqrt(1 - 0.998**2) * across / np.linalg.norm(across)
    return replace(batch, embeddings=values.astype(np.float16))


def fewer_rows(batch):
    (segment,) = batch.segments
    names = ("frame_index", "pts", "request_k", "request_status", "request_row")
    short = replace(segment, **{name: getattr(segment, name)[:2] for name in names})
    return FrameBatch((short,), batch.jpegs[:2], batch.embeddings[:2], batch.crop_crc32[:2])


def no_rows(batch):
    (segment,) = batch.segments
    none = np.full(3, -1, np.int64)
    columns = {"frame_index": none[:0], "pts": none[:0], "request_row": none}
    lost = replace(segment, **columns, request_status=np.ones(3, np.uint8))
    return FrameBatch((lost,), (), batch.embeddings[:0], batch.crop_crc32[:0])


@pytest.mark.parametrize("change", [other_frame, other_crop, other_embedding, fewer_rows, no_rows])
def test_a_shard_without_a_record_that_holds_other_rows_is_neither_replaced_nor_committed(two, change):
    first, second = two
    stopped(first, rows(first))
    stored = shard_of(first).read_bytes()
    with pytest.raises(
        DamagedError, match=r"has no record, and holds other rows than .* Nothing was replaced"
    ) as caught:
        second.commit_frames("000000", change(rows(second)), {})
    assert str(shard_of(first)) in str(caught.value) and "\n" not in str(caught.value)
    assert shard_of(first).read_bytes() == stored and not second.committed_units()
    first.close()
    second.close()
    with closing(open_writer(first.cache_dir, first.identity)) as alone:  # as ever
        alone.commit_frames("000000", change(rows(alone)), {})
    assert open_reader(first.cache_dir).records["000000"].num_rows == len(change(rows(second)).jpegs)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[:-600],
        lambda data: b"",
        lambda data: data[:530] + b"x" * 90 + data[620:],
    ],
)
def test_a_damaged_shard_without_a_record_is_neither_replaced_nor_committed(two, change):
    first, second = two
    stopped(first, rows(first))
    shard_of(first).write_bytes(change(shard_of(first).read_bytes()))
    stored = shard_of(first).read_bytes()
    with pytest.raises(DamagedError, match="Nothing was replaced"):
        second.commit_frames("000000", rows(second), {})
    assert shard_of(first).read_bytes() == stored and not second.committed_units()


def test_logits_of_another_writer_are_taken_as_they_are_if_they_agree(two):
    first, second = two
    commit(first, first.units[0], 0)
    for writer in two:
        writer.create_label_set(LABELS, safetensors.numpy.save(TENSORS))
    batch, values = rows(first), np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    path = first.store.path("labels/main/logits/000000" + shard_of(first).suffix)
    path.write_bytes(BACKENDS[first.identity.backend].encode_logits(batch.keys, values * np.float32(1 + 1e-6)).data)
    stored = path.read_bytes()
    with pytest.raises(DamagedError, match="other logits"):
        second.commit_logits("main", "000000", batch.keys, values + 1, {})
    second.commit_logits("main", "000000", batch.keys, values, {})
    with pytest.raises(AlreadyCommittedError):
        first.commit_logits("main", "000000", batch.keys, values, {})
    assert path.read_bytes() == stored
    reader = open_reader(first.cache_dir)
    assert reader.label_records("main")["000000"].sha256 == sha256(stored)
    np.testing.assert_allclose(reader.all_logits("main", "000000"), values, rtol=1e-5)
