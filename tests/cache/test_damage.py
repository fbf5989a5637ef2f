"""Damage: files cut anywhere and bits flipped anywhere are found before anything of them is given out.

Each damaged file shuts its own doors and no other; with any one of the checks left out, damage would go unnoticed.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from embedonce.cache import documents, label_set_reader
from embedonce.cache.stores.local import LocalStore
from tests.support.cache_doors import behind, given_and_refused
from tests.support.crash_session import run_session

NUM_FLIPS = 300
usual_and_many = pytest.mark.parametrize("count", [100, pytest.param(300, marks=pytest.mark.slow)])


@pytest.fixture(scope="module", params=["hdf5", "webdataset"])
def cache_dir(request, tmp_path_factory) -> Path:
    """A cache with everything in it that there can be; a test leaves every file as it was."""
    root = tmp_path_factory.mktemp(request.param) / "cache"
    run_session(root, request.param)
    return root


@pytest.fixture(scope="module")
def whole(cache_dir) -> dict[str, object]:
    given, refused = given_and_refused(cache_dir)
    assert not refused and len(given) == 14
    return given


@pytest.fixture
def spoilt(cache_dir, whole):
    """spoilt(path, data) -> the doors that give something while these bytes are in the file, each checked."""

    def look(path: Path, data: bytes) -> set[str]:
        good = path.read_bytes()
        path.write_bytes(data)
        try:
            given, _ = given_and_refused(cache_dir)
        finally:
            path.write_bytes(good)
        wrong = [name for name, value in given.items() if value != whole[name]]
        assert not wrong, f"{path} is damaged, and {wrong} gave what is not so"
        return set(given)

    return look


def files(root: Path, *patterns: str) -> list[Path]:
    found = sorted(path for pattern in patterns for path in root.glob(pattern))
    return [path for path in found if path.is_file() and path.name != ".writer.lock"]


def shards(root: Path) -> list[Path]:
    return files(root, "frames/*", "labels/*/logits/*", "teachers/*/columns/*")


def flips(paths: list[Path], count: int, seed: int) -> Iterator[tuple[Path, bytes]]:
    """Each file's bytes in turn with one random bit of them flipped."""
    generator = np.random.default_rng(seed)
    for i in range(count):
        data = bytearray(paths[i % len(paths)].read_bytes())
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        yield paths[i % len(paths)], bytes(data)


def cuts(paths: list[Path], count: int) -> Iterator[tuple[Path, bytes]]:
    """Each file in turn as much of it as a write that was cut off may leave."""
    generator = np.random.default_rng(1)
    for i in range(count):
        data = paths[i % len(paths)].read_bytes()
        yield paths[i % len(paths)], data[: generator.integers(len(data))]


def boundaries(path: Path) -> list[int]:
    """Where members of a tar, their headers and their last blocks begin and end; where chunks of datasets do."""
    if path.suffix == ".tar":
        with tarfile.open(path) as tar:
            places = {n for m in tar.getmembers() for n in (m.offset, m.offset_data, m.offset_data + m.size)}
        return sorted(places | {tar.offset})
    with h5py.File(path) as file:
        chunks = [data.id.get_chunk_info(i) for data in file.values() for i in range(data.id.get_num_chunks())]
    return sorted({n for chunk in chunks for n in (chunk.byte_offset, chunk.byte_offset + chunk.size)})


# -- what the cache does ---------------------------------------------------------------------------------------------


@usual_and_many
@pytest.mark.integration
def test_a_cut_anywhere_is_found_before_a_sample_is_given(cache_dir, whole, spoilt, count):
    for path, data in cuts(shards(cache_dir), count):
        assert spoilt(path, data) == set(whole) - behind(path, cache_dir), f"{path} cut to {len(data)} bytes"


@pytest.mark.integration
def test_a_cut_between_members_or_chunks_is_found(cache_dir, whole, spoilt):
    """Between members, a cut is what tar readers take for the end of the archive, without a word."""
    places = [(path, at) for path in shards(cache_dir) for at in boundaries(path) if at < path.stat().st_size]
    assert len(places) > 50
    for path, at in places:
        assert spoilt(path, path.read_bytes()[:at]) == set(whole) - behind(path, cache_dir), f"{path} cut at {at}"


@usual_and_many
@pytest.mark.integration
def test_a_flipped_bit_anywhere_is_found_before_anything_of_its_file_is_given(cache_dir, whole, spoilt, count):
    everything = files(cache_dir, "**/*")
    assert len(everything) == 21
    for path, data in flips(everything, count, seed=2):
        assert spoilt(path, data) == set(whole) - behind(path, cache_dir), f"a flipped bit of {path}"


@usual_and_many
@pytest.mark.integration
def test_documents_and_tensors_cut_anywhere_are_found(cache_dir, whole, spoilt, count):
    others = [path for path in files(cache_dir, "**/*") if path not in shards(cache_dir)]
    for path, data in cuts(others, count // 3):
        assert spoilt(path, data) == set(whole) - behind(path, cache_dir), f"{path} cut to {len(data)} bytes"


# -- what these tests would notice -----------------------------------------------------------------------------------


class Alike:
    """Equal to everything: a checksum that is not compared."""

    def __eq__(self, other):
        return True

    __hash__ = None


def without_shard_checksums(patch) -> None:
    patch.setattr(LocalStore, "digest", lambda store, name: (store.path(name).stat().st_size, Alike()))


def without_seals(patch) -> None:
    patch.setattr(documents, "_checksum_field", lambda body: Alike())


def without_tensor_checksums(patch) -> None:
    patch.setattr(label_set_reader, "sha256", lambda data: Alike())


@pytest.mark.parametrize(
    ("mutate", "patterns"),
    [
        (without_shard_checksums, ("frames/*", "labels/*/logits/*")),
        (without_seals, ("cache.json",)),
        (without_seals, ("records/*",)),
        (without_seals, ("labels/*/records/*",)),
        (without_seals, ("plan/*",)),
        (without_seals, ("labels/*/label_set.json", "labels/*/clips/*")),
        (without_seals, ("labels/*/revisions/*",)),
        (without_seals, ("quarantine/*",)),
        (without_tensor_checksums, ("labels/*/tensors.safetensors",)),
    ],
)
@pytest.mark.integration
def test_without_a_comparison_of_checksums_flipped_bits_go_unnoticed(
    cache_dir, whole, spoilt, monkeypatch, mutate, patterns
):
    mutate(monkeypatch)

    def goes_unnoticed(path: Path, data: bytes) -> bool:
        try:
            return spoilt(path, data) != set(whole) - behind(path, cache_dir)
        except AssertionError:  # it gave what is not so
            return True
        except (LookupError, OSError, TypeError, ValueError):
            return False  # stumbled over, which no reader may rely on

    assert any(goes_unnoticed(path, data) for path, data in flips(files(cache_dir, *patterns), NUM_FLIPS, seed=3))
