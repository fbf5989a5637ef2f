"""Several writers of one cache: who is let in, and what may be put in order while others write."""

import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from embedonce.cache import commit as commit_module
from embedonce.cache import opening
from embedonce.cache.convert import convert
from embedonce.cache.errors import (
    BusyError,
    IdentityMismatchError,
)
from embedonce.cache.layout import Layout
from embedonce.cache.merging.merge import merge
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.removal_document import Removal, begin_removal
from embedonce.cache.repair import purge, repair
from embedonce.cache.store import open_reader, open_writer, refuse_busy
from embedonce.cache.stores.local import LocalStore
from tests.support.cache_parts import make_cache
from tests.support.memory_store import MemoryLock, MemoryStore
from tests.support.shared_writers import (
    IDENTITY,
    VIDEOS,
    commit,
    plan,
    shared_writer,
)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(opening, "_PATIENCE_SEC", -1)


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
