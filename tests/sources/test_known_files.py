"""Fingerprints that a cache keeps: unchanged files are not hashed again, and no change of a file is missed."""

import json
import os
from pathlib import Path

import pytest

from embedonce.cache import documents
from embedonce.cache.files import version_of
from embedonce.cache.layout import FILE_FINGERPRINTS
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.registry import stored_path
from embedonce.pipeline.sources import known_files
from embedonce.pipeline.sources.content_identity import fingerprint, fingerprint_of
from embedonce.pipeline.sources.known_files import EDGE_BYTES, KnownFiles

SIZE = 3 * EDGE_BYTES


@pytest.fixture
def hashed(monkeypatch, paths) -> list[str]:
    """The names of the files that were hashed."""
    names, name_of = [], {path.stat().st_ino: path.name for path in paths}

    def counted(file):
        names.append(name_of[os.fstat(file.fileno()).st_ino])
        return fingerprint_of(file)

    monkeypatch.setattr(known_files, "fingerprint_of", counted)
    return names


@pytest.fixture
def settled(monkeypatch) -> None:
    """Files count as old."""
    monkeypatch.setattr(known_files, "SETTLED_SEC", -1e9)


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    for i, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes([i]) * SIZE)
    return [tmp_path / name for name in "abc"]


def keep(paths: list[Path], folder: Path) -> None:
    """What a run that reads these files keeps."""
    files = KnownFiles()
    files.fingerprints(paths)
    (folder / FILE_FINGERPRINTS).write_text(files.text_of(paths))


def known(folder: Path) -> KnownFiles:
    return KnownFiles(stored_path(folder) / FILE_FINGERPRINTS)


@pytest.mark.usefixtures("settled")
def test_unchanged_files_are_not_hashed_again_and_nothing_is_written_again(tmp_path, paths, hashed):
    keep(paths, tmp_path)
    assert sorted(hashed) == ["a", "b", "c"]
    files = known(tmp_path)
    assert files.fingerprints(paths) == [fingerprint(path) for path in paths] and sorted(hashed) == ["a", "b", "c"]
    assert files.text_of(paths) is None
    assert "/b" not in files.text_of([paths[0], paths[2]])  # a file that is not listed any more, or was withdrawn


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("position", [0, SIZE // 2, SIZE - 1])
def test_a_change_without_another_size_or_modification_time_is_found(tmp_path, paths, hashed, position):
    keep(paths, tmp_path)
    times = paths[1].stat()
    data = bytearray(paths[1].read_bytes())
    data[position] = 77
    paths[1].write_bytes(data)
    os.utime(paths[1], ns=(times.st_atime_ns, times.st_mtime_ns))
    hashed.clear()
    assert known(tmp_path).fingerprints(paths) == [fingerprint(path) for path in paths]
    assert hashed == ["b"]


@pytest.mark.usefixtures("settled")
def test_an_entry_that_only_looks_right_does_not_hide_other_bytes_at_the_ends(tmp_path, paths):
    """As on file systems that keep no time of change."""
    keep(paths, tmp_path)
    paths[1].write_bytes(bytes([1]) * (SIZE - 1) + b"!")
    document = json.loads((tmp_path / FILE_FINGERPRINTS).read_text())
    document["files"][1][2] = version_of(paths[1].stat()).tag
    del document["checksum"]
    (tmp_path / FILE_FINGERPRINTS).write_bytes(documents.serialize_with_checksum(document))
    assert known(tmp_path).fingerprints(paths) == [fingerprint(path) for path in paths]


def test_files_that_were_changed_a_moment_ago_are_not_kept(paths, monkeypatch):
    files = KnownFiles()
    files.fingerprints(paths)
    assert files.text_of(paths) is None
    now = known_files.time.time()
    monkeypatch.setattr(
        known_files.time, "time", lambda: now + 40
    )  # Linux notes no second time of a mapped page so long
    files.fingerprints(paths)
    assert files.text_of(paths) is None
    monkeypatch.setattr(known_files.time, "time", lambda: now + 61)
    files.fingerprints(paths)
    assert len(json.loads(files.text_of(paths))["files"]) == 3


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"\x00\xff",
        lambda data: data[:-1],
        lambda data: data.replace(b'"files"', b'"lists"'),
        lambda data: data.replace(b"0" * 3, b"1" * 3) if b"000" in data else data + b" ",
        lambda data: documents.serialize_with_checksum({"files": [["a"]]}),
        lambda data: documents.serialize_with_checksum({"files": [["a", 1, 2, 3, "0" * 64]]}),
        lambda data: documents.serialize_with_checksum({"files": {"a": 1}}),
        lambda data: documents.serialize_with_checksum({"files": 3}),
    ],
)
def test_a_damaged_file_only_costs_time(tmp_path, paths, hashed, damage):
    keep(paths, tmp_path)
    hashed.clear()
    place = tmp_path / FILE_FINGERPRINTS
    place.write_bytes(damage(place.read_bytes()))
    files = known(tmp_path)
    assert files.fingerprints(paths) == [fingerprint(path) for path in paths] and sorted(hashed) == ["a", "b", "c"]
    assert len(json.loads(files.text_of(paths))["files"]) == 3


@pytest.mark.usefixtures("settled")
def test_unreadable_files_have_no_fingerprint_and_too_many_files_are_not_kept(tmp_path, paths, monkeypatch):
    (tmp_path / "folder").mkdir()
    files = KnownFiles()
    strange = [tmp_path / "folder", tmp_path / "nowhere"]
    assert files.fingerprints(strange) == ["", ""] and files.text_of(strange) is None
    files.fingerprints(paths)
    monkeypatch.setattr(known_files, "MAX_FILES", 2)
    assert files.text_of(paths) is None


@pytest.mark.parametrize(("modified_ns", "is_kept"), [(1, True), (0, False)])
def test_a_remote_file_is_kept_by_its_version_if_the_server_says_when_it_changed(tmp_path, modified_ns, is_kept):
    (tmp_path / "a").write_bytes(b"a" * SIZE)

    class Remote:
        """As a RemoteFile."""

        def __init__(self, tag):
            self.version, self.modified_ns = FileVersion(SIZE, tag), modified_ns

        def __str__(self):
            return "https://host/a.mp4"

        def open(self):
            return (tmp_path / "a").open("rb")

    files = KnownFiles()
    assert files.fingerprints([Remote("one")]) == [fingerprint(tmp_path / "a")]
    text = files.text_of([Remote("one")])
    assert (text is not None) == is_kept
    if text is not None:
        (tmp_path / FILE_FINGERPRINTS).write_text(text)
        (tmp_path / "a").write_bytes(b"a" * EDGE_BYTES + b"b" * EDGE_BYTES + b"a" * EDGE_BYTES)
        first, second = (known(tmp_path).fingerprints([Remote(tag)]) for tag in ("one", "two"))
        assert second == [fingerprint(tmp_path / "a")] != first  # what has one version is taken for the same
