"""Added teachers: their embeddings are columns beside the frames, verified and repaired apart from them."""

import gc
import json
import shutil
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from embedonce.cache import documents
from embedonce.cache.added_teachers.documents import FIRST, seen_views
from embedonce.cache.convert import convert
from embedonce.cache.errors import CacheError, DamagedError, TeacherError
from embedonce.cache.inspect import summary
from embedonce.cache.layout import Layout
from embedonce.cache.manifest import read_manifest
from embedonce.cache.removal import planned, remove, teacher_removal, videos_removal
from embedonce.cache.removal_document import Removal, begin_removal
from embedonce.cache.repair import purge, repair
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.cache.verify import Remedy, verify
from embedonce.pipeline.frames.canonical_frame import replayed_crc32 as replay
from tests.cache.test_verify import SUFFIX, damage, flip
from tests.commands.test_cli import call
from tests.conftest import second_backend_slow
from tests.support.cache_parts import make_cache
from tests.support.embedded_cache import NAME, add_second_teacher, embedded, make_extracted_cache, second_teacher
from tests.support.fake_teacher import fake_identity
from tests.support.shared_units import SECOND, make_shared_cache, write_second_teacher

pytestmark = pytest.mark.usefixtures("forked_workers")
UNIT = "000001"


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """A cache of each back end, without and with the second teacher."""
    root = tmp_path_factory.mktemp("embedded")
    for backend in SUFFIX:
        make_extracted_cache(root / f"plain-{backend}", backend)
        add_second_teacher(shutil.copytree(root / f"plain-{backend}", root / backend))
    return root


@pytest.fixture
def plain(originals, tmp_path, backend) -> Path:
    return shutil.copytree(originals / f"plain-{backend}", tmp_path / "plain")


@pytest.fixture
def cache(originals, tmp_path, backend) -> Path:
    return shutil.copytree(originals / backend, tmp_path / "cache")


def embeddings_of(root: Path, name: str = NAME) -> dict[str, bytes]:
    """Everything that a teacher has of a cache, by unit."""
    with closing(open_reader(root)) as reader:
        teachers = reader.teachers
        return {
            unit: teachers.all_embeddings(name, unit).tobytes() + teachers.all_crop_crc32(name, unit).tobytes()
            for unit in teachers.records(name)
        }


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != ".writer.lock"}


# -- reading and writing -----------------------------------------------------------------------------------------------


def test_embeddings_are_read_as_they_were_written_in_any_order(cache):
    teacher = second_teacher()
    with closing(open_reader(cache)) as reader:
        assert reader.teachers.names() == (NAME,) and reader.teachers.read(NAME).identity == teacher.identity
        for unit in reader.records:
            vectors, checksums = embedded(reader, teacher, unit)
            np.testing.assert_array_equal(reader.teachers.all_embeddings(NAME, unit), vectors)
            np.testing.assert_array_equal(reader.teachers.all_crop_crc32(NAME, unit), checksums)
            column = reader.teachers.column(NAME, unit)
            for start, stop, view in ((1, 3, 1), (0, 1, 0), (2, 4, 1)):
                np.testing.assert_array_equal(column.embeddings(start, stop, view), vectors[start:stop, view])


def test_the_first_teacher_is_unaffected(cache, plain):
    with closing(open_reader(cache)) as reader, closing(open_reader(plain)) as other:
        for unit in other.records:
            assert reader.all_embeddings(unit).tobytes() == other.all_embeddings(unit).tobytes()
    assert (cache / "cache.json").read_bytes() == (plain / "cache.json").read_bytes()
    assert not (plain / "teachers").exists() and "teachers" not in (read_manifest(Layout.at(plain)) or {})


def test_views_are_those_of_the_cache_with_the_teachers_own_interpolation():
    views = np.array([[0, 0, 64, 64, 0, 3], [1, 2, 40, 40, 1, 3]], np.int32)
    seen = seen_views(views, fake_identity(interpolation="bilinear"))
    np.testing.assert_array_equal(seen[:, :5], views[:, :5])
    assert seen[:, 5].tolist() == [2, 2] and views[:, 5].tolist() == [3, 3]


