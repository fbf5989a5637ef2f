"""add-teacher: a further teacher embeds the stored frames, as if it had made the cache; runs go on where they ended."""

import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.added_teachers.documents import FIRST
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import ShardFormat
from embedonce.cache.convert import convert
from embedonce.cache.errors import BusyError, DamagedError, IdentityMismatchError, StorageError, TeacherError
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.verify import verify
from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.added_teacher import add_teacher
from embedonce.pipeline.extraction.added_teacher.settings import AddTeacherConfig
from embedonce.pipeline.frames.canonical_frame import replayed_crc32 as replay
from tests.cache.test_added_teachers import embeddings_of, files
from tests.cache.test_verify import SUFFIX, flip
from tests.commands.test_cli import call, error_of
from tests.conftest import second_backend_slow
from tests.extraction.test_runner import EMBEDDING_TOLERANCE, make_source, run
from tests.support import fake_teacher_module
from tests.support.embedded_cache import NAME, make_extracted_cache, second_teacher
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")
ROOT = Path(__file__).parents[3]
ROWS, VIEWS, UNITS = 18, 2, 4


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("added")
    for backend in SUFFIX:
        make_extracted_cache(root / backend, backend)
    return root


@pytest.fixture
def cache(originals, tmp_path, backend) -> Path:
    return shutil.copytree(originals / backend, tmp_path / "cache")


@pytest.fixture
def plain(originals, tmp_path) -> Path:
    return shutil.copytree(originals / "hdf5", tmp_path / "cache")


@pytest.fixture(autouse=True)
def teacher(monkeypatch) -> FakeTeacher:
    """The teacher that is loaded, whatever is asked for."""
    loaded = second_teacher()
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: loaded)
    return loaded


def add(cache: Path | str, **changes) -> add_teacher.AddedTeacherResult:
    return add_teacher.run(AddTeacherConfig(**{"cache_dir": cache, "name": NAME, "batch_size": 7, **changes}))


def stopping(teacher: FakeTeacher, after: int) -> FakeTeacher:
    """The teacher fails after so many images."""
    embed = teacher.embed

    def embed_or_fail(crops):
        if teacher.images_seen + len(crops) > after:
            raise RuntimeError("the device was lost")
        return embed(crops)

    teacher.embed = embed_or_fail
    return teacher


# -- what is stored ----------------------------------------------------------------------------------------------------


def test_the_columns_are_those_that_an_extraction_by_this_teacher_would_store(tmp_path, backend, teacher):
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", 90)
    source = make_source(tmp_path, ["a", "b"])
    run(source, tmp_path / "first", FakeTeacher(), backend=backend, views=3)
    run(source, tmp_path / "alone", second_teacher(), backend=backend, views=3)
    result = add(tmp_path / "first")
    assert (result.num_units, result.num_rows, result.total_units) == (UNITS, ROWS, UNITS)
    with closing(open_reader(tmp_path / "first")) as reader, closing(open_reader(tmp_path / "alone")) as alone:
        assert reader.teachers.read(NAME).identity == alone.identity.teacher
        for unit in alone.records:
            ours, theirs = reader.teachers.all_embeddings(NAME, unit), alone.all_embeddings(unit)
            assert ours.tobytes() == theirs.tobytes()  # this teacher embeds image by image: batches do not matter
            np.testing.assert_array_equal(reader.teachers.all_crop_crc32(NAME, unit), alone.batch(unit).crop_crc32)
    assert verify(tmp_path / "first", replay).problems == []


def test_another_interpolation_is_the_teachers_own(plain, tmp_path, monkeypatch):
    other = second_teacher(interpolation="bilinear")
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: other)
    add(plain)
    first = embeddings_of(plain)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: second_teacher())
    add(plain, name="third")
    assert first != embeddings_of(plain, "third") and verify(plain, replay).problems == []


def test_nothing_else_of_the_cache_is_changed(cache):
    before = files(cache)
    add(cache)
    after = {path: data for path, data in files(cache).items() if "teachers" not in path.parts}
    manifest = cache / "manifest.json"
    assert after.keys() == before.keys() and {p for p in after if after[p] != before[p]} == {manifest}


