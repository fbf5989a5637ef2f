"""Repairing a cache: only what was read and found damaged is moved, under the lock, and only when the user agrees.

An error of the environment (permissions, a failing disk or network file system) is never damage.
"""

import contextlib
import errno
import itertools
import os
import shutil
import stat
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import commit, documents
from embedonce.cache.errors import BusyError, DamagedError, StorageError
from embedonce.cache.layout import Layout
from embedonce.cache.repair import purge, removed_files, repair
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.cache.verify import Remedy, verify
from embedonce.pipeline.frames.canonical_frame import replayed_crc32 as replay
from tests.cache.test_verify import SUFFIX, cache, flip, originals  # noqa: F401  (fixtures)
from tests.conftest import planned_segment, planned_video, second_backend_slow
from tests.support.crash_states import Explorer
from tests.support.planned_cache import UNITS, make_planned_cache
from tests.support.recorded_operations import Recorder
from tests.support.stored import on_disk, stored

pytestmark = pytest.mark.usefixtures("forked_workers")

LISTED = (
    *("plan", "records", "labels", "labels/zero-shot/label_set.json", "labels/zero-shot/clips"),
    *("labels/zero-shot/records", "quarantine", "attempts"),
)
READ_FILES = (
    *("cache.json", "plan/000000.json", "records/000001.json", "frames/000001.{}"),
    *("labels/zero-shot/label_set.json", "labels/zero-shot/clips/000000.json", "labels/zero-shot/tensors.safetensors"),
    *("labels/zero-shot/records/000001.json", "labels/zero-shot/logits/000001.{}"),
)


def files(root) -> dict:
    """Every file of the cache by its path there, with its bytes; the lock is not one of them."""
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found.pop(".writer.lock", None)
    return found


def failing(monkeypatch, call: str, place, code: int) -> None:
    """Let a function of os fail for one path; its name and type are what the operating system would give."""
    original = getattr(os, call)

    def fails(path, *arguments, **keywords):
        if not isinstance(path, int) and os.fspath(path) == os.fspath(place):
            raise OSError(code, os.strerror(code), str(place))
        return original(path, *arguments, **keywords)

    monkeypatch.setattr(os, call, fails)


def invoke(*arguments, **keywords) -> tuple[int, str]:
    ran = CliRunner().invoke(cli.main, list(map(str, arguments)), **keywords)
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.exit_code, ran.output


CODES = [errno.EACCES, errno.ESTALE, errno.EIO, errno.EMFILE]


def opened_in_vain():
    """Each file with one of the codes and each code with files, shards in both back ends; all the rest is slow."""
    for backend, (n, name), (i, code) in itertools.product(
        ("hdf5", "webdataset"), enumerate(READ_FILES), enumerate(CODES)
    ):
        is_usual = n % len(CODES) == i and (backend == "hdf5" or "frames" in name or "logits" in name)
        yield pytest.param(backend, name, code, marks=() if is_usual else pytest.mark.slow)


@pytest.mark.parametrize(("backend", "name", "code"), [*opened_in_vain()], indirect=["backend"])
@pytest.mark.integration
def test_a_file_that_cannot_be_opened_is_not_called_damaged(cache, backend, monkeypatch, name, code):  # noqa: F811
    before = files(cache)
    failing(monkeypatch, "open", cache / name.format(SUFFIX[backend]), code)
    for command in ("verify-cache", "repair-cache"):
        exit_code, text = invoke(command, "--cache-dir", cache, *(["--yes"] if command == "repair-cache" else []))
        assert exit_code == 5 and os.strerror(code) in text, text
    monkeypatch.undo()
    assert files(cache) == before


@second_backend_slow
@pytest.mark.parametrize("name", LISTED)
@pytest.mark.integration
def test_a_folder_that_cannot_be_listed_is_not_treated_as_empty(cache, monkeypatch, name):  # noqa: F811
    before = files(cache)
    call = "stat" if name.endswith(".json") else "scandir"
    place = cache / name
    failing(monkeypatch, call, place, errno.EACCES)
    for call in (lambda: verify(cache, replay), lambda: repair(cache, replay)):
        with pytest.raises(StorageError, match=r"cannot be (listed|reached): Permission denied"):
            call()
    monkeypatch.undo()
    assert files(cache) == before


