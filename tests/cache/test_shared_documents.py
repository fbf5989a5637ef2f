"""What several writers of one cache write together: label sets, attempts, the manifest."""

import threading
from contextlib import closing
from functools import partial

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache.catalog import Catalog
from embedonce.cache.errors import (
    LabelSetError,
)
from embedonce.cache.heads import logits_from
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import build_manifest, read_manifest
from embedonce.cache.quarantine import DecodeAttempts, QuarantinedVideo, file_name, read_attempts
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity
from tests.support.cache_parts import problems
from tests.support.memory_store import MemoryStore
from tests.support.shared_units import LABELS, PLAIN, TENSORS, batch_of, clips_of
from tests.support.shared_writers import (
    IDENTITY,
    VIDEOS,
    commit,
    head_of,
    label,
    plan,
    shared_writer,
    whole_problems,
    work,
)
from tests.support.turns import Task, finish, taking_turns


@pytest.fixture
def two(tmp_path, backend):
    """Two writers of one cache with a planned unit."""
    identity = make_cache_identity(backend)
    with closing(shared_writer(tmp_path / "cache", identity)) as first:
        plan(first, {"a": range(3)})
        with closing(shared_writer(tmp_path / "cache", identity)) as second:
            yield first, second


# -- label sets --------------------------------------------------------------------------------------------------------


def writing_labels(root, machine: int):
    with closing(shared_writer(root)) as writer:
        labels = writer.create_label_set(LABELS, safetensors.numpy.save(head_of(machine)))
        writer.publish_clips("main", 0, [])
        return labels


def test_two_that_create_a_label_set_at_once_agree_on_one_head(monkeypatch):
    taking_turns(monkeypatch, MemoryStore)
    for before in range(80):
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
        writer.count_attempt("w", "hung")
    assert problems(root) == []
    with closing(open_writer(root, IDENTITY)) as writer:
        writer.count_attempt("v", "hung again")
        assert writer.attempts()["v"].attempts == 23
        writer.forget_attempts("v")
        assert writer.attempts() == {"w": DecodeAttempts(2, "hung")}
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