def test_provenance_and_settings_are_recorded(plain):
    add(plain)
    provenance = open_reader(plain).teachers.records(NAME)["000000"].provenance
    assert provenance["batch_size"] == 7 and provenance["batch_size_from"] == "given" and provenance["libraries"]
    saved = plain / "teachers" / NAME / "add_teacher_config.yaml"
    assert "name: second" in saved.read_text() and verify(plain).extra == []


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_the_batch_size_does_not_change_what_is_stored(plain, tmp_path, teacher, batch_size):
    add(plain, batch_size=batch_size)
    found = embeddings_of(plain)
    shutil.rmtree(plain / "teachers")
    (plain / "manifest.json").unlink()
    add(plain, batch_size=7)
    assert embeddings_of(plain) == found


def test_a_unit_without_rows_is_done_without_a_shard(tmp_path):
    write_video(tmp_path / "a.mp4", 90)
    root = tmp_path / "cache"
    run(make_source(tmp_path, ["a"], [(0.0, 1.0), (90.0, 99.0)]), root, views=1)
    add(root)
    report = verify(root, replay)
    assert report.problems == [] and report.uncovered == {}


def test_a_cache_in_an_object_store(plain, teacher):
    url = f"memory://{uuid.uuid4().hex}/cache"
    convert(plain, ObjectStore.from_url(url), "hdf5")
    add(url)
    add(plain)
    assert embeddings_of(ObjectStore.from_url(url)) == embeddings_of(plain)
    assert add(url).num_units == 0 and verify(ObjectStore.from_url(url), replay).problems == []


def test_several_teacher_processes_embed_the_same(plain, tmp_path, monkeypatch):
    folder = tmp_path / "told"
    folder.mkdir()
    monkeypatch.undo()
    told = {"teacher_module": Path(fake_teacher_module.__file__), "teacher_model": f"told:{folder}", "device": "cpu"}
    add(plain, name="one", **told)
    add_two = add(shutil.copytree(plain, tmp_path / "copy"), name="one", **told)
    assert add_two.num_units == 0
    shutil.rmtree(tmp_path / "copy" / "teachers")
    assert add(tmp_path / "copy", name="one", teacher_processes=2, **told).num_units == UNITS
    with closing(open_reader(plain)) as one, closing(open_reader(tmp_path / "copy")) as two:
        assert two.teachers.records("one")["000000"].provenance["device"] == "cpu"
        for unit in one.records:
            pair = [reader.teachers.all_embeddings("one", unit).astype(np.float32) for reader in (one, two)]
            np.testing.assert_allclose(*pair, rtol=0, atol=EMBEDDING_TOLERANCE)


# -- again, and on -----------------------------------------------------------------------------------------------------


@second_backend_slow
def test_a_run_that_ended_early_keeps_whole_units_and_the_next_one_does_the_others(cache, teacher, monkeypatch):
    add(shutil.copytree(cache, cache.parent / "whole"))
    second = stopping(second_teacher(), after=2 * 5 * VIEWS + 3)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: second)
    with pytest.raises(RuntimeError, match="the device was lost"):
        add(cache, batch_size=2)
    done = set(embeddings_of(cache))
    assert 0 < len(done) < UNITS and verify(cache, replay).problems == []
    third = second_teacher()
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: third)
    result = add(cache)
    rows = [record.num_rows for unit, record in open_reader(cache).records.items() if unit not in done]
    assert (result.num_units, result.num_rows) == (UNITS - len(done), sum(rows))
    checked = min(8, ROWS - sum(rows))
    assert third.images_seen == VIEWS * (sum(rows) + checked)  # no row but those of the check is embedded again
    assert embeddings_of(cache) == embeddings_of(cache.parent / "whole")


def test_the_same_command_again_does_nothing_but_check(plain, teacher):
    add(plain)
    before, teacher.images_seen = files(plain), 0
    result = add(plain)
    assert (result.num_units, result.num_rows) == (0, 0) and teacher.images_seen == 8 * VIEWS
    assert files(plain) == before


def test_videos_that_were_added_since_are_embedded_by_the_same_command(tmp_path, teacher, monkeypatch):
    root = tmp_path / "cache"
    make_extracted_cache(root, videos="a")
    add(root)
    first = embeddings_of(root)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: FakeTeacher())
    write_video(tmp_path / "videos-cache" / "b.mp4", 90)
    options = ("--views", 1, "--fps", 3, "--shard-frames", 5, "--teacher-head", "none", "--decode-workers", 1)
    output = call("extract-teacher", "--data-dir", tmp_path / "videos-cache", "--cache-dir", root, *options)
    config = root / "teachers" / NAME / "add_teacher_config.yaml"
    again = f"next: python cli.py add-teacher --config {config} --cache-dir {root}"
    assert f"teacher {NAME}: 2 of 4 shards are not embedded yet; {again}" in output
    assert again in call("inspect-cache", "--cache-dir", root) and again in call("verify-cache", "--cache-dir", root)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: teacher)
    output = call("add-teacher", "--config", config, "--cache-dir", root)
    assert "9 frames in 2 shards embedded; all 4 shards" in output
    assert embeddings_of(root).items() >= first.items() and verify(root, replay).uncovered == {}


