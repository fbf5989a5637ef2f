"""Several writers of one cache at the same time: who is let in, who plans what, and whose rows are committed."""

import itertools
import multiprocessing
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache import commit as commit_module
from embedonce.cache import opening, plan_writer
from embedonce.cache.adoption import ADOPTED
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.catalog import Catalog
from embedonce.cache.commit import sha256
from embedonce.cache.convert import convert
from embedonce.cache.errors import (
    AlreadyCommittedError,
    BusyError,
    DamagedError,
    IdentityMismatchError,
    LabelSetError,
)
from embedonce.cache.labels import logits_from
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import build_manifest, read_manifest
from embedonce.cache.merging.merge import merge
from embedonce.cache.plan import cut_units
from embedonce.cache.plan_parts import cut_parts
from embedonce.cache.quarantine import DecodeAttempts, QuarantinedVideo, file_name, read_attempts
from embedonce.cache.reader import CacheReader
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.removal_document import Removal, begin_removal
from embedonce.cache.repair import purge, repair
from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import open_reader, open_writer, refuse_busy
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity, planned_video
from tests.support.cache_parts import make_cache, problems, requests_of, with_fingerprints
from tests.support.memory_store import MemoryLock, MemoryStore
from tests.support.shared_units import LABELS, PLAIN, TENSORS, VIEWS, batch_of, clips_of, fingerprint_of
from tests.support.shared_writers import (
    VIDEOS,
    commit,
    complaints,
    computed_by,
    head_of,
    label,
    plan,
    whole_problems,
    work,
)
from tests.support.turns import Task, finish, taking_turns

IDENTITY = make_cache_identity("webdataset")


def shared_writer(root, identity=IDENTITY):
    return open_writer(root, identity, is_shared=True)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(opening, "_PATIENCE_SEC", -1)


# -- who is let in -----------------------------------------------------------------------------------------------------

ALONE = {
    "refuse_busy": refuse_busy,
    "open_writer": lambda root: open_writer(root, IDENTITY),
    "repair": lambda root: repair(root, None),
    "purge": purge,
    "rebuild_plan": rebuild_plan,
    "remove": lambda root: remove(root, videos_removal(["a"], is_withdrawal=False)),
    "merge": lambda root: merge([root.with_name("other")], root),
    "convert": lambda root: convert(root.with_name("other"), root, "webdataset"),
}