def test_columns_are_readable_without_this_program(cache, backend):
    expected = embeddings_of(cache)[UNIT]
    shard = cache / "teachers" / NAME / "columns" / f"{UNIT}.{SUFFIX[backend]}"
    if backend == "hdf5":
        with h5py.File(shard) as file:
            assert dict(file.attrs)["kind"] == b"embeddings"
            stored = file["embeddings"][:], file["crop_crc32"][:]
    else:
        webdataset = pytest.importorskip("webdataset")
        with warnings.catch_warnings(action="ignore"):  # webdataset leaves the file open
            rows = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode())
            gc.collect()
        stored = np.stack([row["emb.npy"] for row in rows]), np.stack([row["crc.npy"] for row in rows])
    assert stored[0].dtype == np.float16 and stored[1].dtype == np.uint32
    assert stored[0].tobytes() + stored[1].tobytes() == expected


def test_a_teacher_is_created_once_and_its_missing_units_are_known(cache):
    with closing(open_writer(cache, read_identity(cache))) as writer:
        writer.teachers.create(NAME, second_teacher().identity)
        writer.teachers.create("third", second_teacher(weights_sha256="3" * 64).identity)
        assert writer.reader().teachers.lacking("third") == ["000000", "000001", "000002", "000003"]
        assert writer.reader().teachers.lacking(NAME) == []
    with pytest.raises(DamagedError, match="no embeddings of unit 000001; run add-teacher again"):
        open_reader(cache).teachers.all_embeddings("third", UNIT)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (NAME, {"weights_sha256": "4" * 64}, r"another one \(in the cache -> requested\): weights_sha256"),
        (NAME, {"interpolation": "bilinear"}, "interpolation: bicubic -> bilinear"),
        ("third", {}, "has the embeddings of this teacher .* under the name 'second'"),
        ("third", {"weights": "other", "resize_mode": "squash"}, "under the name 'second'"),
        ("third", {"name": "fake", "weights_sha256": "0" * 64, "embed_dim": 16}, "under the name 'first'"),
        ("third", {"window": 1024, "input_size": 512}, "cannot have .* 2 views of windows of 1024 frames"),
    ],
)
def test_a_teacher_that_is_another_one_or_there_already_is_refused(cache, name, changes, message):
    before = files(cache)
    with closing(open_writer(cache, read_identity(cache))) as writer, pytest.raises(TeacherError, match=message):
        writer.teachers.create(name, second_teacher(**changes).identity)
    assert files(cache) == before


@pytest.mark.parametrize("name", [FIRST, "a/b", "..", "", "a.b"])
def test_a_name_that_no_teacher_can_have_is_refused(cache, name):
    with closing(open_writer(cache, read_identity(cache))) as writer, pytest.raises(ValueError):
        writer.teachers.create(name, second_teacher().identity)


@pytest.mark.parametrize(
    "change",
    [
        lambda vectors, checksums: (vectors[:-1], checksums[:-1]),
        lambda vectors, checksums: (vectors.astype(np.float32), checksums),
        lambda vectors, checksums: (vectors[:, :, :4], checksums),
        lambda vectors, checksums: (2 * vectors, checksums),
        lambda vectors, checksums: (vectors, checksums[:, :1]),
        lambda vectors, checksums: (np.full_like(vectors, np.nan), checksums),
    ],
)
@second_backend_slow
def test_embeddings_of_another_shape_or_length_are_not_committed(plain, change):
    teacher = second_teacher()
    with closing(open_writer(plain, read_identity(plain))) as writer:
        writer.teachers.create(NAME, teacher.identity)
        vectors, checksums = embedded(writer.reader(), teacher, UNIT)
        with pytest.raises(ValueError):
            writer.teachers.commit(NAME, UNIT, *change(vectors, checksums), {})
    assert not list((plain / "teachers" / NAME / "columns").iterdir())


def test_an_unknown_teacher_is_named_with_those_that_exist(cache):
    with pytest.raises(TeacherError, match=r"no teacher 'dino' \(it has: first, second\)"):
        open_reader(cache).teachers.read("dino")


def test_inspection_shows_how_much_a_teacher_has_embedded(cache):
    line = next(line for line in summary(cache) if line.startswith("added teacher"))
    assert line.startswith(f"added teacher {NAME}: other (random, gelu, sha256 222222222222…), 8-d, input 32 px")
    assert "4 of 4 shards embedded" in line and "again" not in line
    (cache / "teachers" / NAME / "records" / f"{UNIT}.json").unlink()
    line = next(line for line in summary(cache) if line.startswith("added teacher"))
    assert "3 of 4 shards embedded" in line
    output = call("inspect-cache", "--cache-dir", cache)
    assert f"teacher {NAME}: 1 of 4 shards are not embedded yet; run add-teacher --name {NAME} again" in output


# -- verifying and repairing -------------------------------------------------------------------------------------------