@pytest.mark.integration
def test_a_read_that_fails_in_the_middle_of_a_shard_is_not_called_damage(cache, monkeypatch):  # noqa: F811
    before, read = files(cache), os.read
    numbers, fails_at = itertools.count(1), [0]

    def read_or_fail(handle, size):
        if next(numbers) == fails_at[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(handle, size)

    monkeypatch.setattr(os, "read", read_or_fail)
    verify(cache)
    total = next(numbers) - 1
    for fails_at[0] in range(1, total + 1, 3):
        numbers = itertools.count(1)
        with pytest.raises(StorageError, match="Input/output error"):
            repair(cache, None)
    monkeypatch.undo()
    assert total > 20 and files(cache) == before


def test_a_system_error_inside_the_hdf5_library_is_not_called_damage(cache, monkeypatch):  # noqa: F811
    if open_reader(cache).identity.backend != "hdf5":
        pytest.skip("HDF5's own")
    text = "Unable to synchronously open file (unable to lock file, errno = 11, error message = '…')"

    def refused(*arguments, **keywords):
        raise BlockingIOError(11, text)

    monkeypatch.setattr(h5py, "File", refused)
    with pytest.raises(StorageError, match="temporarily unavailable"):
        verify(cache)


@pytest.mark.integration
def test_shards_are_read_while_another_process_holds_a_lock_on_them(cache, backend):  # noqa: F811
    with contextlib.ExitStack() as stack:
        for path in cache.glob(f"frames/*.{SUFFIX[backend]}"):
            stack.enter_context(contextlib.closing(commit.Lock(path)))
        assert verify(cache, replay).problems == []


@pytest.mark.parametrize("lost", ["plan/000000.json", "plan"])
@pytest.mark.integration
def test_units_that_the_plan_lacks_are_kept(cache, lost):  # noqa: F811
    path = cache / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = files(cache)
    report = verify(cache, replay)
    assert len(report.problems) == 4 and {problem.remedy for problem in report.problems} == {Remedy.KEEP}
    code, text = invoke("repair-cache", "--cache-dir", cache, "--yes")
    assert code == 4 and "repair-cache changed nothing" in text and text.count("DOUBTFUL") == 4
    assert f"repair-cache --cache-dir {cache} --rebuild-plan" in text
    assert files(cache) == before


def test_damage_is_repaired_although_the_plan_lacks_units(cache, backend):  # noqa: F811
    (cache / "plan" / "000000.json").unlink()
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    before = files(cache)
    repaired = repair(cache, replay)
    gone = set(before) - set(files(cache))
    assert {name.rpartition("/")[2].partition(".")[0] for name in gone} == {"000002"} and len(repaired.removals) == 1


def test_new_videos_never_take_the_units_of_an_older_plan(cache):  # noqa: F811
    (cache / "plan" / "000000.json").unlink()
    before = files(cache)
    writer = open_writer(cache, read_identity(cache))
    with contextlib.closing(writer), pytest.raises(DamagedError, match="lacks 4 committed units"):
        writer.extend_plan([planned_video("new")], [planned_segment("new", 5)], 8)
    assert files(cache) == before


@pytest.mark.parametrize("name", ["records", "frames", "quarantine", "labels/zero-shot/clips"])
def test_a_missing_folder_is_named_and_nothing_is_done_about_it(cache, name):  # noqa: F811
    shutil.move(cache / name, cache.parent / "elsewhere")
    before = files(cache)
    assert [problem.remedy for problem in verify(cache).problems] == [Remedy.NONE]
    with pytest.raises(DamagedError, match=f"{name} is missing; restore it from a copy"):
        repair(cache, None)
    assert files(cache) == before


def test_a_document_of_another_version_is_kept(cache):  # noqa: F811
    path = cache / "records" / "000001.json"
    body = documents.to_json(documents.parse(path.read_bytes(), "it") | {"format_version": 999})
    path.write_bytes(body[:-1] + documents._checksum_field(body))
    before = files(cache)
    with pytest.raises(DamagedError, match="format version 999"):
        repair(cache, None)
    assert files(cache) == before


def test_repair_is_refused_at_once_while_a_writer_is_open(cache, backend):  # noqa: F811
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    before = files(cache)
    writer = open_writer(cache, open_reader(cache).identity)
    with contextlib.closing(writer), pytest.raises(BusyError):
        repair(cache, replay)
    assert files(cache) == before


def test_the_verification_that_repair_acts_on_is_made_under_the_lock(cache, backend, monkeypatch):  # noqa: F811
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    held = []

    def look(report, removals) -> bool:
        with pytest.raises(BusyError):
            commit.Lock(on_disk(Layout.at(cache).lock))
        held.append(len(removals))
        return False

    def watched(jpeg, views, side):
        with pytest.raises(BusyError):
            commit.Lock(on_disk(Layout.at(cache).lock))
        return replay(jpeg, views, side)

    assert repair(cache, watched, look).folder is None and held == [1]


def test_logits_committed_while_the_cache_is_verified_are_no_damage(cache):  # noqa: F811
    """The frames of a unit are committed between the moment its record was looked for and that of its logits."""
    record = cache / "records" / "000003.json"
    data = record.read_bytes()
    record.unlink()
    shards = []

    def commit_meanwhile(num_shards):
        if not shards:
            record.write_bytes(data)
        shards.append(num_shards)

    assert verify(cache, replay, commit_meanwhile).problems == [] and len(shards) == 7


# -- what a user is asked and shown ------------------------------------------------------------------------------------


@pytest.mark.integration
def test_nothing_is_moved_that_was_not_agreed_to(cache, backend, monkeypatch):  # noqa: F811
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    before = files(cache)
    code, text = invoke("repair-cache", "--cache-dir", cache)
    assert code == 2 and "no terminal to ask on; run it again with --yes" in text and "unit 000002" in text
    assert files(cache) == before
    monkeypatch.setattr("embedonce.pipeline.commands.verification._is_terminal", lambda: True)
    code, text = invoke("repair-cache", "--cache-dir", cache, input="n\n")
    assert code == 0 and "nothing was changed" in text and files(cache) == before
    code, text = invoke("repair-cache", "--cache-dir", cache, input="y\n")
    assert code == 0 and str(cache / "removed" / "000001") in text and files(cache) != before


@pytest.mark.integration
def test_moved_files_stay_until_they_are_purged(cache, backend):  # noqa: F811
    assert "nothing to delete" in invoke("repair-cache", "--cache-dir", cache, "--purge")[1]
    for number, unit in enumerate(("000001", "000002"), 1):
        flip(cache / "frames" / f"{unit}.{SUFFIX[backend]}")
        assert repair(cache, replay).folder.name == f"{number:06d}"
    assert len(removed_files(cache)) == 8
    code, text = invoke("repair-cache", "--cache-dir", cache, "--purge")
    assert code == 2 and len(removed_files(cache)) == 8
    code, text = invoke("repair-cache", "--cache-dir", cache, "--purge", "--yes")
    assert code == 0 and "8 files" in text and not (cache / "removed").exists()
    assert not verify(cache, replay).problems


@pytest.mark.integration
def test_a_link_that_a_repair_moved_is_purged_and_its_target_stays(cache, tmp_path):  # noqa: F811
    (tmp_path / "mine").write_text("keep")
    record = cache / "records" / "000001.json"
    record.unlink()
    record.symlink_to(tmp_path / "mine")
    assert repair(cache, replay).folder is not None
    assert any(Path(str(path)).is_symlink() for path in removed_files(cache))
    code, text = invoke("repair-cache", "--cache-dir", cache, "--purge", "--yes")
    assert code == 0 and not (cache / "removed").exists(), text
    assert (tmp_path / "mine").read_text() == "keep"


def test_purging_follows_no_link(cache, tmp_path):  # noqa: F811
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("keep")
    (cache / "removed").symlink_to(tmp_path / "mine")
    with pytest.raises(DamagedError, match="symbolic link"):
        purge(cache)
    assert (tmp_path / "mine" / "file").read_text() == "keep"


def test_a_folder_that_is_not_a_cache_gets_no_lock_file(tmp_path):
    code, text = invoke("repair-cache", "--cache-dir", tmp_path, "--yes")
    assert code == 4 and "is not a cache" in text and list(tmp_path.iterdir()) == []


# -- power cuts --------------------------------------------------------------------------------------------------------


@second_backend_slow
@pytest.mark.integration
def test_a_power_cut_during_a_repair_loses_no_intact_file(cache, backend, tmp_path):  # noqa: F811
    """Every state that a cut may leave holds every file, in its place or in removed/"""
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    (tmp_path / "recorded").mkdir()
    shutil.move(cache, tmp_path / "recorded" / "cache")
    (tmp_path / "scratch").mkdir()
    whole = set(files(tmp_path / "recorded" / "cache").values())

    def examine(folder) -> tuple[dict, list[str]]:
        lost = whole - set(files(folder / "cache").values())
        repair(folder / "cache", None)
        problems = [problem.message for problem in verify(folder / "cache").problems]
        lost_later = whole - set(files(folder / "cache").values())
        return {}, [f"{len(lost)} files lost"] * bool(lost or lost_later) + problems

    recorder = Recorder(tmp_path / "recorded")
    with recorder.recording():
        repair(tmp_path / "recorded" / "cache", None)
    explorer = Explorer(tmp_path / "scratch", examine)
    assert list(dict.fromkeys(explorer.violations(recorder))) == []
    assert len(recorder.operations) > 20 and len(explorer.examined) > 10


@pytest.mark.integration
def test_a_power_cut_while_repaired_files_are_deleted_loses_nothing_else(tmp_path, monkeypatch):
    """Whatever a cut leaves, the cache itself is untouched but for what its manifest no longer lists, it is sound, and
    deleting can be taken up again."""
    (tmp_path / "recorded").mkdir()
    (tmp_path / "scratch").mkdir()
    root = make_planned_cache(tmp_path / "recorded" / "cache")
    for unit in ("000001", "000004"):
        flip(root / "records" / f"{unit}.json")
        repair(root, None)
    stays = {name: data for name, data in files(root).items() if not name.startswith("removed/")}
    manifests = {stays.pop("manifest.json")}
    recorder = Recorder(tmp_path / "recorded")
    with recorder.recording():
        purge(root)
    end = files(root)
    manifests.add(end["manifest.json"])
    listed = {entry["unit"] for entry in documents.read(stored(root / "manifest.json"))["shards"]}
    assert stays.items() <= end.items() and listed == set(UNITS) - {"000001", "000004"}
    monkeypatch.setattr(os, "fsync", lambda handle: None)

    def examine(folder) -> tuple[dict, list[str]]:
        found = files(folder / "cache")
        complaints = ["what stays is gone"] * (not stays.items() <= found.items())
        complaints += ["the manifest is another one"] * (found["manifest.json"] not in manifests)
        complaints += [problem.message for problem in verify(folder / "cache").problems]
        purge(folder / "cache")
        complaints += [problem.message for problem in verify(folder / "cache").problems]
        return {}, complaints + ["something is left"] * (files(folder / "cache") != end)

    explorer = Explorer(tmp_path / "scratch", examine)
    assert list(dict.fromkeys(explorer.violations(recorder))) == []
    assert len(recorder.operations) > 10 and len(explorer.examined) > 4


@pytest.mark.integration
def test_the_explorer_notices_a_repair_that_renames_before_the_new_name_is_on_disk(cache, backend, tmp_path):  # noqa: F811
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    (tmp_path / "recorded").mkdir()
    shutil.move(cache, tmp_path / "recorded" / "cache")
    whole = set(files(tmp_path / "recorded" / "cache").values())
    recorder = Recorder(tmp_path / "recorded")
    with recorder.recording(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "sync_folder", lambda folder: None)
        repair(tmp_path / "recorded" / "cache", None)
    (tmp_path / "scratch").mkdir()
    look = Explorer(
        tmp_path / "scratch", lambda folder: ({}, ["lost"] * (whole > set(files(folder / "cache").values())))
    )
    assert any(look.violations(recorder))


# -- file systems ------------------------------------------------------------------------------------------------------


def test_a_file_system_without_fsync_of_folders_is_accepted(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuses_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuses_folders)
    commit.make_folder(tmp_path / "a" / "b")
    commit.publish(tmp_path / "a" / "b" / "c", b"data")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"data"


def test_a_failing_fsync_of_a_folder_is_an_error(tmp_path, monkeypatch):
    def fails(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        commit.sync_folder(tmp_path)


def test_a_parent_folder_without_read_permission_is_accepted(tmp_path, monkeypatch):
    failing(monkeypatch, "open", tmp_path, errno.EACCES)
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != str(tmp_path) and access(path, mode))
    commit.make_folder(tmp_path / "cache")
    assert (tmp_path / "cache").is_dir()
