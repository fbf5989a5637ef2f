"""Files and folders of a cache that are links, pipes or folders: nobody follows them, and nobody waits for them."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from embedonce.cache import documents
from embedonce.cache.errors import CacheError, DamagedError
from embedonce.cache.store import open_reader, read_identity
from embedonce.cache.writer import CacheWriter
from tests.commands.test_cli import error_of
from tests.conftest import second_backend_slow
from tests.support.hostile_cache import LABEL_SET, bounded, pickle_of, refusals, spoilable, write_sealed
from tests.support.stored import stored

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def cache_dir(tmp_path, backend) -> Iterator[Path]:
    with spoilable(tmp_path, backend) as root:
        yield root


def every_file(root: Path) -> list[Path]:
    skipped = (".writer.lock", "manifest.json", "extract_config.yaml")
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name not in skipped)


@second_backend_slow
@pytest.mark.integration
def test_links_pipes_and_folders_in_place_of_files_are_refused_without_waiting(cache_dir, tmp_path):
    with bounded():
        for path in every_file(cache_dir):
            aside = path.rename(tmp_path / "outside")
            for make in (partial(path.symlink_to, aside), partial(os.mkfifo, path), path.mkdir):
                make()
                assert "verify" in refusals(cache_dir), path
                path.rmdir() if make == path.mkdir else path.unlink()
            aside.rename(path)
    assert refusals(cache_dir) == {}


@pytest.mark.parametrize("name", ["plan", "frames", "records", "labels", "quarantine", "attempts"])
def test_a_linked_folder_is_refused_by_every_command(cache_dir, tmp_path, name):
    (cache_dir / name).rename(tmp_path / "outside")
    (cache_dir / name).symlink_to(tmp_path / "outside")
    assert set(refusals(cache_dir)) == {"read", "verify", "inspect", "write"}


@pytest.mark.parametrize("name", ["", "logits", "records", "clips"])
@pytest.mark.integration
def test_a_linked_folder_of_a_label_set_is_refused(cache_dir, tmp_path, name):
    folder, outside = cache_dir / LABEL_SET / name, tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    (outside / ".tmp-kept").write_bytes(b"not the cache's own")
    assert {"read", "verify"} <= set(refusals(cache_dir))
    reader = open_reader(cache_dir)
    if name == "":
        with pytest.raises(DamagedError, match="symbolic link"):
            reader.label_tensors("zero-shot")
    if name in ("", "records", "logits"):
        with pytest.raises(DamagedError, match="symbolic link"):
            reader.logits_units("zero-shot")
    assert (outside / ".tmp-kept").exists()


@pytest.mark.parametrize("name", ["-x", "a b", "a.b", "x\ny", "é"])
@pytest.mark.integration
def test_a_label_set_whose_folder_no_writer_would_make_is_none_and_is_found(cache_dir, name):
    (cache_dir / LABEL_SET).rename(cache_dir / "labels" / name)
    path = cache_dir / "labels" / name / "label_set.json"
    write_sealed(path, documents.read(stored(path)) | {"name": name})
    assert "verify" in refusals(cache_dir)
    assert name not in open_reader(cache_dir).label_sets()


def test_a_writer_replaces_a_link_and_not_its_target(cache_dir, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    for name in ("manifest.json", "extract_config.yaml"):
        (cache_dir / name).unlink(missing_ok=True)
        (cache_dir / name).symlink_to(outside)
    writer = CacheWriter(cache_dir, read_identity(cache_dir))
    writer.rebuild_manifest_if_stale(), writer.write_sidecar("extract_config.yaml", "a: 1")
    writer.close()
    assert outside.read_bytes() == b"precious" and not (cache_dir / "manifest.json").is_symlink()


def test_a_lock_that_leads_elsewhere_is_refused_and_nothing_is_made_there(cache_dir, tmp_path):
    (cache_dir / ".writer.lock").unlink(missing_ok=True)
    (cache_dir / ".writer.lock").symlink_to(tmp_path / "sentinel")
    with pytest.raises(CacheError):
        CacheWriter(cache_dir, read_identity(cache_dir))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("records/000000.json", lambda path, sentinel: os.mkfifo(path)),
        ("records/000000.json", lambda path, sentinel: path.symlink_to(path.with_name("000001.json"))),
        ("plan/000000.json", lambda path, sentinel: path.write_bytes(pickle_of(sentinel))),
        ("cache.json", lambda path, sentinel: path.write_bytes(b"[" * 100_000)),
    ],
)
def test_every_command_ends_with_one_sentence_and_exit_code_4(cache_dir, tmp_path, name, make):
    (cache_dir / name).unlink()
    make(cache_dir / name, tmp_path / "sentinel")
    for command in ("inspect-cache", "verify-cache", "convert-cache"):
        more = ("--backend", "hdf5", "--output-dir", tmp_path / "other") if command == "convert-cache" else ()
        with bounded():
            assert name.rpartition("/")[2] in error_of(command, "--cache-dir", cache_dir, *more, code=4) or (
                command == "verify-cache"
            )
