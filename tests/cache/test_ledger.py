"""The ledger of verified shards: which lines of it count, and how processes that share it take turns."""

import json
import multiprocessing
import os
import pickle
import signal
import time
from contextlib import closing

import pytest

from embedonce.cache import boot, commit, ledger, verified_shards
from embedonce.cache.errors import DamagedError, StorageError
from embedonce.cache.ledger import Ledger, VerifiedFile, temporary_ledger
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.local import LocalStore
from tests.conftest import make_batch, make_cache_identity, make_segment

FILE = VerifiedFile("/cache/frames/000000.h5", FileVersion(5, "1-2"), "ab" * 32)
OTHERS = [
    VerifiedFile("/cache/frames/000001.h5", FILE.version, FILE.sha256),
    VerifiedFile(FILE.location, FileVersion(6, "1-2"), FILE.sha256),
    VerifiedFile(FILE.location, FileVersion(5, "1-3"), FILE.sha256),
    VerifiedFile(FILE.location, FILE.version, "cd" * 32),
]
FORKED = multiprocessing.get_context("fork")


def knows(path, file: VerifiedFile) -> bool:
    """Whether a new process would learn from this path that the file was verified."""
    with closing(Ledger(path)) as found, found.turn(file) as is_verified:
        return is_verified


def add(path, file: VerifiedFile) -> None:
    with closing(Ledger(path)) as found:
        found.add(file)


# -- what counts -------------------------------------------------------------------------------------------------------


def test_a_file_is_known_in_the_very_version_that_was_verified(tmp_path):
    add(tmp_path / "ledger", FILE)
    assert knows(tmp_path / "ledger", FILE)
    assert not any(knows(tmp_path / "ledger", other) for other in OTHERS)
    add(tmp_path / "ledger", OTHERS[2])  # it was replaced and verified again
    assert knows(tmp_path / "ledger", OTHERS[2]) and not knows(tmp_path / "ledger", FILE)


def test_lines_of_other_machines_do_not_count_but_are_kept(tmp_path, monkeypatch):
    path = tmp_path / "ledger"
    add(path, FILE)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(ledger, "this_machine", lambda: "another")
        assert not knows(path, FILE)
        add(path, OTHERS[0])
        assert knows(path, OTHERS[0])
    assert knows(path, FILE) and not knows(path, OTHERS[0])


def test_the_machine_is_another_after_a_restart_and_under_another_host_name(tmp_path, monkeypatch):
    found = set()
    for started, host in (("one", "a"), ("two", "a"), ("two", "b")):
        (tmp_path / "boot_id").write_text(f"{started}\n")
        monkeypatch.setattr(boot, "_BOOT_ID", tmp_path / "boot_id")
        monkeypatch.setattr(ledger, "boot_id", boot.boot_id.__wrapped__)
        monkeypatch.setattr(ledger.platform, "node", lambda host=host: host)
        found.add(ledger.this_machine.__wrapped__())
    assert len(found) == 3


def test_a_ledger_cut_anywhere_says_less_and_nothing_wrong(tmp_path):
    path = tmp_path / "ledger"
    for file in (FILE, OTHERS[0]):
        add(path, file)
    data, second = path.read_bytes(), path.read_bytes().rindex(b"\n\n")
    first = data.index(b"\n", data.index(b"\n") + 1)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert (knows(path, FILE), knows(path, OTHERS[0])) == (length > first, length > len(data) - 1)
        if length % 50 == 0 or length in (first, second):
            add(path, OTHERS[0])  # it goes on after the cut
            assert knows(path, OTHERS[0]) and knows(path, FILE) == (length >= first)


def test_damaged_lines_are_skipped(tmp_path):
    path = tmp_path / "ledger"
    add(path, FILE)
    header, line = path.read_bytes().splitlines(keepends=True)
    fields = json.loads(line)
    changes = [
        *[{"location": ["a"]}, {"version": 5}, {"version": {"num_bytes": 5}}, {"version": {"x": 1}}],
        *[{"sha256": None}, {"machine": "x"}, {"location": None}],
    ]
    wrong = [json.dumps(fields | change).encode() + b"\n" for change in changes]
    wrong += [b"[]\n", b"5\n", b"\0" * 99 + b"\n", b"[" * 99 + b"\n", line[:-20] + b"\n", b"\xff\n"]
    path.write_bytes(header + b"".join(wrong))
    assert not knows(path, FILE)
    path.write_bytes(header + b"".join(wrong) + line)
    assert knows(path, FILE)


