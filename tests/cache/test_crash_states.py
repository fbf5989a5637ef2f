"""Power cuts: every state that one may leave of a cache is opened, checked against the promises, and resumed.

The promises are checked by tests.support.crash_session; tests.support.crash_states enumerates the states.
"""

import os
import stat
from functools import partial

import pytest

from embedonce.cache import commit
from tests.conftest import make_batch, second_backend_slow
from tests.support.crash_session import UNITS, examine, examine_and_resume, race, run_session
from tests.support.crash_states import Disk, Explorer
from tests.support.recorded_operations import Killed, Mark, Naming, Recorder, Sync

pytestmark = pytest.mark.crash


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    """The simulated disk decides what is durable: no test waits for the real one."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def explorer(tmp_path, backend) -> Explorer:
    (tmp_path / "scratch").mkdir()
    return Explorer(tmp_path / "scratch", partial(examine, backend))


@pytest.fixture
def record(tmp_path, backend):
    """record(script, mutate, dies_after) -> the recorder of a script on a new cache, dead or at its end."""

    def start(script=run_session, mutate=lambda patch: None, dies_after=float("inf")) -> Recorder:
        folder = tmp_path / f"session-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        recorder = Recorder(folder, dies_after)
        try:
            with recorder.recording(), pytest.MonkeyPatch.context() as patch:
                mutate(patch)
                script(folder / "cache", backend, recorder.mark)
        except Killed:
            recorder.dies_after = float("inf")
        return recorder

    return start


def resume(recorder: Recorder, backend: str) -> int:
    """Run the session again where a killed one was; returns how many operations there were before."""
    before = len(recorder.operations)
    with recorder.recording():
        run_session(recorder.folder / "cache", backend, recorder.mark)
    return before


def promises(recorder: Recorder) -> dict:
    """What holds at the end of a session, by key."""
    last = {mark.key: mark.value for mark in recorder.operations if isinstance(mark, Mark)}
    return {key: value for key, value in last.items() if value is not None}


# -- the model -----------------------------------------------------------------------------------------------------


def test_the_disk_model_guarantees_what_posix_guarantees(tmp_path):
    def states() -> list[dict]:
        found = {str(sorted(tree.items())): tree for tree in Disk(recorder).after(recorder.operations).trees()}
        return sorted(found.values(), key=lambda tree: (len(tree), str(tree)))

    recorder, f, g = Recorder(tmp_path), tmp_path / "f", tmp_path / "g"
    with recorder.recording():
        with open(f, "xb") as file:
            file.write(b"abcd")
            file.flush()
            recorder.mark("f", b"abcd")  # and so the recorder looks at it
            assert states() == [{}, {"f": b""}, {"f": b"ab"}, {"f": b"abcd"}]
            os.fsync(file.fileno())
        assert states() == [{}, {"f": b"abcd"}]
        os.link(f, g)
        assert states() == [{}, {"f": b"abcd"}, {"g": b"abcd"}, {"f": b"abcd", "g": b"abcd"}]
        commit.sync_folder(tmp_path)
        assert states() == [{"f": b"abcd", "g": b"abcd"}]
        f.unlink()
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "h").touch()
        assert {"g": b"abcd", "f": b"abcd"} in states() and {"g": b"abcd", "d": None, "d/h": b""} in states()
        os.replace(tmp_path / "d" / "h", tmp_path / "d" / "i")
        commit.sync_folder(tmp_path / "d")
        assert states()[-1] == {"f": b"abcd", "g": b"abcd", "d": None, "d/i": b""}
        assert {"g": b"abcd", "f": b"abcd"} in states() and len(states()) == 4  # a folder's name hides what is in it


def test_every_file_operation_of_a_session_is_recorded(record):
    recorder = record()
    on_disk = {
        str(path.relative_to(recorder.folder)): path.read_bytes() if path.is_file() else None
        for path in recorder.folder.rglob("*")
    }
    assert Disk(recorder).after(recorder.operations).tree() == on_disk and len(on_disk) > 20


# -- what the cache promises -----------------------------------------------------------------------------------------


@second_backend_slow
def test_every_state_after_a_power_cut_is_valid_complete_and_can_be_resumed(record, explorer, backend):
    recorder = record()
    explorer.examine = partial(examine_and_resume, backend, promises(recorder))
    assert list(dict.fromkeys(explorer.violations(recorder))) == []
    assert explorer.num_states > 1000 and len(explorer.examined) > 50


@second_backend_slow
def test_a_shard_that_a_killed_run_left_without_a_record_is_replaced_durably(record, explorer, backend):
    steps = [step for step in record().operations if not isinstance(step, Mark)]
    before_record = next(i for i, step in enumerate(steps) if isinstance(step, Naming) and "000001.json" in step.names)
    other_bytes = UNITS | {"000001": make_batch(*UNITS["000001"].segments, seed=9)}
    recorder = record(partial(run_session, units=other_bytes), dies_after=before_record)
    first = resume(recorder, backend)
    assert list(dict.fromkeys(explorer.violations(recorder, first))) == []


@second_backend_slow
@pytest.mark.slow
def test_files_of_a_killed_run_are_durable_when_the_next_run_ends(record, explorer, backend):
    """kill -9 after any change of names, the session taken up again and done, and then a power cut."""
    steps, lost = [step for step in record().operations if not isinstance(step, Mark)], {}
    for dies_after in (i for i, step in enumerate(steps, 1) if isinstance(step, Naming)):
        recorder = record(dies_after=dies_after)
        killed_at = recorder.operations[-1]
        resume(recorder, backend)
        complaints = explorer.violations(recorder, first=len(recorder.operations) - 1)
        if keys := sorted({complaint.rpartition(": ")[2] for complaint in complaints}):
            lost[f"killed after {dies_after} operations and {killed_at}"] = keys
    assert lost == {}


def test_the_second_of_two_writers_is_refused_and_the_first_ones_unit_stays(record, explorer):
    refused = []
    recorder = record(lambda *arguments: refused.append(race(*arguments)))
    assert refused == [True]
    assert promises(recorder).keys() == {"000000"} and list(explorer.violations(recorder)) == []


# -- what the explorer would notice ----------------------------------------------------------------------------------


def files_not_synced(patch) -> None:
    fsync = os.fsync
    patch.setattr(os, "fsync", lambda handle: fsync(handle) if stat.S_ISDIR(os.fstat(handle).st_mode) else None)


def folders_not_synced(patch) -> None:
    fsync = os.fsync
    patch.setattr(os, "fsync", lambda handle: None if stat.S_ISDIR(os.fstat(handle).st_mode) else fsync(handle))


def record_before_shard(patch) -> None:
    publish, shards = commit.publish, {}

    def swapped(path, data):
        if path.parent.name in ("frames", "logits"):
            shards[path] = data
            return
        publish(path, data)
        while shards:
            publish(*shards.popitem())

    patch.setattr(commit, "publish", swapped)


def overwriting(patch) -> None:
    patch.setattr(os, "link", os.replace)


@pytest.mark.parametrize(
    ("script", "mutate", "symptom"),
    [
        (run_session, files_not_synced, "DamagedError"),
        (run_session, folders_not_synced, "identity was promised and is lost"),
        (run_session, record_before_shard, "DamagedError"),
        (race, overwriting, "000000 was promised and is lost or changed"),
    ],
)
def test_a_mutant_of_the_protocol_is_caught(record, explorer, script, mutate, symptom):
    complaints = explorer.violations(record(script, mutate))
    assert any(symptom in complaint for complaint in complaints)


@second_backend_slow
def test_the_fsync_of_every_folder_is_needed(record, explorer):
    recorder = record()
    operations = recorder.operations
    synced = [operation.node if isinstance(operation, Sync) else None for operation in operations]
    unnoticed = set()
    for folder in dict.fromkeys(node for node in synced if node and node.is_folder):
        recorder.operations = [operation for operation, node in zip(operations, synced, strict=True) if node != folder]
        if not any(explorer.violations(recorder, first=synced.index(folder))):
            unnoticed.add(folder.first_name)
    assert unnoticed <= {"cache/attempts"}  # the script is promised nothing of what is in there
