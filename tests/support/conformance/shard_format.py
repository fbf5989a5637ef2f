"""The tests that every cache back end must pass. Subclass ShardFormatConformance and return yours from shard_format().

class TestMyFormat(ShardFormatConformance):
    def shard_format(self):
        return MyFormat()
"""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from embedonce.cache.backends.shard_format import Shard, ShardFormat, ShardShape
from embedonce.cache.errors import CacheError, DamagedError
from embedonce.cache.stores.local import LocalStore
from tests.conftest import make_batch, make_segment
from tests.support.memory_store import MemoryStore

DIM, CLASSES, VIEWS = 16, 3, 2
BATCH = make_batch(make_segment("a", 40), make_segment("b", 3), dim=DIM)
LOGITS = np.random.default_rng(1).standard_normal((43, VIEWS, CLASSES)).astype(np.float32)


def unit_length(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float32)
    return (wide / np.linalg.norm(wide, axis=2, keepdims=True)).astype(np.float16)


class ShardFormatConformance:
    """Tests of one back end. shard_format() must be overridden."""

    def shard_format(self) -> ShardFormat:
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def write(self, store, batch=BATCH) -> Shard:
        encoded = self.shard_format().encode_frames(batch)
        store.replace("frames/000000", encoded.data)
        shape = ShardShape(len(batch.jpegs), VIEWS, DIM, len(encoded.data))
        return self.shard_format().open(store, "frames/000000", encoded.index, shape)

    def write_logits(self, store, logits=LOGITS) -> Shard:
        encoded = self.shard_format().encode_logits(BATCH.keys, logits)
        store.replace("logits/000000", encoded.data)
        shape = ShardShape(len(logits), VIEWS, CLASSES, len(encoded.data))
        return self.shard_format().open(store, "logits/000000", encoded.index, shape)

    def test_the_name_and_the_suffix_are_valid(self):
        shard_format = self.shard_format()
        assert re.fullmatch(r"[a-z0-9-]+", shard_format.name) and re.fullmatch(r"\.[a-z0-9.]+", shard_format.suffix)
        assert shard_format.row_overhead_bytes >= 0

    def test_frames_are_read_as_they_were_written(self, store):
        shard = self.write(store)
        assert shard.keys() == BATCH.keys
        shard.check(BATCH.keys)
        assert [shard.jpeg(row) for row in range(len(BATCH.jpegs))] == list(BATCH.jpegs)
        for view in range(VIEWS):
            values = shard.embeddings(0, 43, view)
            assert values.dtype == np.float16
            np.testing.assert_array_equal(values, BATCH.embeddings[:, view])

    def test_rows_are_read_at_random(self, store):
        shard, generator = self.write(store), np.random.default_rng(2)
        for start in generator.integers(0, 43, 30):
            stop, view = generator.integers(start, 44), generator.integers(VIEWS)
            np.testing.assert_array_equal(shard.embeddings(start, stop, view), BATCH.embeddings[start:stop, view])
            assert shard.jpeg(int(start)) == BATCH.jpegs[start]

    def test_what_is_returned_can_be_changed_without_changing_the_shard(self, store):
        shard = self.write(store)
        shard.embeddings(3, 5, 1)[:] = 0
        np.testing.assert_array_equal(shard.embeddings(3, 5, 1), BATCH.embeddings[3:5, 1])

    def test_columns_have_the_documented_types(self, store):
        columns = self.write(store).columns()
        expected = {
            "frame_index": np.concatenate([segment.frame_index for segment in BATCH.segments]),
            "pts": np.concatenate([segment.pts for segment in BATCH.segments]),
            "crop_crc32": BATCH.crop_crc32,
        }
        assert columns.keys() == expected.keys()
        for name, values in expected.items():
            assert columns[name].dtype == values.dtype
            np.testing.assert_array_equal(columns[name], values)

    def test_logits_are_read_as_they_were_written(self, store):
        shard = self.write_logits(store)
        shard.check(BATCH.keys)
        for view in range(VIEWS):
            values = shard.logits(2, 40, view)
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, LOGITS[2:40, view])

    def test_embeddings_of_an_added_teacher_are_read_as_they_were_written_or_refused(self, store):
        shard_format, columns = self.shard_format(), (BATCH.embeddings[:, :, :5], BATCH.crop_crc32)
        try:
            encoded = shard_format.encode_embeddings(BATCH.keys, unit_length(columns[0]), columns[1])
        except CacheError as error:
            assert repr(shard_format.name) in str(error)
            return
        store.replace("columns/000000", encoded.data)
        shard = shard_format.open(store, "columns/000000", encoded.index, ShardShape(43, VIEWS, 5, len(encoded.data)))
        shard.check(BATCH.keys)
        np.testing.assert_array_equal(shard.embeddings(2, 40, 1), unit_length(columns[0])[2:40, 1])
        np.testing.assert_array_equal(shard.crop_crc32(), columns[1])
        assert shard.crop_crc32().dtype == np.uint32

    def test_equal_rows_give_equal_bytes(self):
        shard_format = self.shard_format()
        assert shard_format.encode_frames(BATCH) == shard_format.encode_frames(replace(BATCH))
        assert shard_format.encode_logits(BATCH.keys, LOGITS) == shard_format.encode_logits(BATCH.keys, LOGITS.copy())

    def test_other_keys_than_the_recorded_ones_are_refused(self, store):
        shard = self.write(store)
        for keys in (BATCH.keys[:-1], [*BATCH.keys, "c_00000000"], BATCH.keys[::-1]):
            with pytest.raises(DamagedError, match=f"^{re.escape(shard.location)} "):
                shard.check(keys)

    def test_rows_of_other_frames_contradict_the_record(self, store):
        shard, first = self.write(store), BATCH.segments[0]
        assert shard.first_contradiction(BATCH.segments) is None
        for name in ("frame_index", "pts"):
            other = replace(first, **{name: getattr(first, name) + 1})
            assert shard.first_contradiction((other, *BATCH.segments[1:])) is not None

    def test_embeddings_that_are_not_unit_vectors_are_refused(self, store):
        embeddings = BATCH.embeddings.copy()
        embeddings[5, 1] = 0
        with pytest.raises(DamagedError, match="embeddings"):
            self.write(store, replace(BATCH, embeddings=embeddings)).embeddings(0, 43, 1)

    def test_logits_that_are_not_finite_are_refused(self, store):
        logits = LOGITS.copy()
        logits[7, 0] = np.nan
        with pytest.raises(DamagedError, match="logits"):
            self.write_logits(store, logits).logits(7, 8, 0)

    def test_a_shard_can_be_closed_and_pickled_and_read_again(self, store):
        shard = self.write(store)
        shard.jpeg(0)
        shard.close()
        for again in (shard, pickle.loads(pickle.dumps(shard))):
            assert again.jpeg(1) == BATCH.jpegs[1]
            again.close()

    def test_a_truncated_shard_is_refused_with_an_error_of_the_cache(self, store):
        encoded = self.shard_format().encode_frames(BATCH)
        shape = ShardShape(43, VIEWS, DIM, len(encoded.data))
        for size in (0, 1, len(encoded.data) // 2, len(encoded.data) - 1):
            store.files["frames/000001"] = encoded.data[:size]
            with pytest.raises(CacheError):
                shard = self.shard_format().open(store, "frames/000001", encoded.index, shape)
                shard.check(BATCH.keys)
                shard.jpeg(42), shard.columns(), shard.embeddings(0, 43, 1)

    def test_a_missing_shard_is_an_error_of_the_cache(self, store):
        encoded = self.shard_format().encode_frames(BATCH)
        with pytest.raises(DamagedError):
            shape = ShardShape(43, VIEWS, DIM, len(encoded.data))
            self.shard_format().open(store, "frames/nothing", encoded.index, shape).check(BATCH.keys)

    def test_a_shard_in_a_local_folder_is_read_too(self, tmp_path):
        (tmp_path / "frames").mkdir()
        shard = self.write(LocalStore(tmp_path))
        assert shard.keys() == BATCH.keys and shard.jpeg(42) == BATCH.jpegs[42]
        shard.close()