def test_a_ledger_emptied_meanwhile_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "ledger"
    for file in (FILE, OTHERS[1]):
        add(path, file)
    with closing(Ledger(path)) as found:
        with found.turn(OTHERS[0]) as is_verified:
            assert not is_verified
        path.write_bytes(b"")
        add(path, OTHERS[0])
        with found.turn(OTHERS[0]) as is_verified:
            assert is_verified


def test_a_process_learns_that_another_one_verified_a_new_version_of_a_file(tmp_path):
    with closing(Ledger(tmp_path / "ledger")) as found:
        found.add(FILE)
        add(tmp_path / "ledger", OTHERS[1])
        with found.turn(OTHERS[1]) as is_verified:
            assert is_verified


def test_what_is_not_a_ledger_is_left_alone_and_named(tmp_path, monkeypatch):
    places = {name: tmp_path / name for name in ("text", "folder", "link", "pipe", "nowhere/ledger")}
    places["text"].write_text("notes\n")
    places["folder"].mkdir()
    places["link"].symlink_to(tmp_path / "target")
    os.mkfifo(places["pipe"])
    for name, path in places.items():
        with closing(Ledger(path)) as found:
            assert (found.problem() is None) == (name == "nowhere/ledger")
            assert found.problem() is None or str(path) in found.problem()
            with found.turn(FILE) as is_verified:
                assert not is_verified
            found.add(FILE)
            with found.turn(FILE) as is_verified:
                assert is_verified  # in memory
    assert places["text"].read_text() == "notes\n" and not (tmp_path / "target").exists()
    assert {path.name for path in tmp_path.iterdir()} == set(places) - {"nowhere/ledger"}
    add(tmp_path / "long", FILE)
    monkeypatch.setattr(ledger, "MAX_BYTES", 10)
    assert not knows(tmp_path / "long", FILE) and Ledger(tmp_path / "long").problem()


def test_without_locks_and_with_a_full_disk_nothing_fails(tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger.fcntl, "lockf", refused)
    add(tmp_path / "ledger", FILE)
    assert knows(tmp_path / "ledger", FILE)
    monkeypatch.setattr(ledger.os, "write", refused)
    add(tmp_path / "ledger", OTHERS[0])
    assert knows(tmp_path / "ledger", FILE) and not knows(tmp_path / "ledger", OTHERS[0])


def test_a_process_that_is_forked_while_a_thread_uses_a_ledger_can_use_it(tmp_path):
    add(tmp_path / "ledger", FILE)
    with ledger._THREADS:
        child = FORKED.Process(target=_exit_if_known, args=(tmp_path / "ledger",))
        child.start()
    child.join(20)
    child.kill()
    assert child.exitcode == 0


def _exit_if_known(path):
    os._exit(0 if knows(path, FILE) else 1)


def test_a_pickled_ledger_knows_the_same_on_the_same_machine_only(tmp_path, monkeypatch):
    for path in (None, tmp_path / "ledger"):
        found = Ledger(path)
        found.add(FILE)
        data = pickle.dumps(found)
        with pickle.loads(data).turn(FILE) as is_verified:
            assert is_verified
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(ledger, "this_machine", lambda: "another")
            with pickle.loads(data).turn(FILE) as is_verified:
                assert not is_verified


def test_a_temporary_ledger_is_deleted_and_named_like_other_leftovers(tmp_path):
    with temporary_ledger(tmp_path) as found:
        found.add(FILE)
        (path,) = tmp_path.iterdir()
        assert path.name.startswith(f"{commit.TEMP_PREFIX}{os.getpid()}-")
    assert not list(tmp_path.iterdir())


# -- processes ---------------------------------------------------------------------------------------------------------


def in_turn(path, done, is_killed: bool = False) -> None:
    """Verifies FILE if nobody has, for a while."""
    shared = Ledger(path)
    with shared.turn(FILE) as is_verified:
        if is_verified:
            return
        with done.open("ab") as file:
            file.write(b"x")
        time.sleep(0.2)
        if is_killed:
            os.kill(os.getpid(), signal.SIGKILL)
        shared.add(FILE)