@pytest.mark.parametrize("door", ALONE)
def test_whatever_needs_the_cache_alone_is_refused_while_others_share_it(tmp_path, door):
    make_cache(tmp_path / "other", VIDEOS, backend="webdataset")
    root = make_cache(tmp_path / "cache", VIDEOS, backend="webdataset")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with (
        closing(shared_writer(root)),
        closing(shared_writer(root)),
        pytest.raises(BusyError, match=r"is being written by one or more processes that share it, .*; wait for all"),
    ):
        ALONE[door](root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    open_writer(root, IDENTITY).close()


def test_shared_writers_are_refused_while_one_has_the_cache_alone(tmp_path, impatient):
    root = tmp_path / "cache"
    with closing(open_writer(root, IDENTITY)):
        for call in (lambda: shared_writer(root), lambda: refuse_busy(root, is_shared=True)):
            with pytest.raises(BusyError, match="is being written by another process; wait for it to end"):
                call()
    refuse_busy(root, is_shared=True)
    with closing(shared_writer(root)):
        refuse_busy(root, is_shared=True)


def test_writers_with_other_settings_are_refused(tmp_path):
    with (
        closing(shared_writer(tmp_path / "cache")),
        pytest.raises(IdentityMismatchError, match="jpeg_quality: 90 -> 80"),
    ):
        shared_writer(tmp_path / "cache", replace(IDENTITY, jpeg_quality=80))


def test_many_that_open_a_new_cache_at_once_all_get_in(tmp_path):
    start, writers = threading.Barrier(8), []

    def open_shared():
        start.wait()
        writers.append(shared_writer(tmp_path / "cache"))

    threads = [threading.Thread(target=open_shared) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(closing(writer))
        assert len(writers) == 8
        with pytest.raises(BusyError):
            refuse_busy(tmp_path / "cache")


def test_temporary_files_of_living_writers_stay_and_those_of_dead_ones_are_deleted_by_the_first(tmp_path):
    root = make_cache(tmp_path / "cache", VIDEOS, backend="webdataset")
    left = root / "frames" / ".tmp-1-abc"
    left.write_bytes(b"half a shard")
    with closing(shared_writer(root)):
        assert not left.exists()
        left.write_bytes(b"half a shard")
        shared_writer(root).close()
        assert left.exists()


def disturbed(monkeypatch, root: Path, times: int) -> None:
    """Others open the cache, and delete what looks like a leftover, just when a file is about to get its name."""
    link, left = commit_module._link_exclusively, iter(range(times))

    def late(temp, path):
        if next(left, None) is not None:
            open_writer(root, IDENTITY).close()
        link(temp, path)

    monkeypatch.setattr(commit_module, "_link_exclusively", late)


def test_whoever_opens_a_cache_does_not_disturb_those_who_are_about_to(tmp_path, monkeypatch):
    root = make_cache(tmp_path / "cache", VIDEOS, backend="webdataset")
    before = sorted(path.name for path in root.iterdir())
    disturbed(monkeypatch, root, 2)
    LocalStore(root).check_writable()
    assert sorted(path.name for path in root.iterdir()) == before


def test_whoever_claims_a_cache_does_not_disturb_those_who_do_so_too(tmp_path, monkeypatch):
    publish = commit_module.publish

    def late(path, data):
        monkeypatch.setattr(commit_module, "publish", publish)
        disturbed(monkeypatch, tmp_path / "cache", 1)
        publish(path, data)

    monkeypatch.setattr(commit_module, "publish", late)
    shared_writer(tmp_path / "cache").close()


def test_the_first_of_several_finishes_a_removal_and_nobody_joins_beside_an_unfinished_one(tmp_path, impatient):
    root = make_cache(tmp_path / "cache", VIDEOS, backend="webdataset")
    begin_removal(Layout.at(root), Removal(label_sets=("plain",)))
    with closing(shared_writer(root)) as writer:
        assert not Layout.at(root).removal.exists() and writer.reader().label_sets() == ("computed", "main")
        begin_removal(Layout.at(root), Removal(label_sets=("main",)))
        with pytest.raises(BusyError, match=r"a removal from .* was interrupted, and others write into it now: wait"):
            shared_writer(root)
        assert writer.reader().label_sets() == ("computed", "main")
    open_writer(root, IDENTITY).close()
    assert open_reader(root).label_sets() == ("computed",)


def test_who_has_lost_the_lock_commits_nothing(monkeypatch):
    store = MemoryStore()
    with closing(shared_writer(store)) as writer:
        (unit,) = plan(writer, {"a": range(2)})
        monkeypatch.setattr(MemoryLock, "check", lost)
        with pytest.raises(BusyError):
            commit(writer, unit, 0)
    assert store.list("records") == []


def lost(lock) -> None:
    raise BusyError("another process has taken the lock")


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


def test_a_video_that_takes_several_parts_is_planned_whole_although_others_plan_in_between(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_writer, "cut_parts", partial(cut_parts, num_bytes=1000))  # a unit each
    with closing(shared_writer(tmp_path / "cache")) as first, closing(shared_writer(tmp_path / "cache")) as second:
        publish, others = first._plan.publish, iter([{"b": range(2)}, {}, {"c": range(2)}, {"a": range(9)}])

        def late(part):
            plan(second, next(others, {}))
            return publish(part)

        monkeypatch.setattr(first._plan, "publish", late)
        assert len(plan(first, {"a": range(12)})) == 3
    assert complaints(tmp_path / "cache", {"a": range(12), "b": range(2), "c": range(2)}) == []
    reader = open_reader(tmp_path / "cache")
    assert sum(len(s.request_k) for p in reader.plan() for u in p.units for s in u.segments if s.video_uid == "a") == 12


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


# -- label sets --------------------------------------------------------------------------------------------------------


def writing_labels(root, machine: int):
    with closing(shared_writer(root)) as writer:
        labels = writer.create_label_set(LABELS, safetensors.numpy.save(head_of(machine)))
        writer.publish_clips("main", 0, [])
        return labels


def test_two_that_create_a_label_set_at_once_agree_on_one_head(monkeypatch):
    taking_turns(monkeypatch, MemoryStore)
    for before in range(0, 80, 3):
        store = MemoryStore()
        open_writer(store, IDENTITY).close()
        tasks = [Task(partial(writing_labels, store, machine)) for machine in (1, 2)]
        tasks[0].go_on(before)
        tasks[1].go_on()
        finish(*tasks)
        assert [task.end() for task in tasks] == [LABELS, LABELS]
        assert open_reader(store).head("main") is not None, f"after {before} requests"


def test_a_head_with_other_values_is_refused(tmp_path):
    with closing(shared_writer(tmp_path / "cache")) as first, closing(shared_writer(tmp_path / "cache")) as second:
        other = safetensors.numpy.save({**TENSORS, "logit_scale": np.array([4.0], np.float32)})
        (tmp_path / "cache" / "labels" / "main").mkdir()
        (tmp_path / "cache" / "labels" / "main" / "tensors.safetensors").write_bytes(other)
        with pytest.raises(LabelSetError, match="has another head than was computed now"):
            first.create_label_set(LABELS, safetensors.numpy.save(TENSORS))
        first.create_label_set(LABELS, other)
        with pytest.raises(LabelSetError, match="has another head than was computed now"):
            second.create_label_set(LABELS, safetensors.numpy.save(TENSORS))
        second.create_label_set(LABELS, other)


def test_clips_of_a_part_are_those_of_who_is_first(two):
    first, second = two
    for writer in two:
        writer.create_label_set(PLAIN, None)
        writer.publish_clips("plain", 0, clips_of(writer.plan[0], 1))
    second.refresh()
    assert second.reader().label_set("plain").clips == tuple(clips_of(first.plan[0], 1))


def revising(store, number: int):
    with closing(shared_writer(store)) as writer:
        parts = writer.plan if number else writer.plan[:1]
        writer.revise_clips("plain", [clips_of(part, 1) for part in parts])


def test_clips_that_two_revise_at_once_are_revised_as_far_as_either_says(monkeypatch):
    taking_turns(monkeypatch, MemoryStore)
    for before in range(20, 80, 2):
        store = MemoryStore()
        with closing(open_writer(store, IDENTITY)) as writer:
            plan(writer, {"a": range(2)}), plan(writer, {"b": range(2)})
            writer.create_label_set(PLAIN, None)
            for part in writer.plan:
                writer.publish_clips("plain", part.part, clips_of(part, 0))
        tasks = [Task(partial(revising, store, number)) for number in (0, 1)]
        tasks[0].go_on(before)
        tasks[1].go_on()
        finish(*tasks)
        [task.end() for task in tasks]
        assert [clip.label for clip in open_reader(store).label_set("plain").clips] == [1, 1]


# -- attempts and manifest ---------------------------------------------------------------------------------------------


def test_no_attempt_is_lost_when_several_count_at_once(tmp_path):
    root, start = tmp_path / "cache", threading.Barrier(4)
    with closing(open_writer(root, IDENTITY)) as writer:
        writer.count_attempt("v", "killed by SIGSEGV")
        writer.count_attempt("v", "killed by SIGSEGV")
        assert len(list((root / "attempts").iterdir())) == 1  # as ever

    def count() -> None:
        with closing(shared_writer(root)) as writer:
            start.wait()
            for _ in range(5):
                writer.count_attempt("v", "hung")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(shared_writer(root)) as writer:
        assert writer.attempts() == read_attempts(Layout.at(root).attempts) == {"v": DecodeAttempts(22, "hung")}
        writer.count_attempt("w", "hung")
    assert problems(root) == []
    with closing(open_writer(root, IDENTITY)) as writer:
        writer.count_attempt("v", "hung again")
        assert writer.attempts()["v"].attempts == 23
        writer.forget_attempts("v")
        assert writer.attempts() == {"w": DecodeAttempts(1, "hung")}
    remove(root, videos_removal(["w"], is_withdrawal=True))
    assert list((root / "attempts").iterdir()) == []


def test_quarantine_ends_all_counts(tmp_path):
    with closing(shared_writer(tmp_path / "cache")) as writer:
        for _ in range(3):
            writer.count_attempt("v", "hung")
        writer.quarantine("v", QuarantinedVideo("v.mp4", "it hangs"))
        assert writer.attempts() == {} and writer.quarantined().keys() == {"v"}


def test_a_renamed_attempt_is_found(tmp_path):
    with closing(shared_writer(tmp_path / "cache")) as writer:
        for _ in range(2):
            writer.count_attempt("v", "hung")
        folder = tmp_path / "cache" / "attempts"
        (second,) = folder.glob("*-000002.json")
        second.rename(folder / file_name("other").replace(".json", "-000002.json"))
    assert any("it was renamed or copied" in problem for problem in problems(tmp_path / "cache"))


def ending(store, number: int):
    """Commit a unit and write the manifest, as a part does at its end."""
    with closing(shared_writer(store)) as writer:
        commit(writer, writer.units[number], 0)
        writer.write_manifest()


def test_the_manifest_has_everything_when_the_last_writer_has_ended(monkeypatch):
    taking_turns(monkeypatch, MemoryStore)
    original = MemoryStore()
    with closing(open_writer(original, IDENTITY)) as writer:
        plan(writer, {"a": range(8)})
        writer.write_manifest()
    for before in range(0, 90, 2):
        store = MemoryStore()
        store.files = dict(original.files)
        tasks = [Task(partial(ending, store, number)) for number in (0, 1)]
        tasks[0].go_on(before)
        tasks[1].go_on()
        finish(*tasks)
        [task.end() for task in tasks]
        layout = Layout(store)
        assert read_manifest(layout) == build_manifest(Catalog(layout, IDENTITY)), f"after {before} requests"
        assert len(read_manifest(layout)["shards"]) == 2


def test_logits_that_are_committed_out_of_order_are_no_problem_while_writers_live(tmp_path):
    root = tmp_path / "cache"
    with closing(shared_writer(root)) as writer:
        units = plan(writer, {"a": range(8)})
        for unit in units:
            commit(writer, unit, 0)
        writer.create_label_set(LABELS, safetensors.numpy.save(TENSORS))
        writer.publish_clips("main", 0, clips_of(writer.plan[0], 1))
        keys = batch_of(units[1]).keys
        logits = logits_from(TENSORS, writer.reader().all_embeddings(units[1].name))
        writer.commit_logits("main", units[1].name, keys, logits, {})
        assert verify(root).problems == []


@pytest.mark.parametrize("place", ["local", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_writers_that_do_halves_at_the_same_time_leave_a_whole_cache(place):
    root, halves = place.location, ({"a": VIDEOS["a"], "b": VIDEOS["b"]}, {"c": VIDEOS["c"], "d": VIDEOS["d"]})
    with closing(shared_writer(root)) as first, closing(shared_writer(root)) as second:
        own = plan(first, halves[0])
        work(second, halves[1], machine=2)  # and commits what the first one has planned
        commit(first, own[0], 1)
        label(first, 1)
        first.write_manifest()
    assert whole_problems(root) == []
    assert place.names("attempts") == [] and open_reader(root).num_rows == 18
