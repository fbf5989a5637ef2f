"""File systems without hard links, locks or fsync of folders: done otherwise where that is safe, else refused first."""

import ctypes
import errno
import fcntl
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from embedonce.cache import commit, exclusive_rename
from embedonce.cache.errors import AlreadyCommittedError, StorageError
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.cache.test_repair import failing
from tests.extraction.test_runner import make_source
from tests.support.crash_session import contents, examine, run_session
from tests.support.crash_states import Explorer
from tests.support.recorded_operations import Killed, Naming, Recorder

pytestmark = pytest.mark.usefixtures("forked_workers")

NO_LINKS = [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV, errno.EACCES]
NO_LOCKS = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL]


def without_links(patch, code: int = errno.EPERM) -> None:
    def refused(*arguments, **keywords):
        raise OSError(code, os.strerror(code))

    patch.setattr(os, "link", refused)


def without_locks(patch, code: int = errno.ENOLCK, of=lambda mode: True) -> None:
    """of: mode of a file -> whether it is one of those that cannot be locked."""
    flock = fcntl.flock

    def refused(handle, operation):
        if of(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        flock(handle, operation)

    patch.setattr(fcntl, "flock", refused)


def without_noreplace(patch) -> None:
    class Library:
        def __init__(self, *arguments, **keywords):
            pass

    patch.setattr(exclusive_rename.ctypes, "CDLL", Library)


def recorded_noreplace(patch, recorder: Recorder) -> None:
    """Let a recorder see the system call that renames without replacing."""
    renamed = recorder._naming("rename", exclusive_rename._rename_noreplace)
    patch.setattr(exclusive_rename, "_rename_noreplace", renamed)


def published_once(folder) -> bool:
    """Whether one of two publications under a name holds, with nothing beside it."""
    commit.publish(folder / "x", b"data")
    with pytest.raises(AlreadyCommittedError, match="exists already"):
        commit.publish(folder / "x", b"other")
    return (folder / "x").read_bytes() == b"data" and os.listdir(folder) == ["x"]


# -- names that nobody has ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", NO_LINKS)
def test_without_hard_links_names_are_given_once(tmp_path, monkeypatch, code):
    without_links(monkeypatch, code)
    assert published_once(tmp_path)


@pytest.mark.parametrize("code", [*NO_LOCKS, errno.EBADF])
def test_without_locks_on_folders_names_are_given_once(tmp_path, monkeypatch, code):
    without_links(monkeypatch)
    without_locks(monkeypatch, code, of=stat.S_ISDIR)
    assert published_once(tmp_path)


def test_nothing_is_published_on_a_file_system_without_exclusive_names(tmp_path, monkeypatch):
    without_links(monkeypatch)
    without_locks(monkeypatch, of=stat.S_ISDIR)
    without_noreplace(monkeypatch)
    for call in (
        partial(commit.publish, tmp_path / "x", b"data"),
        partial(commit.check_writable, tmp_path / "cache", is_cache=True),
    ):
        with pytest.raises(StorageError, match=r"no hard links, locks on folders.*choose a folder on another"):
            call()
    assert os.listdir(tmp_path) == []


def test_macos_renames_without_replacing(tmp_path, monkeypatch):
    class Library:
        def __init__(self, *arguments, **keywords):
            self.renamex_np = self._renamed

        def _renamed(self, temp: bytes, path: bytes, flags: int) -> int:
            assert flags == 4  # RENAME_EXCL
            if os.path.exists(path):
                ctypes.set_errno(errno.EEXIST)
                return -1
            os.rename(temp, path)
            return 0

    without_links(monkeypatch)
    without_locks(monkeypatch, of=stat.S_ISDIR)
    monkeypatch.setattr(exclusive_rename.ctypes, "CDLL", Library)
    assert published_once(tmp_path)


@pytest.mark.parametrize("locks", [True, False])
def test_one_of_many_at_once_gets_the_name(tmp_path, monkeypatch, locks):
    without_links(monkeypatch)
    if not locks:
        without_locks(monkeypatch, of=stat.S_ISDIR)

    def attempt(number: int) -> bytes | None:
        try:
            commit.publish(tmp_path / "x", b"%d" % number * 1000)
        except AlreadyCommittedError:
            return None
        return b"%d" % number * 1000

    with ThreadPoolExecutor(8) as pool:
        won = [data for data in pool.map(attempt, range(40)) if data]
    assert won == [(tmp_path / "x").read_bytes()] and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("locks", [True, False])
def test_a_name_is_never_empty_whenever_the_process_is_killed(tmp_path, monkeypatch, locks):
    without_links(monkeypatch)
    if not locks:
        without_locks(monkeypatch, of=stat.S_ISDIR)
    whole, moments = [], 0
    while not (whole and whole[-1]):
        folder = tmp_path / str(moments)
        folder.mkdir()
        recorder = Recorder(folder, dies_after=moments)
        try:
            with recorder.recording(), pytest.MonkeyPatch.context() as patch:
                without_links(patch)
                recorded_noreplace(patch, recorder)
                commit.publish(folder / "x", b"data")
            whole.append(True)
        except Killed:
            whole.append(False)
        recorder.dies_after = float("inf")
        assert not (folder / "x").exists() or (folder / "x").read_bytes() == b"data"
        moments += 1
    assert moments > 4


@pytest.mark.parametrize("locks", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.integration
def test_a_session_without_hard_links_survives_every_power_cut(tmp_path, locks):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "session").mkdir()
    recorder = Recorder(tmp_path / "session")
    with recorder.recording(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fsync)
        without_links(patch)
        if not locks:
            without_locks(patch, of=stat.S_ISDIR)
            recorded_noreplace(patch, recorder)
        run_session(tmp_path / "session" / "cache", "hdf5", recorder.mark)
    explorer = Explorer(tmp_path / "scratch", partial(examine, "hdf5"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        without_links(patch)
        assert list(dict.fromkeys(explorer.violations(recorder))) == []
    assert any(isinstance(step, Naming) and None in step.names.values() for step in recorder.operations)
    assert contents(tmp_path / "session" / "cache", "hdf5").keys() >= {"identity", "000003", "clips"}


# -- locks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", NO_LOCKS)
def test_a_file_system_without_locks_is_refused_by_name(tmp_path, monkeypatch, code):
    without_locks(monkeypatch, code)
    for call in (lambda: commit.Lock(tmp_path / "lock"), lambda: commit.check_writable(tmp_path, is_cache=True)):
        with pytest.raises(StorageError, match=r"no file locks \(flock\).*choose a folder on another file system"):
            call()
    assert set(os.listdir(tmp_path)) <= {"lock"}


def test_it_is_refused_before_any_work(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    loaded = []
    config = ExtractConfig(tmp_path, False, tmp_path / "cache")
    with pytest.raises(StorageError, match="no file locks"):
        extract(config, make_source(tmp_path, ["a"]), lambda: loaded.append(1))
    assert not loaded and os.listdir(tmp_path) == []


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EISDIR]
)
def test_missing_fsync_of_folders_is_accepted(tmp_path, monkeypatch, code):
    fsync = os.fsync

    def refused(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refused)
    commit.make_folder(tmp_path / "a")
    assert published_once(tmp_path / "a")


def test_a_parent_folder_that_cannot_be_opened_is_accepted_whatever_access_returns(tmp_path, monkeypatch):
    """access() asks the local system; a server may refuse what it allows."""
    failing(monkeypatch, "open", tmp_path, errno.EACCES)
    commit.make_folder(tmp_path / "cache")
    assert (tmp_path / "cache").is_dir()


def test_a_parent_whose_fsync_fails_is_an_error(tmp_path, monkeypatch):
    failing(monkeypatch, "open", tmp_path, errno.EIO)
    with pytest.raises(StorageError, match="Input/output error"):
        commit.make_folder(tmp_path / "cache")