@pytest.mark.crash
@pytest.mark.parametrize(("num_batches", "num_units"), [(0, 0), (3, 1)])
def test_a_killed_run_is_resumed_by_the_same_command(plain, tmp_path, monkeypatch, num_batches, num_units):
    """SIGKILL in the teacher's first batch, and when one unit is committed (two batches each)."""
    folder = tmp_path / "told"
    folder.mkdir()
    monkeypatch.undo()
    code = KILLED.format(cache=str(plain), name=NAME, model=f"told:{folder}")
    ended = subprocess.run([sys.executable, "-c", code, str(num_batches)], cwd=ROOT, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert open_reader(plain).teachers.names() == (NAME,) and verify(plain, replay).problems == []
    done = len(embeddings_of(plain))
    assert done == num_units
    told = {"teacher_module": Path(fake_teacher_module.__file__), "teacher_model": f"told:{folder}", "device": "cpu"}
    assert add(plain, **told).num_units == UNITS - done
    assert verify(plain, replay).problems == [] and len(embeddings_of(plain)) == UNITS


KILLED = """
import os, pathlib, signal, sys
from embedonce.pipeline.extraction.added_teacher.add_teacher import run
from embedonce.pipeline.extraction.added_teacher.settings import AddTeacherConfig
from tests.support import fake_teacher_module
batches, embed = [], fake_teacher_module.FolderTeacher.embed
def embed_or_die(self, crops):
    batches.append(len(crops))
    if len(batches) > int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return embed(self, crops)
fake_teacher_module.FolderTeacher.embed = embed_or_die
where = dict(cache_dir=pathlib.Path({cache!r}), name={name!r})
run(AddTeacherConfig(**where, batch_size=5, device="cpu", teacher_model={model!r}))
"""


def _only_first(embed: Callable) -> Callable:
    return lambda writer, name, teacher, units: embed(writer, name, teacher, units[:1])


# -- what is refused or noted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (NAME, {"weights_sha256": "4" * 64}, "'second' of .* is another one"),
        ("third", {}, "has the embeddings of this teacher .* under the name 'second'"),
        ("third", {"name": "fake", "weights_sha256": "0" * 64, "embed_dim": 16}, "under the name 'first'"),
    ],
)
def test_another_teacher_of_this_name_and_this_one_under_another_are_refused(
    plain, monkeypatch, name, changes, message
):
    add(plain)
    before, other = files(plain), second_teacher(**changes)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: other)
    with pytest.raises(TeacherError, match=message):
        add(plain, name=name)
    assert files(plain) == before and other.images_seen == 0


def test_a_teacher_that_does_not_reproduce_its_rows_is_refused_before_it_adds_any(plain, teacher, monkeypatch):
    monkeypatch.setattr(add_teacher, "embed_units", _only_first(add_teacher.embed_units))
    add(plain)
    monkeypatch.undo()
    before, drifted = embeddings_of(plain), second_teacher()
    drifted._projection = drifted._projection[::-1].copy()
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: drifted)
    with pytest.raises(IdentityMismatchError, match="embeddings of teacher 'second' that it does not reproduce"):
        add(plain)
    assert embeddings_of(plain) == before


def test_a_damaged_frame_shard_ends_the_run_and_what_was_committed_stays(cache, backend):
    flip(cache / "frames" / f"000001.{SUFFIX[backend]}")
    with pytest.raises(DamagedError, match="000001"):
        add(cache, batch_size=2)
    assert set(embeddings_of(cache)) == {"000000"}


def test_an_embedding_that_is_not_finite_is_named_and_not_kept(plain, teacher):
    embed = teacher.embed
    teacher.embed = lambda crops: np.where(teacher.images_seen < 12, embed(crops), np.float32("nan"))
    with pytest.raises(PipelineError, match=r"the embedding of frame a_\d{8} by teacher 'second' is NaN or infinite"):
        add(plain, batch_size=4)
    assert set(embeddings_of(plain)) == {"000000"} and verify(plain, replay).problems == []


