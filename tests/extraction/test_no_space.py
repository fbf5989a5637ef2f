"""Full disks, missing permissions and concurrent runs: the error message, what is kept, and that a rerun continues.

The disk fills at every single operation of a writer, and at important files of a whole extraction.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedonce.cache import commit
from embedonce.cache.errors import AlreadyCommittedError, StorageError
from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.extraction import teacher_loading
from tests.commands.test_cli import call, error_of
from tests.conftest import make_cache_identity, second_backend_slow
from tests.support.crash_session import IN_FLUX, UNITS, contents, run_session
from tests.support.fake_teacher import FakeTeacher
from tests.support.full_disk import FullDisk, mount, mounted, tree
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

FULL = re.compile(r"is full \([\d.]+ MB free, [\d.]+ MB needed .*everything committed is safe: make space and run")
LAST_RECORD = "the last record"
NAMES = {  # file that does not fit -> how many of the two videos are pending then
    "plan/000000.json": 2,
    "extract_config.yaml": 2,
    LAST_RECORD: 1,
    "manifest.json": 0,
    "labels/zero-shot/records/000002.json": 0,
}
ACCOUNT = re.compile(r"listed 2 videos = (\d) committed \+ 0 quarantined \+ (\d) pending")


class Teacher(FakeTeacher):
    loaded = 0  # number of times

    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture(autouse=True)
def teacher(monkeypatch) -> type[Teacher]:
    def load(config):
        Teacher.loaded += 1
        return Teacher()

    monkeypatch.setattr(teacher_loading, "load_teacher", load)
    monkeypatch.setattr(Teacher, "loaded", 0)
    return Teacher


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for action in ("cut", "stir"):
        (root / action).mkdir()
        write_video(root / action / "a.mp4", 30)
    return root


@pytest.fixture
def arguments(videos, tmp_path, backend) -> list:
    """A command that creates a cache of four units."""
    options = {"data-dir": videos, "cache-dir": tmp_path / "c", "backend": backend, "fps": 4, "shard-frames": 2}
    options |= {"batch-size": 2, "decode-workers": 1}
    return ["extract-teacher", *(word for name, value in options.items() for word in (f"--{name}", value))]


# -- a full disk ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_disk_that_fills_at_any_operation_loses_nothing_and_the_session_resumes(tmp_path, backend):
    disk = FullDisk(tmp_path / "whole")
    with disk.filling():
        run_session(tmp_path / "whole" / "cache", backend)
    whole, seen, complaints = contents(tmp_path / "whole" / "cache", backend), [], []
    assert len(disk.names) > 120
    for room, name in enumerate(disk.names):
        root, promised = tmp_path / f"{room}" / "cache", {}
        with FullDisk(root.parent, room).filling(), pytest.raises(OSError) as caught:
            run_session(root, backend, promised.__setitem__)
        if not isinstance(caught.value, StorageError) or not FULL.search(str(caught.value)):
            complaints.append(f"no room for operation {room}, on {name}: {caught.value!r}")
        complaints += [f"after {room} operations: {path} was left" for path in root.rglob(f"{commit.TEMP_PREFIX}*")]
        if (left := (tree(root), promised)) in seen:
            continue  # several operations in a row leave the same state
        seen.append(left)
        found = contents(root, backend)
        kept = {key: value for key, value in promised.items() if value is not IN_FLUX}
        complaints += [f"after {room} operations: {key} is lost" for key in kept if found.get(key) != kept[key]]
        run_session(root, backend)
        assert contents(root, backend) == whole, f"after {room} operations"
    assert complaints == [] and len(seen) > 30


@second_backend_slow
@pytest.mark.slow
def test_a_disk_that_fills_during_extraction_ends_with_exit_code_5_and_a_summary(arguments, tmp_path, backend, caplog):
    disk, cache_dir = FullDisk(tmp_path), tmp_path / "c"
    with disk.filling():
        call(*arguments)
    whole = tree(cache_dir)
    last_record = [name for name in disk.names if name.startswith("c/records/")][-1]
    for name, pending in NAMES.items():
        shutil.rmtree(cache_dir)
        caplog.clear()
        written = last_record if name == LAST_RECORD else f"c/{name}"
        with FullDisk(tmp_path, disk.names.index(written)).filling():
            told = error_of(*arguments, code=5)
        assert FULL.search(told) and tree(cache_dir).items() <= whole.items()
        accounts = {tuple(map(int, found)) for found in ACCOUNT.findall(caplog.text)}
        is_planned = name != "plan/000000.json"  # without a plan there is no summary
        assert accounts == {(2 - pending, pending)} or not (accounts or is_planned), name
        commit.Lock(cache_dir / ".writer.lock").close()  # the lock is free again
        call(*arguments)
        assert tree(cache_dir) == whole, name


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=4m") as folder:
        yield folder


@second_backend_slow
@pytest.mark.integration
def test_a_real_disk_that_fills_while_frames_are_extracted(
    arguments, tmp_path, small_disk, teacher, monkeypatch, caplog
):
    call(*arguments)
    place, cache_dir, filler = arguments.index(tmp_path / "c"), small_disk / "c", small_disk / "filler"
    embed = teacher.embed

    def fill_and_embed(self, crops):
        if len(list(cache_dir.glob("records/*"))) >= 2 and not filler.exists():
            filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 20_000))
        return embed(self, crops)

    monkeypatch.setattr(teacher, "embed", fill_and_embed)
    arguments[place] = cache_dir
    told = error_of(*arguments, code=5)
    assert FULL.search(told) and set(ACCOUNT.findall(caplog.text)) == {("1", "1")}
    assert len(open_reader(cache_dir).records) in (2, 3)
    filler.write_bytes(b"")
    call(*arguments)
    assert tree(cache_dir) == tree(tmp_path / "c")


@second_backend_slow
@pytest.mark.integration
def test_too_little_space_is_reported_before_the_teacher_is_loaded(arguments, tmp_path, teacher, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=400_000))  # 8 frames at 60 kB
    told = error_of(*arguments, code=5)
    assert re.search(r"needs about [\d.]+ .B more and its disk has [\d.]+ .B free; make space, or choose another", told)
    assert teacher.loaded == 0 and not (tmp_path / "c").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=500_000))
    call(*arguments)
    before = tree(tmp_path / "c")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    call(*arguments)  # no work is left
    (tmp_path / "c" / "records" / "000001.json").unlink()
    before.pop("records/000001.json")
    assert "make space" in error_of(*arguments, code=5)
    assert teacher.loaded == 2 and tree(tmp_path / "c") == before


# -- a disk that is not writable --------------------------------------------------------------------------------


@second_backend_slow
@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.integration
def test_a_target_that_is_not_writable_is_reported_before_the_teacher_is_loaded(arguments, tmp_path, teacher, is_new):
    if not is_new:
        call(*arguments)
    before, loaded = tree(tmp_path), teacher.loaded
    for error in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EIO):
        with FullDisk(tmp_path, 0, error).filling():
            told = error_of(*arguments, code=5)
        assert "full" in told if error == errno.EDQUOT else "cannot be written" in told and os.strerror(error) in told
    assert teacher.loaded == loaded and tree(tmp_path) == before


def test_a_disk_mounted_read_only_is_reported_before_the_teacher_is_loaded(arguments, tmp_path, small_disk, teacher):
    arguments[arguments.index(tmp_path / "c")] = small_disk / "new" / "c"
    mount("-o", "remount,ro", small_disk)
    told = error_of(*arguments, code=5)
    assert "cannot be written (Read-only file system); choose a folder you may write to" in told
    assert teacher.loaded == 0 and list(small_disk.iterdir()) == []


def test_a_folder_without_permission_is_reported_before_the_teacher_is_loaded(arguments, tmp_path, teacher):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("permissions do not bind root")
        told = error_of(*arguments, code=5)
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written (Permission denied)" in told and teacher.loaded == 0


# -- two writers ---------------------------------------------------------------------------------------------------


@second_backend_slow
@pytest.mark.integration
def test_a_second_concurrent_run_is_refused_and_changes_nothing(arguments, tmp_path, backend, teacher):
    call(*arguments)
    before, loaded = tree(tmp_path), teacher.loaded
    first = open_writer(tmp_path / "c", open_reader(tmp_path / "c").identity)
    told = error_of(*arguments, code=4)
    assert told == f"{tmp_path / 'c'} is being written by another process; wait for it to end"
    assert teacher.loaded == loaded and tree(tmp_path) == before
    first.close()
    call(*arguments)


@second_backend_slow
@pytest.mark.integration
def test_a_run_is_refused_if_another_one_starts_while_it_loads_its_teacher(arguments, tmp_path, backend, monkeypatch):
    call(*arguments)
    shutil.move(tmp_path / "c", tmp_path / "other")
    first = []

    def load(config):
        shutil.move(tmp_path / "other", tmp_path / "c")
        first.append(open_writer(tmp_path / "c", open_reader(tmp_path / "c").identity))
        return Teacher()

    monkeypatch.setattr(teacher_loading, "load_teacher", load)
    before = tree(tmp_path / "other")
    assert "is being written by another process" in error_of(*arguments, code=4)
    assert tree(tmp_path / "c") == before
    first[0].close()


@pytest.mark.parametrize("folder", ["frames", "records"])
def test_a_writer_that_lost_the_race_for_a_unit_leaves_the_shard_as_it_was(tmp_path, backend, monkeypatch, folder):
    """Without a lock: the first writer commits the unit just before the second publishes it."""
    root, publish, before = tmp_path / "c", commit.publish, {}
    first = open_writer(root, make_cache_identity(backend))
    first.close()
    second = open_writer(root, make_cache_identity(backend))

    def late(path: Path, data: bytes) -> None:
        if path.parent.name == folder and not before:
            before["being written"] = None
            first.commit_frames("000000", UNITS["000000"], {})
            before.update(tree(root))
        publish(path, data)

    monkeypatch.setattr(commit, "publish", late)
    with pytest.raises(AlreadyCommittedError, match="000000"):
        second.commit_frames("000000", UNITS["000003"], {})
    del before["being written"]
    assert tree(root) == before
    assert open_reader(root).batch("000000").jpegs == UNITS["000000"].jpegs
    second.close()
