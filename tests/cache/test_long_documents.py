"""Documents that would be too long are continued in further files, and are whole or absent whatever was interrupted."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from embedonce.cache import documents, long_documents
from embedonce.cache import manifest as manifests
from embedonce.cache.commit import sha256
from embedonce.cache.errors import DamagedError
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.repair import repair
from embedonce.cache.schema import FORMAT_VERSION, FORMAT_VERSION_2
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from tests.conftest import make_cache_identity
from tests.support.format_reader import FormatReader
from tests.support.planned_cache import UNITS, make_planned_cache
from tests.support.stored import stored

SMALL = 300  # bytes of the values in a file
OTHER_BYTES = 700  # of a document at most, besides the values
CLASSES = tuple(f"class {number}" for number in range(40))
PROMPTS = tuple((f"a photo of class {number}", f"class {number}") for number in range(40))
CLIPS = [ClipLabel(f"clip {number}", "a", number / 2, number / 2 + 1, number, "train") for number in range(20)]
REVISED = [[ClipLabel("c", "c", 0.0, 1.0, 3, "val")] * 9, CLIPS[:7]]


@pytest.fixture
def short_files(monkeypatch):
    monkeypatch.setattr(long_documents, "MAX_BYTES", SMALL)


@pytest.fixture
def cache(tmp_path, backend, short_files) -> Path:
    return make_long(make_planned_cache(tmp_path / "c", backend), backend)


def make_long(root: Path, backend: str) -> Path:
    """The cache with a label set whose documents are long, one of them revised."""
    with closing(open_writer(root, make_cache_identity(backend))) as writer:
        writer.create_label_set(LabelSet("long", "none", CLASSES, PROMPTS, None, {}), None)
        writer.publish_clips("long", 0, CLIPS)
        writer.revise_clips("long", REVISED)
        writer.publish_clips("long", 2, CLIPS[7:])
        writer.write_manifest()
    return root


def continued(root: Path) -> list[str]:
    return sorted({str(path.parent.relative_to(root)) for path in root.rglob("*.continued/*")})


# -- writing and reading ---------------------------------------------------------------------------------------------


def test_short_documents_are_one_file_of_version_1(tmp_path, backend):
    root = make_long(make_planned_cache(tmp_path / "c", backend), backend)
    assert continued(root) == []
    paths = [root / "manifest.json", *(root / "labels" / "long").rglob("*.json")]
    assert {json.loads(path.read_bytes())["format_version"] for path in paths} == {FORMAT_VERSION}


def test_long_documents_are_read_as_they_were_written(cache):
    reader = open_reader(cache)
    labels = reader.label_set("long")
    assert (labels.classes, labels.prompts) == (CLASSES, PROMPTS)
    parts = reader.clip_parts("long")
    assert {part: list(clips) for part, clips in parts.items()} == {**dict(enumerate(REVISED)), 2: CLIPS[7:]}
    manifest = read_manifest(Layout.at(cache))
    assert manifest == manifests.build_manifest(reader.catalog)
    assert [entry["unit"] for entry in manifest["shards"]] == list(UNITS)
    folders = ("clips/000000", "clips/000002", "label_set", "revisions/000001")
    assert set(continued(cache)) >= {"manifest.continued", *(f"labels/long/{name}.continued" for name in folders)}


def test_no_file_is_longer_than_allowed(cache):
    files = [path for path in cache.rglob("*.json") if path.parent.name not in ("records", "plan")]
    assert len(files) > 20 and max(path.stat().st_size for path in files) < SMALL + OTHER_BYTES


def test_readers_of_version_1_refuse_what_they_would_miss(cache):
    for name in continued(cache):
        for path in (cache / name.replace(".continued", ".json"), *(cache / name).iterdir()):
            assert json.loads(path.read_bytes())["format_version"] == FORMAT_VERSION_2


def test_a_reader_written_from_the_document_reads_the_same(cache):
    reader, mine = open_reader(cache), FormatReader(cache)
    assert mine.label_set("long")["classes"] == list(CLASSES)
    clips = [(clip["clip_id"], clip["start_sec"], clip["label"]) for clip in mine.clips("long")]
    assert clips == [(clip.clip_id, clip.start_sec, clip.label) for clip in reader.label_set("long").clips]


def test_a_cache_with_long_documents_is_sound_and_nothing_in_it_is_superfluous(cache):
    report = verify(cache)
    assert report.problems == [] and report.extra == []


def test_what_was_committed_and_is_lost_is_known_from_all_files_of_the_manifest(cache):
    (cache / "records" / "000006.json").unlink()
    (cache / "frames").joinpath(f"000006{'.h5' if (cache / 'frames/000006.h5').exists() else '.tar'}").unlink()
    assert any("000006.json is missing: the manifest lists it" in problem.message for problem in verify(cache).problems)


def test_a_manifest_that_becomes_short_leaves_no_continuations(cache, backend, monkeypatch):
    monkeypatch.setattr(long_documents, "MAX_BYTES", 1 << 20)
    with closing(open_writer(cache, make_cache_identity(backend))) as writer:
        assert not writer.rebuild_manifest_if_stale()
        writer.write_manifest()
    assert "manifest.continued" not in continued(cache)
    assert json.loads((cache / "manifest.json").read_bytes())["format_version"] == FORMAT_VERSION


def test_a_document_that_no_reader_takes_is_not_written(cache, backend):
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    bad = ClipLabel("clip", "a", 2.0, 1.0, 0, "train")
    with closing(open_writer(cache, make_cache_identity(backend))) as writer:
        with pytest.raises(ValueError, match="was not written"):
            writer.publish_clips("long", 1, [*CLIPS, bad])
        with pytest.raises(ValueError, match="was not written"):
            writer.revise_clips("long", [[*CLIPS, bad]])
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before


# -- damage ----------------------------------------------------------------------------------------------------------


def lose(path: Path) -> None:
    path.unlink()


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(path: Path) -> None:
    os.rename(path, path.parents[3] / "elsewhere")
    path.symlink_to(path.parents[3] / "elsewhere")


@pytest.mark.parametrize("harm", [lose, spoil, link])
@pytest.mark.parametrize("document", ["clips/000002", "label_set", "revisions/000001"])
def test_a_continuation_that_is_not_there_as_it_was_is_damage(cache, document, harm):
    harm(min((cache / "labels" / "long" / f"{document}.continued").iterdir()))
    with pytest.raises(DamagedError):
        open_reader(cache).label_set("long")
    assert verify(cache).problems


def test_a_manifest_of_which_a_part_is_lost_is_rebuilt(cache, backend):
    lose(min((cache / "manifest.continued").iterdir()))
    assert read_manifest(Layout.at(cache)) is None
    with closing(open_writer(cache, make_cache_identity(backend))) as writer:
        assert writer.rebuild_manifest_if_stale() and not writer.rebuild_manifest_if_stale()


def test_a_repair_moves_a_damaged_document_with_its_continuations(cache, backend):
    with closing(open_writer(cache, make_cache_identity(backend))) as writer:
        writer.revise_clips("long", [[]])
    spoil(min((cache / "labels/long/revisions/000001.continued").iterdir()))
    done = repair(cache, None)
    assert done.folder is not None and verify(cache).extra == []
    moved = Path(str(done.folder)) / "labels/long/revisions"
    assert {path.name for path in moved.iterdir()} == {"000001.json", "000001.continued"}


def replace_continuation(path: Path, change) -> None:
    """Change the first continuation of a document, and its name in the document."""
    document = documents.read(stored(path))
    first, *others = document["continued_in"]
    folder = path.with_name(f"{path.stem}.continued")
    values = documents.read(stored(folder / f"{first}.json"))
    change(values)
    data = documents.serialize_with_checksum(values)
    (folder / f"{sha256(data)}.json").write_bytes(data)
    document["continued_in"] = [sha256(data), *others]
    path.write_bytes(documents.serialize_with_checksum(document))


CHANGES = {
    "no array": lambda values: values["values"][0].__setitem__(0, ["part"]),
    "no place": lambda values: values["values"][0].__setitem__(0, []),
    "another place": lambda values: values["values"][0].__setitem__(0, ["none"]),
    "a number": lambda values: values["values"][0].__setitem__(0, [0]),
    "a place as text": lambda values: values["values"][0].__setitem__(0, "clips"),
    "no values": lambda values: values["values"][0].pop(),
    "values as text": lambda values: values["values"][0].__setitem__(1, "text"),
    "nothing": lambda values: values.pop("values"),
    "other values": lambda values: values["values"][0].__setitem__(1, [5]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_continuation_of_another_form_is_refused(cache, name):
    replace_continuation(cache / "labels/long/clips/000002.json", CHANGES[name])
    with pytest.raises(DamagedError):
        open_reader(cache).label_set("long")


@pytest.mark.parametrize(
    "names",
    [
        lambda names: [*names, names[0]],
        lambda names: [*names[1:], names[0]],
        lambda names: names[1:],
        lambda names: ["../000000", *names],
        lambda names: names[0],
        lambda names: [5],
        lambda names: [["a"]],
        lambda names: None,
        lambda names: {"a": 1},
    ],
)
def test_names_of_continuations_that_are_none_are_refused(cache, names):
    path = cache / "labels/long/clips/000002.json"
    document = documents.read(stored(path))
    document["continued_in"] = names(document["continued_in"])
    path.write_bytes(documents.serialize_with_checksum(document))
    with pytest.raises(DamagedError):
        open_reader(cache).label_set("long")


def test_a_folder_of_continuations_that_is_a_link_is_refused(cache):
    folder = cache / "labels/long/clips/000002.continued"
    os.rename(folder, cache.parent / "elsewhere")
    folder.symlink_to(cache.parent / "elsewhere")
    with pytest.raises(DamagedError):
        open_reader(cache).label_set("long")