def test_other_writers_are_waited_for(plain, teacher):
    with closing(open_writer(plain, read_identity(plain), is_shared=True)), pytest.raises(BusyError):
        add(plain)
    assert teacher.images_seen == 0 and not (plain / "teachers").exists()


def test_too_little_space_is_found_before_anything_is_written(plain, monkeypatch):
    monkeypatch.setattr("embedonce.pipeline.files.disk_space.free_bytes", lambda where: 1000)
    before = files(plain)
    with pytest.raises(StorageError, match=r"needs about [\d.]+ kB more and its disk has 1\.0 kB free"):
        add(plain)
    assert files(plain) == before


def test_a_back_end_that_stores_no_added_teachers_is_refused_before_the_teacher_is_loaded(plain, monkeypatch, teacher):
    format_type = type(BACKENDS["hdf5"])
    monkeypatch.setattr(format_type, "encode_embeddings", ShardFormat.encode_embeddings)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: pytest.fail("loaded"))
    assert "the back end 'hdf5' stores no added teachers" in error_of(
        "add-teacher", "--cache-dir", plain, "--name", NAME, code=4
    )


def test_frames_that_are_too_small_and_other_crops_are_noted(plain, monkeypatch, caplog):
    large = second_teacher(input_size=336, resize_mode="squash")
    large.embed = lambda crops: np.tile(np.float32([1, 0, 0, 0, 0, 0, 0, 0]), (len(crops), 1))
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: large)
    with caplog.at_level("INFO"):
        add(plain)
    assert "short side of 256 pixels, and teacher second takes images of 336: its crops are enlarged" in caplog.text
    assert "frames of 432 pixels" in caplog.text
    assert "sees the stored evaluation crop (shortest, fraction 1), not its own (squash, fraction 1)" in caplog.text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--name", FIRST), 2, "'first' is the name of the teacher that made the cache"),
        (("--name", "a/b"), 2, "--name 'a/b': a teacher's name has 1 to 119 characters"),
        ((), 2, "Missing option '--name'"),
        (("--name", "x", "--cache-dir", "{nothing}"), 4, "does not exist"),
        (("--name", "x", "--teacher-onnx", "a.onnx", "--teacher-model", "RN50"), 2, "both choose the teacher"),
    ],
)
def test_mistakes_are_one_sentence(plain, tmp_path, words, code, message):
    words = [word.format(nothing=tmp_path / "nothing") for word in words]
    place = () if "--cache-dir" in words else ("--cache-dir", plain)
    assert message in error_of("add-teacher", *place, *words, code=code)
    assert not (plain / "teachers").exists()


def test_a_dry_run_writes_nothing(plain, teacher, monkeypatch):
    before = files(plain)
    monkeypatch.setattr(teacher_loading, "teacher_time", lambda config: teacher_loading.CallTime(2.0, 2.0))
    output = call("add-teacher", "--cache-dir", plain, "--name", NAME, "--dry-run")
    assert f"{ROWS} frames in {UNITS} of {UNITS} shards, {VIEWS} views each" in output
    assert "about 72 s" in output and "dry run: nothing was written" in output
    assert files(plain) == before


def test_the_command_says_what_follows(plain):
    output = call("add-teacher", "--cache-dir", plain, "--name", NAME)
    assert f"teacher {NAME} (other, 8-d): {ROWS} frames in {UNITS} shards embedded; all {UNITS} shards" in output
    following = f"next: python cli.py train-student --cache-dir {plain} --teachers first:1,{NAME}:1"
    assert following in output.splitlines() and "random teacher" in output


def test_the_chosen_teacher_is_loaded(plain, monkeypatch):
    chosen = []
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: chosen.append(config) or second_teacher())
    given = {"teacher_model": "RN50", "teacher_weights": "random", "device": "cpu", "seed": 9}
    add(plain, **given)
    options = teacher_loading.teacher_options(chosen[0])
    assert (options.model, options.weights, options.device, options.seed) == ("RN50", "random", "cpu", 9)
    assert chosen[0].reads_real_videos  # so that the demo teacher is warned of
    with pytest.raises(ModelOptionError, match="--teacher-runtime onnx is for open_clip's models"):
        add(plain, teacher_torchscript=Path("a.pt"), teacher_runtime="onnx", name="third")
    with pytest.raises(ModelOptionError):
        add(plain, teacher_onnx=Path("nothing.onnx"), teacher_preprocess="laion2b", name="third")
