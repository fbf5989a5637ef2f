"""Where local copies of a cache in an object store are kept."""

import stat
from pathlib import Path

import pytest

from embedonce.cache.convert import convert
from embedonce.cache.errors import StorageError
from embedonce.pipeline.clips.open_cache import default_folder, open_cache
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


def test_the_shards_of_a_batch_are_asked_for_before_they_are_read(url, tmp_path):
    reader = open_cache(EvaluateConfig(url, local_cache_dir=tmp_path))
    reader.prefetch(["000000", "000001"])
    reader.store._prefetcher.wait()
    assert len(list(tmp_path.glob("*.copy"))) == 2
