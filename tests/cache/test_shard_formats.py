"""Our own back ends pass the conformance tests, read only what they need, and are registered in one place."""

import subprocess
import sys

import pytest
from click import Choice

from embedonce import cli
from embedonce.cache.backends.hdf5 import Hdf5Format
from embedonce.cache.backends.registry import BACKENDS, register_backend
from embedonce.cache.errors import StorageError
from tests.support.conformance.shard_format import BATCH, ShardFormatConformance
from tests.support.documentation import ROOT
from tests.support.memory_store import MemoryFile


@pytest.fixture(params=list(BACKENDS), autouse=True)
def backend(request) -> str:
    return request.param


class TestOurFormats(ShardFormatConformance):
    @pytest.fixture(autouse=True)
    def chosen(self, backend):
        self._format = BACKENDS[backend]

    def shard_format(self):
        return self._format

    def test_few_bytes_are_read_for_one_row(self, store):
        shard = self.write(store)
        shard.jpeg(0), shard.embeddings(0, 1, 0)
        store.reads.clear()
        shard.jpeg(41), shard.embeddings(41, 42, 0)
        assert sum(size for _, _, size in store.reads) < 2 * len(BATCH.jpegs[41]) + 17_000

    def test_a_read_that_fails_is_a_storage_error_and_the_next_one_succeeds(self, store, monkeypatch):
        shard, read_at = self.write(store), MemoryFile.read_at

        def fails(file, offset, size):
            raise StorageError("the network is down")

        for attempt in range(3):
            monkeypatch.setattr(MemoryFile, "read_at", fails)
            with pytest.raises(StorageError, match="network is down"):
                shard.check(BATCH.keys) if attempt < 2 else shard.jpeg(0)
            monkeypatch.setattr(MemoryFile, "read_at", read_at)
            assert shard.keys() == BATCH.keys and shard.jpeg(0) == BATCH.jpegs[0]
            shard.close()


FAILING_READS = """
import sys
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import StorageError
from tests.support.conformance.shard_format import BATCH, ShardFormatConformance
from tests.support.memory_store import MemoryFile, MemoryStore
class Failing(ShardFormatConformance):
    def shard_format(self):
        return BACKENDS[sys.argv[1]]
errors, read_at, reads = [], MemoryFile.read_at, [0]
for fails_at in (*range(1, 40), *range(40, 1000, 40)):
    shard, reads[0] = Failing().write(MemoryStore()), 0
    def read_or_fail(file, offset, size):
        reads[0] += 1
        if reads[0] == fails_at:
            raise StorageError("the network is down")
        return read_at(file, offset, size)
    MemoryFile.read_at = read_or_fail
    try:
        shard.check(BATCH.keys), shard.columns(), shard.jpeg(40), shard.embeddings(0, 43, 1)
        break
    except StorageError as error:
        errors.append((error, shard))
assert len(errors) > 3 and reads[0] < fails_at, (len(errors), reads[0])
"""


@pytest.mark.integration
def test_a_read_that_fails_anywhere_is_a_storage_error_and_the_process_still_ends_well(backend):
    """Errors, with all that their tracebacks hold, and open shards are alive when the interpreter ends."""
    ran = subprocess.run([sys.executable, "-c", FAILING_READS, backend], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_options_of_both_commands_offer_the_registered_back_ends():
    for command in ("extract-teacher", "convert-cache"):
        option = next(param for param in cli.main.commands[command].params if param.name == "backend")
        assert isinstance(option.type, Choice) and list(option.type.choices) == list(BACKENDS)


class Imitation(Hdf5Format):
    name, suffix = "imitation", ".h5"


@pytest.mark.parametrize(("name", "suffix"), [("hdf5", ".other"), ("other", ".h5"), ("other", "h6"), ("other", "./x")])
def test_a_back_end_whose_name_or_suffix_is_taken_or_invalid_is_refused(name, suffix):
    other, before = Imitation(), dict(BACKENDS)
    other.name, other.suffix = name, suffix
    with pytest.raises(ValueError, match=r"registered|begins with a dot"):
        register_backend(other)
    assert before == BACKENDS
