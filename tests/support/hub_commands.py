"""The commands for caches on the hub, as tests give them: a cache that every test may change, pushes and pulls."""

import shutil
from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from tests.commands.test_cli import call, error_of
from tests.support.fake_hub import FakeHub
from tests.support.shared_units import make_shared_cache

REPO, MANIFEST = "ann/kitchen", "embedonce_cache.json"
WARNING = "ignore:Use 'content=:DeprecationWarning"  # huggingface_hub's own


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    return make_shared_cache(tmp_path_factory.mktemp("original") / "cache", "hdf5")


@pytest.fixture
def cache(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "cache")


def push_words(cache: Path, *more) -> list:
    return ["push-cache", "--cache-dir", cache, "--repo", REPO, "--license", "cc-by-4.0", *more]


def push(cache: Path, *more) -> str:
    return call(*push_words(cache, *more))


def push_error(cache: Path, *more, code: int = 5) -> str:
    return error_of(*push_words(cache, *more), code=code)


def pull_error(tmp_path: Path, *more, code: int = 5) -> str:
    error = error_of("pull-cache", REPO, "--output-dir", tmp_path / "copy", *more, code=code)
    assert not (tmp_path / "copy").exists()
    return error


def pull(tmp_path: Path, *more) -> Path:
    call("pull-cache", REPO, "--output-dir", tmp_path / "copy", *more)
    return tmp_path / "copy"


def shard_sha256(cache: Path) -> str:
    """The hash of a frame shard."""
    return max(open_reader(cache).records.items())[1].sha256


def shard_of(hub: FakeHub) -> str:
    """The name of a frame shard in the repository."""
    return next(name for name in hub.content(REPO) if name.startswith("frames/"))