def test_processes_that_need_one_file_at_once_verify_it_once(tmp_path):
    workers = [FORKED.Process(target=in_turn, args=(tmp_path / "ledger", tmp_path / "done")) for _ in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 5 and (tmp_path / "done").read_bytes() == b"x"


def test_a_process_killed_in_its_turn_blocks_nobody(tmp_path):
    killed = FORKED.Process(target=in_turn, args=(tmp_path / "ledger", tmp_path / "done", True))
    killed.start()
    while not (tmp_path / "done").exists():
        time.sleep(0.01)
    in_turn(tmp_path / "ledger", tmp_path / "done")
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL and (tmp_path / "done").read_bytes() == b"xx"


def test_lines_of_processes_that_write_at_once_are_whole(tmp_path):
    path, each = tmp_path / "ledger", 25
    files = [VerifiedFile(f"/cache/{n}", FILE.version, FILE.sha256) for n in range(4 * each)]

    def write(first: int) -> None:
        shared = Ledger(path)
        for file in files[first : first + each]:
            shared.add(file)

    workers = [FORKED.Process(target=write, args=(first,)) for first in range(0, 4 * each, each)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert all(knows(path, file) for file in files)
    assert path.read_bytes().count(b"{") == 1 + 2 * len(files)


# -- readers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, backend):
    with closing(open_writer(tmp_path / "c", make_cache_identity(backend))) as writer:
        for n in range(3):
            writer.commit_frames(f"{n:06d}", make_batch(make_segment(f"v{n}", 40), seed=n), {})
    return tmp_path / "c"


@pytest.fixture
def digests(monkeypatch) -> list[str]:
    found, digest = [], LocalStore.digest
    monkeypatch.setattr(LocalStore, "digest", lambda store, name: found.append(name) or digest(store, name))
    return found


def read(cache, shared: Ledger | None = None) -> None:
    with closing(open_reader(cache)) as reader:
        if shared is not None:
            reader.share_ledger(shared)
        for unit in reader.records:
            reader.frames(unit).jpeg(0)


def damage(path) -> None:
    """Flip a bit in place, and give the file its times back."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_readers_with_one_ledger_hash_each_shard_once(cache, tmp_path, digests):
    read(cache, Ledger(tmp_path / "ledger"))
    assert len(digests) == 3
    read(cache, Ledger(tmp_path / "ledger"))
    assert len(digests) == 3
    read(cache)  # without it
    assert len(digests) == 6


def test_a_shard_damaged_before_it_was_first_verified_is_never_used(cache, tmp_path):
    path = next((cache / "frames").iterdir())
    damage(path)
    for _ in range(2):
        with pytest.raises(DamagedError, match="is damaged"):
            read(cache, Ledger(tmp_path / "ledger"))


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_shard_changed_since_is_hashed_again_and_its_damage_found(cache, tmp_path, digests, is_replaced):
    read(cache, Ledger(tmp_path / "ledger"))
    path = sorted((cache / "frames").iterdir())[1]
    if is_replaced:
        copy = path.with_name(".copy")
        copy.write_bytes(path.read_bytes())
        os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        copy.replace(path)
        read(cache, Ledger(tmp_path / "ledger"))
        assert len(digests) == 4  # equal bytes, another file
    damage(path)
    with pytest.raises(DamagedError, match=rf"{path.name} is damaged"):
        read(cache, Ledger(tmp_path / "ledger"))


def test_a_shard_replaced_while_its_reader_had_it_closed_is_verified_again(cache, monkeypatch):
    monkeypatch.setattr(verified_shards, "MAX_OPEN", 1)
    with closing(open_reader(cache)) as reader:
        reader.frames("000000").jpeg(0)
        reader.frames("000001").jpeg(0)  # closes the first
        damage(sorted((cache / "frames").iterdir())[0])
        with pytest.raises(DamagedError, match="is damaged"):
            reader.frames("000000")


def test_a_forked_process_looks_whether_files_have_changed(cache):
    with closing(open_reader(cache)) as reader:
        reader.frames("000000").jpeg(0)
        damage(sorted((cache / "frames").iterdir())[0])

        def use() -> None:
            try:
                reader.frames("000000")
            except DamagedError:
                os._exit(4)

        worker = FORKED.Process(target=use)
        worker.start()
        worker.join(60)
        assert worker.exitcode == 4


def test_a_shard_that_changes_while_it_is_hashed_is_not_remembered(cache, tmp_path, monkeypatch, digests):
    path, digest, times = sorted((cache / "frames").iterdir())[0], LocalStore.digest, []

    def touching(store, name):
        found = digest(store, name)
        if len(times) < limit:
            times.append(1)
            os.utime(path, (len(times), len(times)))
        return found

    monkeypatch.setattr(LocalStore, "digest", touching)
    for limit in (1, 99):
        times.clear()
        with closing(open_reader(cache)) as reader:
            reader.share_ledger(Ledger(tmp_path / f"ledger{limit}"))
            if limit == 1:
                reader.frames("000000")
                continue
            with pytest.raises(StorageError, match="changes while it is read"):  # not called damage
                reader.frames("000000")
    assert len(digests) == 2 + verified_shards.ATTEMPTS
