"""Verifying, repairing, converting and looking at a cache: what is wrong is named, and nothing else is touched."""

import dataclasses
import html
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import commit, documents
from embedonce.cache.convert import convert
from embedonce.cache.errors import CacheError, DamagedError, IdentityMismatchError
from embedonce.cache.inspect import summary
from embedonce.cache.labels import LabelSet
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.repair import repair
from embedonce.cache.schema import FrameBatch
from embedonce.cache.store import claim, open_reader, open_writer
from embedonce.cache.verify import Remedy, verify
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.frames.canonical_frame import replayed_crc32 as replay
from embedonce.pipeline.sources.data_summary import cache_tables
from tests.conftest import make_batch, make_cache_identity, make_segment, second_backend_slow
from tests.extraction.test_runner import check_same_rows, content, make_source, run
from tests.support.fake_teacher import write_zero_shot
from tests.support.stored import on_disk
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

SUFFIX = {"hdf5": "h5", "webdataset": "tar"}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A labeled cache of each back end, extracted from two videos."""
    root = tmp_path_factory.mktemp("verify")
    for name in "ab":
        write_video(root / f"{name}.mp4", 90)
    source = make_source(root, ["a", "b"])
    for backend in SUFFIX:
        run(source, root / backend, backend=backend, views=1)
        writer = open_writer(root / backend, open_reader(root / backend).identity)
        write_zero_shot(writer, source)
        writer.write_manifest()
        writer.close()
    return root


@pytest.fixture
def cache(originals, tmp_path, backend):
    return shutil.copytree(originals / backend, tmp_path / "cache")


def flip(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.unlink()
    path.write_bytes(data)


def damage(cache, unit: str, change) -> None:
    """Commit a unit again with its batch changed: all checksums are right, the content is not."""
    reader = open_reader(cache)
    batch, provenance = reader.batch(unit), reader.records[unit].provenance
    for column, suffix in (("frames", SUFFIX[reader.identity.backend]), ("records", "json")):
        (cache / column / f"{unit}.{suffix}").unlink()
    writer = CacheWriter(cache, reader.identity)
    writer.commit_frames(unit, change(batch), provenance)
    writer.close()


@pytest.mark.integration
def test_a_sound_cache_is_sound(cache):
    report = verify(cache, replay)
    assert (report.problems, report.num_rows) == ([], 18)
    assert report.num_shards == 2 * report.num_units == 8 and report.num_pending == 0  # frames and logits


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("frames/000001.{}", Remedy.REDO_UNIT),
        ("records/000001.json", Remedy.REDO_UNIT),
        ("labels/zero-shot/logits/000001.{}", Remedy.REDO_LOGITS),
        ("labels/zero-shot/records/000001.json", Remedy.REDO_LOGITS),
        ("labels/zero-shot/tensors.safetensors", Remedy.NONE),
        ("labels/zero-shot/label_set.json", Remedy.NONE),
        ("labels/zero-shot/clips/000000.json", Remedy.NONE),
        ("plan/000000.json", Remedy.NONE),
        ("cache.json", Remedy.NONE),
    ],
)
@pytest.mark.integration
def test_a_flipped_bit_in_any_file_is_found_and_only_the_affected_files_are_made_again(cache, backend, name, remedy):
    path = cache / name.format(SUFFIX[backend])
    flip(path)
    before = {p: p.read_bytes() for p in cache.rglob("*") if p.is_file()}
    report = verify(cache, replay)
    assert report.problems and {problem.remedy for problem in report.problems} == {remedy}
    if remedy == Remedy.NONE:
        with pytest.raises(DamagedError, match="cannot be repaired, and nothing was changed"):
            repair(cache, replay)
        assert {p: p.read_bytes() for p in cache.rglob("*") if p.is_file()} == before | dict.fromkeys(
            cache.glob(".writer.lock"), b""
        )
        return
    repaired = repair(cache, replay)
    folder = on_disk(repaired.folder)
    assert len(repaired.removals) == 1 and folder == cache / "removed" / "000001"
    gone = {str(p.relative_to(cache)) for p in before if not p.exists()}
    column = {"labels/zero-shot/logits/000001." + SUFFIX[backend], "labels/zero-shot/records/000001.json"}
    frames = {f"frames/000001.{SUFFIX[backend]}", "records/000001.json"}
    assert gone == (frames | column if remedy == Remedy.REDO_UNIT else column)
    assert {name: (folder / name).read_bytes() for name in gone} == {name: before[cache / name] for name in gone}
    assert not verify(cache, replay).problems


@pytest.mark.numeric
@pytest.mark.integration
def test_the_next_run_completes_a_repaired_cache(originals, cache, backend):
    before = content(cache)
    flip(cache / "frames" / f"000002.{SUFFIX[backend]}")
    with pytest.raises(DamagedError, match="000002"):
        open_reader(cache).frames("000002")
    repair(cache, replay)
    report = verify(cache, replay)
    assert not report.problems and report.num_pending == 1
    result, _, teacher = run(make_source(originals, ["a", "b"]), cache, backend=backend, views=1)
    assert result.pending == 0 and 16 < teacher.images_seen < 16 + 2 * 18  # the probes, and one unit
    check_same_rows(content(cache), before)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda b: {"embeddings": b.embeddings * np.float16(1.01)}, "has length 1.01"),
        (lambda b: {"crop_crc32": b.crop_crc32 ^ np.uint32(1)}, "are not the pixels that the teacher saw"),
        (lambda b: {"jpegs": (b"no picture", *b.jpegs[1:])}, "cannot be decoded"),
        (lambda b: {"jpegs": b.jpegs[::-1]}, "are not the pixels that the teacher saw"),
        (
            lambda b: {"segments": (dataclasses.replace(b.segments[0], frame_index=b.segments[0].frame_index + 1),)},
            "were never planned",
        ),
        (
            lambda b: {"segments": (dataclasses.replace(b.segments[0], request_k=b.segments[0].request_k + 1),)},
            "are not those of the plan",
        ),
    ],
)
@pytest.mark.integration
def test_wrong_content_with_right_checksums_is_found(cache, change, sentence):
    damage(cache, "000000", lambda batch: dataclasses.replace(batch, **change(batch)))
    messages = [problem.message for problem in verify(cache, replay).problems]
    assert any(sentence in message for message in messages), messages


@pytest.mark.numeric
def test_logits_of_another_head_are_found(cache, backend):
    reader = open_reader(cache)
    logits, keys = reader.all_logits("zero-shot", "000001"), reader.records["000001"].keys
    for path in (cache / "labels/zero-shot").glob("*/000001.*"):
        path.unlink()
    writer = CacheWriter(cache, reader.identity)
    writer.commit_logits("zero-shot", "000001", keys, logits + 1, {})
    writer.close()
    (problem,) = verify(cache).problems
    assert "own head" in problem.message and problem.remedy == Remedy.REDO_LOGITS


@pytest.mark.integration
def test_the_least_damage_of_pixels_needs_no_teacher_and_no_pixels_no_library(cache):
    damage(cache, "000000", lambda b: dataclasses.replace(b, crop_crc32=b.crop_crc32 + np.uint32(1)))
    assert verify(cache).problems == [] and verify(cache, replay).problems


def test_a_record_of_another_unit_is_refused(cache):
    reader = open_reader(cache)
    commit.replace(cache / "records" / "000009.json", (cache / "records" / "000000.json").read_bytes())
    with pytest.raises(DamagedError, match="renamed or copied"):
        open_reader(cache)
    assert reader.num_rows == 18


@pytest.mark.integration
def test_quarantine_and_attempts_that_cannot_be_read_are_removed(cache):
    for folder in ("quarantine", "attempts"):
        (cache / folder / "0.json").write_text("{")
    report = verify(cache)
    assert [problem.remedy for problem in report.problems] == [Remedy.FORGET] * 2
    repair(cache, None)
    assert not verify(cache).problems


# -- converting ------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_converting_there_and_back_loses_nothing(cache, backend, tmp_path):
    other = next(name for name in SUFFIX if name != backend)
    convert(cache, tmp_path / "there", other)
    convert(tmp_path / "there", tmp_path / "back", backend)
    assert verify(tmp_path / "there", replay).problems == [] and content(tmp_path / "there") == content(cache)
    kept = {p.relative_to(cache) for p in cache.rglob("*") if p.is_file()} - {Path(Layout.at(cache).lock.relative)}
    for name in kept:
        assert (tmp_path / "back" / name).read_bytes() == (cache / name).read_bytes(), name


@pytest.mark.integration
def test_an_interrupted_conversion_continues(cache, backend, tmp_path, monkeypatch):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(cache, tmp_path / "c", "hdf5", stop)
    assert len(open_reader(tmp_path / "c").records) == 2
    assert convert(cache, tmp_path / "c", "hdf5") == 2 + 4
    assert content(tmp_path / "c") == content(cache) and not verify(tmp_path / "c", replay).problems


def test_converting_into_another_cache_or_itself_is_refused(cache, tmp_path):
    with pytest.raises(CacheError, match="itself"):
        convert(cache, cache, "hdf5")
    claim(tmp_path / "other", make_cache_identity("hdf5"))
    with pytest.raises(IdentityMismatchError):
        convert(cache, tmp_path / "other", "hdf5")


def test_units_and_columns_without_rows_are_converted(tmp_path, backend):
    writer = open_writer(tmp_path / "c", make_cache_identity(backend))
    writer.commit_frames("000000", make_batch(make_segment("v", 0)), {})
    writer.create_label_set(LabelSet("main", "fitted", ("a", "b"), (), None, {}), None)
    writer.commit_logits("main", "000000", [], np.zeros((0, 2, 2), np.float32), {})
    writer.close()
    convert(tmp_path / "c", tmp_path / "d", "hdf5")
    assert isinstance(open_reader(tmp_path / "d").batch("000000"), FrameBatch)
    assert open_reader(tmp_path / "d").logits_units("main") == {"000000"}


# -- the command line ------------------------------------------------------------------------------------------------


def invoke(*arguments) -> tuple[int, str]:
    ran = CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.exit_code, ran.output


@second_backend_slow
@pytest.mark.integration
def test_the_commands_print_what_they_did(cache, backend, tmp_path):
    code, told = invoke("verify-cache", "--cache-dir", cache)
    assert code == 0 and "checked 8 shards, 18 frames" in told and "sound: everything" in told
    flip(cache / "frames" / f"000001.{SUFFIX[backend]}")
    code, told = invoke("verify-cache", "--cache-dir", cache)
    assert code == 4 and "DAMAGED shard" in told
    assert f"1 problem; next: python cli.py repair-cache --cache-dir {cache}" in told
    student = ("--student-size", "tiny", "--student-resolution", 128, "--epochs", 1, "--device", "cpu")
    code, told = invoke("train-student", "--cache-dir", cache, "--output-dir", tmp_path / "o", *student)
    assert code == 4 and "repair-cache moves damaged files away" in told
    code, told = invoke("repair-cache", "--cache-dir", cache, "--yes")
    assert code == 0 and "unit 000001 (a): extract it again" in told and "extract-teacher --config" in told
    code, told = invoke("verify-cache", "--cache-dir", cache)
    assert code == 0 and "1 of 4 units are not extracted yet" in told
    assert "nothing is damaged" in invoke("repair-cache", "--cache-dir", cache)[1]
    code, told = invoke("convert-cache", "--cache-dir", cache, "--output-dir", tmp_path / "w", "--backend", "hdf5")
    assert code == 0 and "6 shards written" in told


def test_inspecting_prints_a_summary_and_draws_an_escaped_contact_sheet(cache, tmp_path):
    writer = open_writer(cache, open_reader(cache).identity)
    writer.quarantine("x", QuarantinedVideo("<b>.mp4", "bad", 1, 2))
    writer.close()
    code, told = invoke("inspect-cache", "--cache-dir", cache, "--html", tmp_path / "s.html", "--frames", 10)
    assert code == 0 and "teacher fake (random, gelu" in told and "18 ok" in told
    tables = cache_tables(cache)
    assert tables[0].startswith("label set ") and told.splitlines()[:-1] == [*summary(cache), *tables]
    page = (tmp_path / "s.html").read_text()
    assert page.count('<figure class="frame') == 10 and "the teacher's most likely" in page and 'class="label"' in page
    assert "<b>.mp4" not in page and html.escape("<b>.mp4") in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)  # nothing is fetched


def test_failed_requests_are_on_the_contact_sheet(tmp_path, backend):
    writer = open_writer(tmp_path / "c", make_cache_identity(backend))
    corrupt = dataclasses.replace(make_segment("v", 0), request_status=np.array([1], np.uint8))
    writer.commit_frames("000000", make_batch(corrupt), {})
    writer.close()
    assert invoke("inspect-cache", "--cache-dir", tmp_path / "c", "--html", tmp_path / "s.html")[0] == 0
    assert '<figure class="gap corrupt"><div class="hole">corrupt</div>' in (tmp_path / "s.html").read_text()


def test_documents_end_in_their_checksum(cache):
    """The seal: the last field of a document is the SHA-256 of the rest of it."""
    data = (cache / "records" / "000000.json").read_bytes()
    body, seal = data[:-79] + b"}", data[-79:]
    assert seal == b',"checksum":"' + commit.sha256(body).encode() + b'"}'
    assert documents.serialize_with_checksum(documents.parse(data, "it")) == data