def test_a_sound_cache_is_sound(cache):
    report = verify(cache, replay)
    assert (report.problems, report.extra, report.uncovered) == ([], [], {})
    assert report.num_shards == 12 and report.num_rows == 18  # frames, logits and embeddings of four units


@pytest.mark.parametrize("name", ["columns/000001.{}", "records/000001.json"])
def test_a_damaged_file_is_found_and_only_the_teachers_unit_is_moved(cache, backend, name):
    expected = embeddings_of(cache)
    flip(cache / "teachers" / NAME / name.format(SUFFIX[backend]))
    report = verify(cache, replay)
    (problem,) = report.problems
    assert (problem.remedy, problem.unit, problem.teacher) == (Remedy.REDO_COLUMN, UNIT, NAME)
    before = files(cache)
    repaired = repair(cache, replay)
    moved = {path.relative_to(cache) for path in before} - {path.relative_to(cache) for path in files(cache)}
    files_of_unit = {Path("teachers", NAME, "columns", f"{UNIT}.{SUFFIX[backend]}")}
    assert moved == files_of_unit | {Path("teachers", NAME, "records", f"{UNIT}.json")} and repaired.folder
    after = verify(cache, replay)
    assert after.problems == [] and after.uncovered == {NAME: 1}  # what a repair took is not lost
    purge(cache)
    assert verify(cache).problems == []
    add_second_teacher(cache)
    assert embeddings_of(cache) == expected and verify(cache, replay).uncovered == {}


def test_damaged_frames_take_the_embeddings_of_added_teachers_with_them(cache, backend):
    flip(cache / "frames" / f"{UNIT}.{SUFFIX[backend]}")
    assert {problem.remedy for problem in verify(cache).problems} == {Remedy.REDO_UNIT}
    repair(cache, None)
    assert UNIT not in {path.stem for path in (cache / "teachers" / NAME / "columns").iterdir()}
    assert verify(cache).problems == []


def test_embeddings_of_frames_that_were_replaced_are_neither_read_nor_sound(cache):
    damage(cache, UNIT, lambda batch: replace(batch, jpegs=batch.jpegs[::-1]))
    with pytest.raises(DamagedError, match="computed from other frames than are stored now"):
        open_reader(cache).teachers.all_embeddings(NAME, UNIT)
    assert [p.remedy for p in verify(cache).problems if p.teacher] == [Remedy.REDO_COLUMN]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vectors, checksums: (vectors, checksums + np.uint32(1)), "are not the pixels that the teacher saw"),
        (lambda vectors, checksums: ((vectors * 0.99).astype(np.float16), checksums), "has length 0.99"),
    ],
)
def test_wrong_content_under_right_checksums_is_found(cache, backend, change, message):
    teacher = second_teacher()
    for name in (f"columns/{UNIT}.{SUFFIX[backend]}", f"records/{UNIT}.json"):
        (cache / "teachers" / NAME / name).unlink()
    with closing(open_writer(cache, read_identity(cache))) as writer:
        writer.teachers.commit(NAME, UNIT, *change(*embedded(writer.reader(), teacher, UNIT)), {})
    (problem,) = verify(cache, replay).problems
    assert message in problem.message and problem.teacher == NAME


def test_a_lost_record_is_missing_because_the_manifest_lists_it(cache):
    (cache / "teachers" / NAME / "records" / f"{UNIT}.json").unlink()
    (problem,) = verify(cache).problems
    assert (problem.remedy, problem.teacher) == (Remedy.MISSING, NAME) and "the manifest lists it" in problem.message
    told = call("repair-cache", "--cache-dir", cache, "--yes", code=4)
    assert "run the command that made them (extract-teacher, add-teacher or relabel)" in told


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_lost_document_is_missing_and_not_written_anew(cache, has_manifest):
    if not has_manifest:
        (cache / "manifest.json").unlink()
    (cache / "teachers" / NAME / "teacher.json").unlink()
    messages = [problem.message for problem in verify(cache).problems if problem.path.name == "teacher.json"]
    assert len(messages) == 1 and "is missing" in messages[0]
    with pytest.raises(DamagedError, match=r"has lost its teacher\.json"):
        add_second_teacher(cache)
    with pytest.raises(DamagedError, match=r"has lost its teacher\.json"):
        remove(cache, videos_removal(["a"], is_withdrawal=True))


