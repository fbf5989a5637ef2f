"""Where local copies of a cache in an object store are kept."""

import hashlib
import stat
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.convert import convert
from embedonce.cache.errors import StorageError
from embedonce.cache.stores.copy_file import TRAILER_BYTES
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.prefetcher import Prefetcher
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.loader import batches
from embedonce.pipeline.clips.open_cache import default_folder, open_cache
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    convert(make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 2), "memory://open_cache/tiny", "hdf5")
    return "memory://open_cache/tiny"


def test_the_folder_of_copies_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "embedonce"
    for ignored in ("", "relative"):  # as the specification demands
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert default_folder() == Path.home() / ".cache" / "embedonce"


def test_shards_are_kept_where_the_settings_say(url, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    reader = open_cache(EvaluateConfig(url, local_cache_dir=tmp_path / "copies"))
    assert len(reader.all_embeddings("000000")) and len(list((tmp_path / "copies").glob("*.copy"))) == 1
    reader = open_cache(EvaluateConfig(url))
    assert len(reader.all_embeddings("000000"))
    assert len(list((tmp_path / "user" / "embedonce").glob("*.copy"))) == 1


def test_no_copies_of_local_folders_and_none_if_they_may_take_nothing(url, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    cache = make_tiny_cache(tmp_path / "cache", 2)
    for config in (EvaluateConfig(cache), EvaluateConfig(url, local_cache_gb=0.0)):
        assert len(open_cache(config).all_embeddings("000000"))
    assert not (tmp_path / "user").exists()


def test_a_folder_that_cannot_be_written_is_named(url, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        open_cache(EvaluateConfig(url, local_cache_dir=tmp_path / "file" / "copies"))
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)


def test_shards_are_fetched_into_the_copies_before_they_are_read(url, tmp_path):
    reader = open_cache(EvaluateConfig(url, local_cache_dir=tmp_path))
    reader.prefetch(["000000", "000001"])
    reader.catalog.shards._prefetcher.wait()
    assert len(list(tmp_path.glob("*.copy"))) == 2


def test_the_shards_of_a_batch_are_asked_for_once_and_before_its_clips_are_read(url, tmp_path, monkeypatch):
    reader, happened = open_cache(EvaluateConfig(url, local_cache_dir=tmp_path)), []
    labels = reader.label_set()
    clips = ClipDataset(reader, labels, list(labels.clips), ClipSampling(2, 64, random=False, seed=0))
    real_digest = ObjectStore.digest
    monkeypatch.setattr(Prefetcher, "ask", lambda prefetcher, read, keys: happened.append(list(keys)))
    monkeypatch.setattr(ObjectStore, "digest", lambda store, name: happened.append(name) or real_digest(store, name))
    assert len(list(batches(clips, [range(len(clips))], 0))) == 1
    assert happened[0] == [(None, "000000"), (None, "000001")] and happened[1] == "frames/000000.h5"
    happened.clear()
    list(batches(clips, [range(len(clips))], 0))
    assert happened == [[]]  # they are open already


def test_a_copy_with_other_bytes_than_were_committed_is_fetched_again_once(url, tmp_path):
    """A copy that is whole by its own checksum, as one is whose bytes were changed on their way."""
    reader = open_cache(EvaluateConfig(url, local_cache_dir=tmp_path))
    assert len(reader.all_embeddings("000000"))
    (copy,) = tmp_path.glob("*.copy")
    data = copy.read_bytes()
    wrong, written_in = bytearray(data[:-TRAILER_BYTES]), data[32 - TRAILER_BYTES :]
    wrong[len(wrong) // 2] ^= 1
    copy.write_bytes(wrong + hashlib.sha256(wrong).digest() + written_in)
    again = open_cache(EvaluateConfig(url, local_cache_dir=tmp_path))
    np.testing.assert_array_equal(again.all_embeddings("000000"), reader.all_embeddings("000000"))
