"""The tests that every store should pass. Subclass StoreConformance and return an empty store from make_store().

class TestMyStore(StoreConformance):
    def make_store(self):
        return MyStore(...)

make_store() is called once for each test.
"""

import hashlib
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from embedonce.cache.errors import AlreadyCommittedError, BusyError, DamagedError, StorageError
from embedonce.cache.stores.base import FileVersion, Store
from embedonce.cache.stores.file_object import StoredFileIO

DIGITS = b"0123456789"
WRITERS = 6


class StoreConformance:
    """between_processes: other processes see the same files. checks_names: names that lead out are refused.
    compares_versions: of several who replace one version of a file at the same time, one alone does.

    takes_equal_bytes_for_own: where an answer may be lost and an upload has no mark, a writer that finds its own bytes
    under a name takes them for what it sent.
    """

    between_processes = True
    checks_names = True
    takes_equal_bytes_for_own = False
    compares_versions = False

    def make_store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Store:
        store = self.make_store()
        store.make_folder("frames")
        return store

    # -- publishing ----------------------------------------------------------------------------------------------------

    def test_a_published_file_is_read_whole_and_in_ranges(self, store):
        store.put_if_absent("frames/a", DIGITS)
        assert store.get("frames/a") == DIGITS and store.exists("frames/a") and not store.is_folder("frames/a")
        assert store.digest("frames/a") == (10, hashlib.sha256(DIGITS).hexdigest())
        assert store.get_range("frames/a", 2, 3) == b"234"
        with closing(store.open("frames/a")) as file:
            assert file.size == 10 and file.read_at(3, 4) == b"3456" and file.read_at(10, 0) == b""
            with pytest.raises(DamagedError, match="ends after 2 of 3 bytes"):
                file.read_at(8, 3)
        file.close()

    def test_files_of_all_sizes_are_kept(self, store):
        for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000):
            data = hashlib.shake_128(str(size).encode()).digest(size)
            store.put_if_absent(f"frames/{size}", data)
            assert store.get(f"frames/{size}") == data and store.version(f"frames/{size}").num_bytes == size
            assert store.digest(f"frames/{size}") == (size, hashlib.sha256(data).hexdigest())

    def test_many_reads_of_a_large_file_are_those_of_its_bytes(self, store):
        data = hashlib.shake_128(b"large").digest(3_000_000)
        store.put_if_absent("frames/a", data)
        with closing(store.open("frames/a")) as file:
            for offset in (0, 2_999_990, 10, 1_000_000, 1_000_010, 700_000, 1_300_000, 5, 2_000_000, 999_999):
                assert file.read_at(offset, 10) == data[offset : offset + 10]
            assert file.read_at(100, 2_900_000) == data[100:2_900_100] and file.read_at(0, 5) == data[:5]

    def test_publishing_never_replaces_and_replacing_does(self, store):
        store.put_if_absent("frames/a", b"first")
        if self.takes_equal_bytes_for_own:
            store.put_if_absent("frames/a", b"first")
        for other in (b"second", b"") if self.takes_equal_bytes_for_own else (b"second", b"first", b""):
            with pytest.raises(AlreadyCommittedError):
                store.put_if_absent("frames/a", other)
        assert store.get("frames/a") == b"first"
        before = store.version("frames/a")
        store.replace("frames/a", b"other")
        store.replace("frames/b", b"new")
        assert store.get("frames/a") == b"other" and store.get("frames/b") == b"new"
        assert store.version("frames/a") != before

    def test_a_version_is_replaced_once(self, store):
        store.put_if_absent("frames/a", b"first")
        version = store.version("frames/a")
        store.replace_version("frames/a", version, b"second")
        assert store.get("frames/a") == b"second"
        with pytest.raises(AlreadyCommittedError, match="changed by another writer"):
            store.replace_version("frames/a", version, b"third")
        assert store.get("frames/a") == b"second"
        store.delete("frames/a")
        with pytest.raises(AlreadyCommittedError, match="changed by another writer"):
            store.replace_version("frames/a", version, b"third")
        assert not store.exists("frames/a")

    def test_one_of_many_threads_publishes_a_name(self, store):
        start = threading.Barrier(WRITERS)

        def publish(number: int) -> bool:
            start.wait()
            return _publish(store, "frames/a", number)

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(publish, range(WRITERS)))
        assert sum(won) == 1 and store.get("frames/a") == str(won.index(True)).encode() * 1000

    def test_one_of_many_processes_publishes_each_name(self, store):
        self._need_processes()
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            won = pool.starmap(_publish_many, [(store, number) for number in range(2)], chunksize=1)
        for i, (first, second) in enumerate(zip(*won, strict=True)):
            assert first != second and store.get(f"frames/{i}") == str(int(second)).encode() * 1000

    # -- names ---------------------------------------------------------------------------------------------------------

    def test_files_are_listed_moved_and_deleted(self, store):
        for name in ("frames/b.x", "frames/a.x", "frames/c.y", "frames/in/d.x"):
            store.make_folder(name.rpartition("/")[0])
            store.put_if_absent(name, name.encode())
        assert store.list("frames", ".x") == ["frames/a.x", "frames/b.x"] and store.list("nowhere") == []
        assert store.list("frames") == ["frames/a.x", "frames/b.x", "frames/c.y", "frames/in"]
        assert "frames" in store.list("") and store.list("fram") == []
        store.move("frames/a.x", "removed/000001/frames/a.x")
        assert store.list("frames") == ["frames/b.x", "frames/c.y", "frames/in"]
        assert store.get("removed/000001/frames/a.x") == b"frames/a.x"
        with pytest.raises(StorageError):
            store.move("frames/b.x", "frames/c.y")
        store.delete("frames/b.x")
        store.delete("nowhere/file")
        store.delete("frames/b.x")
        assert not store.exists("frames/b.x") and store.get("frames/c.y") == b"frames/c.y"

    def test_a_folder_is_deleted_with_everything_below_it_and_nothing_beside_it(self, store):
        store.make_folder("empty")
        for name in ("frames/a", "frames/in/b", "frames2/c"):
            store.make_folder(name.rpartition("/")[0])
            store.put_if_absent(name, b"x")
        assert store.is_folder("frames/in") and store.exists("frames/in") and not store.is_folder("fra")
        assert store.is_folder("empty") == store.has_folders
        store.delete_folder("frames")
        store.delete_folder("frames")
        assert not store.exists("frames/a") and not store.exists("frames/in/b") and not store.is_folder("frames")
        assert store.list("frames") == [] and store.get("frames2/c") == b"x"

    def test_versions_tell_files_apart_without_reading_them(self, store):
        store.put_if_absent("frames/a.x", b"1")
        store.put_if_absent("frames/b.y", b"22")
        versions = store.versions("frames", ".x")
        assert list(versions) == ["frames/a.x"] and versions["frames/a.x"] == store.version("frames/a.x")
        assert isinstance(versions["frames/a.x"], FileVersion) and versions["frames/a.x"].num_bytes == 1

    def test_a_missing_file_is_damage(self, store):
        for call in (store.open, store.get, store.digest, store.version):
            with pytest.raises(DamagedError, match="missing"):
                call("frames/a")
        with pytest.raises(DamagedError, match="missing"):
            store.get_range("frames/a", 0, 1)
        assert not store.exists("frames/a") and not store.is_folder("frames/a")

    def test_a_folder_is_no_file(self, store):
        store.make_folder("frames/in")
        store.put_if_absent("frames/in/a", b"x")
        for call in (store.open, store.get, store.version):
            with pytest.raises(DamagedError):
                call("frames/in")

    def test_names_that_lead_out_of_the_store_are_refused(self, store):
        if not self.checks_names:
            pytest.skip("its names come from the file system, and are checked by whoever makes them")
        for name in (
            "../a",
            "frames/../../a",
            "frames//a",
            "/a",
            "frames/./a",
            "frames/a\n",
            "frames\\a",
            "a?versionId=1",
        ):
            for call in (store.get, store.open, store.exists, store.delete, store.list):
                with pytest.raises(DamagedError, match="cannot be the name"):
                    call(name)
            for write in (store.put_if_absent, store.replace):
                with pytest.raises(DamagedError, match="cannot be the name"):
                    write(name, b"x")
        assert store.list("frames") == []

    def test_a_document_that_is_too_long_is_refused(self, store):
        store.put_if_absent("frames/a", DIGITS)
        assert store.get("frames/a", limit=10) == DIGITS
        with pytest.raises(DamagedError, match="10 bytes, more than the 9"):
            store.get("frames/a", limit=9)

    def test_many_documents_are_read_in_order(self, store):
        names = [f"frames/{i}" for i in range(40)]
        for name in names:
            store.put_if_absent(name, name.encode())
        assert list(store.map(store.get, names)) == [name.encode() for name in names]
        assert list(store.map(store.get, [])) == []
        with pytest.raises(DamagedError, match="missing"):
            list(store.map(store.get, [*names, "frames/none"]))

    def test_locations_are_for_messages(self, store):
        assert store.location("frames/a").startswith(store.location("")) and store.location("frames/a").endswith("a")

    def test_a_stored_file_is_a_file_object(self, store):
        store.put_if_absent("frames/a", DIGITS)
        with StoredFileIO(store.open("frames/a")) as file:
            assert file.read(3) == b"012" and file.tell() == 3
            assert file.seek(-2, os.SEEK_END) == 8 and file.read() == b"89" and file.read() == b""
            assert file.seek(1) == 1 and file.seek(2, os.SEEK_CUR) == 3 and file.read(1) == b"3"

    # -- writers and processes -----------------------------------------------------------------------------------------

    def test_a_store_that_can_be_written_is_left_as_it_was(self, store):
        before = store.list("")
        store.check_writable()
        assert store.list("") == before
        store.recover(["frames", "nowhere"] if self.checks_names else ["frames"])
        assert store.list("") == before

    def test_one_holds_the_lock(self, store):
        lock = store.lock(".lock")
        with pytest.raises(BusyError):
            store.lock(".lock")
        lock.check()
        lock.close()
        lock.close()
        with closing(store.lock(".lock")) as again:
            again.check()

    def test_the_lock_holds_between_processes(self, store):
        self._need_processes()
        with closing(store.lock(".lock")), multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_is_busy, [store])

    def test_several_share_the_lock_and_keep_out_whoever_wants_it_alone(self, store):
        with closing(store.lock(".lock")), pytest.raises(BusyError):
            store.lock(".lock", is_shared=True)
        with closing(store.lock(".lock", is_shared=True)) as first:
            second = store.lock(".lock", is_shared=True)
            for _ in range(2):
                with pytest.raises(BusyError):
                    store.lock(".lock")
                first.check()
                second.close()
                second.close()
        store.lock(".lock").close()

    def test_a_lock_that_is_shared_later_lets_others_in(self, store):
        alone = store.lock(".lock")
        with closing(alone.share()) as shared, closing(store.lock(".lock", is_shared=True)):
            shared.check()
            alone.close() if alone is not shared else None
            with pytest.raises(BusyError):
                store.lock(".lock")
        store.lock(".lock").close()

    def test_a_shared_lock_holds_between_processes(self, store):
        self._need_processes()
        with (
            closing(store.lock(".lock", is_shared=True)),
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            assert pool.apply(_is_busy, [store]) and not pool.apply(_is_busy, [store, True])

    def test_only_one_of_several_replaces_a_version(self, store):
        store.put_if_absent("frames/a", DIGITS)
        version, start = store.version("frames/a"), threading.Barrier(WRITERS)

        def replaced(number: int) -> bool:
            start.wait()
            try:
                store.replace_version("frames/a", version, str(number).encode())
            except AlreadyCommittedError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as threads:
            results = list(threads.map(replaced, range(WRITERS)))
        assert any(results) and (sum(results) == 1 or not self.compares_versions)

    def test_a_pickled_store_is_the_same(self, store):
        store.put_if_absent("frames/a", DIGITS)
        again = pickle.loads(pickle.dumps(store))
        assert again.location("a") == store.location("a")
        if self.between_processes:
            assert again == store and hash(again) == hash(store) and again.get("frames/a") == DIGITS

    def test_an_open_file_and_a_store_are_read_in_a_forked_process(self, store):
        store.put_if_absent("frames/a", DIGITS)
        with closing(store.open("frames/a")) as file:
            assert file.read_at(0, 2) == b"01"
            child = multiprocessing.get_context("fork").Process(target=_read_or_exit, args=(store, file))
            child.start()
            child.join(60)
            assert child.exitcode == 0 and file.read_at(4, 2) == b"45"

    def _need_processes(self) -> None:
        if not self.between_processes:
            pytest.skip("it is in the memory of one process")


def _publish(store: Store, name: str, number: int) -> bool:
    try:
        store.put_if_absent(name, str(number).encode() * 1000)
    except AlreadyCommittedError:
        return False
    return True


def _publish_many(store: Store, number: int) -> list[bool]:
    return [_publish(store, f"frames/{i}", number) for i in range(20)]


def _is_busy(store: Store, is_shared: bool = False) -> bool:
    try:
        store.lock(".lock", is_shared=is_shared).close()
    except BusyError:
        return True
    return False


def _read_or_exit(store: Store, file) -> None:
    assert file.read_at(5, 5) == DIGITS[5:] and store.get("frames/a") == DIGITS