def test_a_damaged_document_stops_neither_the_repair_of_others_nor_the_removal_of_the_teacher(cache, backend):
    flip(cache / "teachers" / NAME / "teacher.json")
    flip(cache / "frames" / f"{UNIT}.{SUFFIX[backend]}")
    report = verify(cache)
    assert {(p.remedy, p.teacher) for p in report.problems} == {(Remedy.NONE, NAME), (Remedy.REDO_UNIT, None)}
    assert any(f"remove --teacher {NAME}" in problem.message for problem in report.problems)
    assert repair(cache, None).folder is not None
    remove(cache, teacher_removal(NAME))
    assert verify(cache).problems == [] and not (cache / "teachers" / NAME).exists()


@second_backend_slow
def test_what_an_interrupted_removal_of_a_teacher_has_left_is_no_loss(cache):
    begin_removal(Layout.at(cache), Removal(teachers=(NAME,)))
    (cache / "teachers" / NAME / "teacher.json").unlink()
    (problem,) = verify(cache, replay).problems
    assert f"a removal of added teacher {NAME} was interrupted: finish it" in problem.message
    assert f"added teacher {NAME} was removed" in call("remove", "--cache-dir", cache, "--teacher", NAME, "--yes")
    begin_removal(Layout.at(cache), Removal(label_sets=("zero-shot",)))
    (cache / "labels" / "zero-shot" / "label_set.json").unlink()
    again = ("remove", "--cache-dir", cache, "--label-set", "zero-shot", "--yes")
    assert "label set zero-shot was removed" in call(*again) and verify(cache, replay).problems == []
    assert "has no label set 'zero-shot'" in call(*again, code=4)


def test_files_that_nobody_refers_to_are_extra(cache, backend):
    folder = cache / "teachers" / NAME
    for path in (folder / "notes.txt", folder / "columns" / f"000099.{SUFFIX[backend]}", cache / "teachers" / "x.txt"):
        path.write_text("mine")
    assert {Path(str(path)).name for path in verify(cache).extra} == {"notes.txt", f"000099.{SUFFIX[backend]}", "x.txt"}


@second_backend_slow
def test_a_copy_of_a_folder_under_another_name_is_extra_and_stops_nothing(cache):
    for folder in (cache / "teachers" / NAME, cache / "labels" / "zero-shot"):
        shutil.copytree(folder, f"{folder}.bak")
    copies = {f"{NAME}.bak", "zero-shot.bak"}
    report = verify(cache, replay)
    assert report.problems == [] and {path.name for path in report.extra} == copies
    with closing(open_writer(cache, read_identity(cache))) as writer:
        writer.write_manifest()
    remove(cache, videos_removal(["a"], is_withdrawal=True))
    assert verify(cache, replay).problems == [] and {path.name for path in verify(cache).extra} == copies
    for option, name in (("--teacher", f"{NAME}.bak"), ("--label-set", "zero-shot.bak")):
        assert f"{name!r} (it has:" in call("remove", "--cache-dir", cache, option, name, "--yes", code=4)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"name": FIRST},
        {"teacher": {}},
        {"teacher": {"embed_dim": 1 << 20}},
        {"teacher": {"input_size": 100_000}},
        {"teacher": {"interpolation": "lanczos"}},
        {"teacher": {"mean": [0.5, 0.5]}},
    ],
)
def test_an_invalid_document_is_damaged(cache, change):
    path = cache / "teachers" / NAME / "teacher.json"
    document = json.loads(path.read_bytes())
    del document["checksum"]
    teacher = (
        document["teacher"] | change["teacher"] if change.get("teacher") else change.get("teacher", document["teacher"])
    )
    path.write_bytes(documents.serialize_with_checksum(document | change | {"teacher": teacher}))
    with pytest.raises(DamagedError):
        open_reader(cache).teachers.read(NAME)


def test_links_in_place_of_folders_are_refused(cache, tmp_path):
    shutil.move(cache / "teachers" / NAME / "columns", tmp_path / "elsewhere")
    (cache / "teachers" / NAME / "columns").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="symbolic link"):
        open_reader(cache).teachers.column(NAME, UNIT)


@second_backend_slow
@pytest.mark.parametrize("place", ["", NAME, f"{NAME}/columns", f"{NAME}/records"])
def test_nothing_behind_a_link_is_moved_or_deleted(cache, tmp_path, backend, place):
    outside = tmp_path / "outside"
    shutil.move(cache / "teachers" / place, outside)
    (cache / "teachers" / place).symlink_to(outside)
    flip(cache / "frames" / f"{UNIT}.{SUFFIX[backend]}")
    before = files(outside)
    for change in (
        lambda: repair(cache, None),
        lambda: remove(cache, videos_removal(["b"], is_withdrawal=True)),
        lambda: remove(cache, teacher_removal(NAME)),
    ):
        with pytest.raises(CacheError):
            change()
        assert files(outside) == before and len(before) >= 4 and not (cache / "removal.json").exists()


# -- converting, merging, removing -------------------------------------------------------------------------------------


def test_a_converted_cache_has_the_same_embeddings_of_its_own_frames(cache, tmp_path, backend):
    other = {"hdf5": "webdataset", "webdataset": "hdf5"}[backend]
    sizes = []
    convert(cache, tmp_path / "other", other, on_size=sizes.append)
    assert embeddings_of(tmp_path / "other") == embeddings_of(cache)
    assert verify(tmp_path / "other", replay).problems == []
    assert open_reader(tmp_path / "other").teachers.records(NAME)[UNIT].provenance == {"host": "here"}
    assert sizes[0] == sum(path.stat().st_size for path in cache.rglob(f"*.{SUFFIX[backend]}"))
    for path in (tmp_path / "other" / "teachers").rglob(f"{UNIT}.*"):
        path.unlink()
    assert convert(cache, tmp_path / "other", other, on_size=sizes.append) == 1 and 0 < sizes[1] < sizes[0]


def test_a_merge_leaves_added_teachers_behind_and_says_so(tmp_path):
    shared = make_shared_cache(tmp_path / "shared", "hdf5")
    output = call("merge", shared, tmp_path / "into")
    assert f"{shared}: added teachers are not merged (second): run add-teacher on {tmp_path / 'into'}" in output
    assert open_reader(tmp_path / "into").teachers.names() == () and verify(tmp_path / "into").problems == []


def test_merging_into_a_cache_with_an_added_teacher_leaves_new_units_to_add_teacher(tmp_path):
    into = make_cache(tmp_path / "into", {"a": range(4)})
    with closing(open_writer(into, read_identity(into))) as writer:
        write_second_teacher(writer)
        writer.write_manifest()
    output = call("merge", make_cache(tmp_path / "more", {"b": range(4)}), into)
    assert f"teacher {SECOND}: 1 of 2 shards are not embedded yet; run add-teacher" in output
    report = verify(into)
    assert report.problems == [] and report.uncovered == {SECOND: 1}


def test_an_added_teacher_is_removed_and_the_rest_stays(cache):
    before = {path: data for path, data in files(cache).items() if "teachers" not in path.parts}
    assert planned(cache, teacher_removal(NAME)).teachers == ((NAME, 4),)
    remove(cache, teacher_removal(NAME))
    after = files(cache)
    assert not (cache / "teachers" / NAME).exists() and verify(cache).problems == []
    manifest = cache / "manifest.json"
    assert {path: data for path, data in after.items() if path != manifest} == {
        path: data for path, data in before.items() if path != manifest
    }
    with pytest.raises(TeacherError, match="no added teacher 'second'"):
        remove(cache, teacher_removal(NAME))


def test_the_commands_name_the_teacher(cache, backend):
    flip(cache / "teachers" / NAME / "columns" / f"{UNIT}.{SUFFIX[backend]}")
    assert "(embed again with add-teacher)" in call("verify-cache", "--cache-dir", cache, code=4)
    output = call("repair-cache", "--cache-dir", cache, "--yes")
    assert f"embeddings of unit {UNIT}, teacher {NAME}: embed it again" in output
    assert f"run add-teacher --name {NAME} again with its original options" in output and "next:" not in output
    output = call("verify-cache", "--cache-dir", cache)
    assert f"teacher {NAME}: 1 of 4 units are not embedded yet; run add-teacher --name {NAME} again" in output
    assert "is removed" not in call("remove", "--cache-dir", cache, "--teacher", NAME, "--dry-run")
    assert f"added teacher {NAME} was removed" in call("remove", "--cache-dir", cache, "--teacher", NAME, "--yes")
    twice = ("--teacher", NAME, "--label-set", "zero-shot", "--yes")
    assert "or else --teacher" in call("remove", "--cache-dir", cache, *twice, code=2)


def test_repair_says_what_to_do_about_a_damaged_document(cache):
    flip(cache / "teachers" / NAME / "teacher.json")
    advice = f"or remove this teacher with: remove --teacher {NAME}"
    for command in ("inspect-cache", "verify-cache"):
        told = call(command, "--cache-dir", cache, code=4)
        assert advice in told and "repair-cache moves damaged files away" not in told
    output = call("repair-cache", "--cache-dir", cache, "--yes", code=4)
    assert f"restore teacher.json from a backup, or remove the teacher: remove --teacher {NAME}" in output
