"""Commands replace only files that they wrote themselves, unless --overwrite is given."""

import dataclasses
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from embedonce.cache import commit
from embedonce.cache.convert import convert
from embedonce.cache.errors import BusyError, CacheError, DamagedError, IdentityMismatchError, NotACacheError
from embedonce.cache.labels import LabelSet
from embedonce.cache.store import open_reader, open_writer
from embedonce.pipeline.checkpoints import training_state
from embedonce.pipeline.demo_teacher import train
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.evaluation import compare as comparing
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation.output_files import COMPARISON, EVALUATION
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.export.folder import MARK, check_folder, publish
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.files.partial_files import write_json
from embedonce.pipeline.metrics.calibration_file import CALIBRATION_NAME
from embedonce.pipeline.sources.ego4d.download.download import LOG, Download
from embedonce.pipeline.sources.ego4d.download.download_plan import DownloadConfig
from embedonce.pipeline.sources.ego4d.download.transfers import RemoteFile, Transfer
from embedonce.pipeline.sources.ego4d.download.video_selection import SelectionCriteria
from embedonce.pipeline.sources.ego4d_miniature.make import documents_of, make_miniature
from embedonce.pipeline.sources.ego4d_miniature.plan import make_plan
from embedonce.pipeline.sources.synthetic.generate import make_synthetic
from embedonce.pipeline.training import run_files
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.run_files import check_folders
from tests.commands.test_cli import call, error_of
from tests.conftest import make_cache_identity
from tests.support.crash_states import Explorer
from tests.support.recorded_operations import Recorder
from tests.support.small_students import settings, state_of, use, weights_of
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.usefixtures("forked_workers")

ROOT = Path(__file__).parents[2]
DEAD = ".tmp-4194304999-0123abcd"  # a temporary file of a process id that cannot exist


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    use(monkeypatch)


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Path:
    """A folder with a finished training run and its evaluation, as with the default options."""
    folder = tmp_path_factory.mktemp("made") / "out"
    with pytest.MonkeyPatch.context() as patch:
        use(patch)
        training.train(settings(tiny, folder))
        evaluating.evaluate(judged(tiny, folder))
    return folder


@pytest.fixture
def out(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def judged(cache: Path, folder: Path, **changes) -> EvaluateConfig:
    named = {"student_checkpoint": folder / "best_student.pt", "output_dir": folder}
    return EvaluateConfig(cache, num_workers=0, device="cpu", **(named | changes))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- training --------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_finished_student_without_a_state_is_not_trained_over(tiny, out):
    (out / "training_state.pt").unlink()
    before = files(out)
    for changes in ({}, {"lr": 0.5}):
        with pytest.raises(InputError, match=r"best_student.pt was not written by this run.*--overwrite"):
            training.train(settings(tiny, out, **changes))
        assert files(out) == before
    training.train(settings(tiny, out, lr=0.5, overwrite=True))
    assert (out / "best_student.pt").read_bytes() != before["best_student.pt"]


@pytest.mark.parametrize("name", ["best_student.pt", "train_log.csv", "train_log.json", "train_config.yaml"])
@pytest.mark.parametrize("sizes", ["tiny", "tiny,xxs"])
def test_training_does_not_replace_foreign_files(tiny, tmp_path, name, sizes):
    folder = tmp_path / "xxs" if "," in sizes and name != "train_config.yaml" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("mine: true  # and mine alone\n")
    with pytest.raises(InputError, match=f"{name} was not written by this run of train-student"):
        training.train(settings(tiny, tmp_path, student_size=sizes))
    assert files(tmp_path) == {str((folder / name).relative_to(tmp_path)): b"mine: true  # and mine alone\n"}


def test_training_does_not_replace_links_and_folders(tiny, tmp_path):
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train_log.csv").symlink_to(tmp_path / "notes")
    with pytest.raises(InputError, match=r"train_log.csv was not written"):
        training.train(settings(tiny, tmp_path / "out"))
    (tmp_path / "out" / "train_log.csv").unlink()
    (tmp_path / "out" / "train_log.csv").mkdir()
    with pytest.raises(InputError, match=r"train_log.csv is a folder"):
        training.train(settings(tiny, tmp_path / "out", overwrite=True))
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_continued_run_does_not_replace_settings_edited_by_hand(tiny, out):
    written = (out / "train_config.yaml").read_text() + "# lr 0.002 was worse\n"
    (out / "train_config.yaml").write_text(written)
    with pytest.raises(InputError, match=r"train_config.yaml was not written by this run"):
        training.train(settings(tiny, out))
    assert (out / "train_config.yaml").read_text() == written


@pytest.mark.parametrize("published", [1, 2, 3, 4, 5, 6])
@pytest.mark.integration
def test_a_run_killed_at_any_file_of_its_first_epoch_is_continued_by_the_same_command(
    tiny, made, tmp_path, monkeypatch, published
):
    """kill -9 right after each file: settings, claim, checkpoint, two logs, state."""

    class KilledError(BaseException):
        pass

    real, count = commit.replace, []

    def replace(path, data):
        real(path, data)
        count.append(path.name)
        if len(count) == published:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(commit, "replace", replace)
        with pytest.raises(KilledError):
            training.train(settings(tiny, tmp_path / "cut"))
    names = ["train_config.yaml", "training_state.pt", "best_student.pt", "train_log.csv", "train_log.json"]
    assert count == [*names, "training_state.pt"][:published]
    if "best_student.pt" in count and published < 6:  # another run cannot continue it
        with pytest.raises(InputError, match=r"best_student.pt was not written by this run"):
            training.train(settings(tiny, tmp_path / "cut", lr=0.5))
    training.train(settings(tiny, tmp_path / "cut"))
    ours, theirs = weights_of(tmp_path / "cut"), weights_of(made)
    assert all((ours[name] == value).all() for name, value in theirs.items())
    assert state_of(tmp_path / "cut")["epoch"] == 2


@pytest.mark.slow
def test_a_run_is_continued_after_a_power_cut_in_its_first_epoch(tiny, tmp_path, monkeypatch):
    """In every state that a power cut may leave, a checkpoint has the file that identifies its run."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the crash model decides what is on disk
    for name in ("recorded", "scratch"):
        (tmp_path / name).mkdir()
    config = settings(tiny, tmp_path / "recorded" / "out", epochs=1)
    recorder = Recorder(tmp_path / "recorded")
    with recorder.recording():
        training.train(config)
    fields = state_of(config.output_dir)["run"]

    def examine(folder: Path) -> tuple[dict, list[str]]:
        out, found = folder / "out", None
        try:
            if training_state.has_state(out):
                found = training_state.load_state(out, fields, [out])
            check_folders(dataclasses.replace(config, output_dir=out), found is not None)
        except PipelineError as error:
            return {}, [str(error)]
        return {}, []

    explorer = Explorer(tmp_path / "scratch", examine)
    assert list(dict.fromkeys(explorer.violations(recorder))) == [] and len(explorer.examined) > 10
    monkeypatch.setattr(run_files.RunFiles, "claim_folder", lambda run: None)
    shutil.rmtree(config.output_dir)
    unclaimed = Recorder(tmp_path / "recorded")
    with unclaimed.recording():
        training.train(config)
    assert any("best_student.pt was not written" in text for text in explorer.violations(unclaimed))


@pytest.mark.integration
def test_a_run_without_a_checkpoint_can_be_replaced(tiny, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(training.checkpoint, "save", lambda path, content: full(path, content))
        with pytest.raises(OSError, match="No space"):
            training.train(settings(tiny, tmp_path / "o"))
    training.train(settings(tiny, tmp_path / "o", lr=0.01, epochs=1))
    assert state_of(tmp_path / "o")["run"]["lr"] == 0.01


HOLDING = """
import sys, time
from pathlib import Path
from embedonce.pipeline.files.output_folder import sole_writer
with sole_writer(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A function of a folder and a command: another process runs the command there until the test ends."""
    holders = []

    def hold(folder: Path, command: str) -> subprocess.Popen:
        program = [sys.executable, "-c", HOLDING, str(folder), command]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        holders.append(subprocess.Popen(program, cwd=ROOT, **pipes))
        assert holders[-1].stdout.readline() == b"held\n"
        return holders[-1]

    yield hold
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.mark.integration
def test_two_trainings_do_not_write_into_one_folder(tiny, tmp_path, held):
    holder = held(tmp_path / "o", "train-student")
    for changes in ({}, {"overwrite": True}):
        with pytest.raises(BusyError, match=r"o is being written by another process") as raised:
            training.train(settings(tiny, tmp_path / "o", **changes))
        assert f"another process (process {holder.pid} on {socket.gethostname()}); wait for it" in str(raised.value)
        assert raised.value.exit_code == 4
    with pytest.raises(BusyError):  # one of several students has the other's folder
        training.train(settings(tiny, tmp_path, student_size="o,tiny"))
    held(tmp_path / "o", "evaluate")  # another command does not matter
    holder.kill()
    holder.wait()
    training.train(settings(tiny, tmp_path / "o", epochs=1))
    assert not (tmp_path / "o" / ".train-student.lock").exists()


@pytest.mark.parametrize("text", [b"", b"process 1 on \x1b[31mhost", b"process 1 on a\nb", b"x" * 1000, b"\xff"])
def test_a_lock_file_with_other_content_is_not_quoted(tmp_path, held, text):
    held(tmp_path, "x")
    (tmp_path / ".x.lock").write_bytes(text)
    with pytest.raises(BusyError) as raised, sole_writer(tmp_path, "x"):
        pytest.fail("two writers")
    assert str(raised.value) == f"{tmp_path} is being written by another process; wait for it to end"


def test_a_lock_is_taken_again_if_its_file_was_removed(tmp_path):
    with sole_writer(tmp_path, "x"):
        path = tmp_path / ".x.lock"
        path.unlink()
        path.touch()  # as another process would, before it locks the file
        with sole_writer(tmp_path, "x"):
            assert path.exists()


def test_a_file_system_without_locks_is_used_with_a_warning(tiny, tmp_path, monkeypatch, caplog):
    def refused(handle, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    training.train(settings(tiny, tmp_path / "o", epochs=1))
    assert "cannot be locked" in caplog.text and not list((tmp_path / "o").glob(".*"))


def test_temporary_files_of_killed_processes_are_removed(tiny, tmp_path):
    (tmp_path / DEAD).write_bytes(b"half")
    living = tmp_path / f".tmp-{os.getpid()}-0123abcd"
    living.write_bytes(b"being written")
    (tmp_path / ".tmp-notes").write_text("mine")
    training.train(settings(tiny, tmp_path, epochs=1))
    assert {path.name for path in tmp_path.glob(".*")} == {living.name, ".tmp-notes"}


def test_a_created_folder_that_stays_empty_is_removed(tmp_path):
    with pytest.raises(InputError), sole_writer(tmp_path / "a" / "b", "x"):
        raise InputError("no")
    assert list(tmp_path.iterdir()) == []


# -- evaluate, compare -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(EVALUATION) - {CALIBRATION_NAME}))  # few clips are not calibrated on
@pytest.mark.integration
def test_evaluation_does_not_replace_foreign_files(tiny, made, tmp_path, name):
    (tmp_path / name).write_text('{"mine": true}')
    config = judged(tiny, made, output_dir=tmp_path)
    with pytest.raises(InputError, match=f"{name} was not written by evaluate"):
        evaluating.evaluate(config)
    assert files(tmp_path) == {name: b'{"mine": true}'}
    evaluating.evaluate(dataclasses.replace(config, overwrite=True))
    assert set(files(tmp_path)) == set(EVALUATION) - {CALIBRATION_NAME} and files(tmp_path)[name] != b'{"mine": true}'
    assert "overwrite" not in (tmp_path / "evaluate_config.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("report.html", lambda data: data.replace(b"<main>", b"<main><p>my notes</p>")),
        ("evaluate_config.yaml", lambda data: b"# mine\n" + data),
        ("comparison_plot.png", lambda data: data.replace(b"embedonce", b"GIMP 2.10")),
        ("evaluation_results.json", lambda data: data[:-2]),
        ("predictions.npz", lambda data: data[:-30]),
    ],
)
@pytest.mark.integration
def test_edited_files_are_not_replaced(tiny, out, name, change):
    changed = change((out / name).read_bytes())
    assert changed != (out / name).read_bytes()
    (out / name).write_bytes(changed)
    before = files(out)
    with pytest.raises(InputError, match=f"{name} was not written by evaluate, or was changed since"):
        evaluating.evaluate(judged(tiny, out))
    assert files(out) == before


@pytest.mark.integration
def test_an_evaluation_replaces_only_an_evaluation_of_the_same_inputs(tiny, out):
    evaluating.evaluate(judged(tiny, out, num_samples=3, batch_size=2))
    assert json.loads((out / "evaluation_results.json").read_text())["num_clips"] == 3
    before = files(out)
    shutil.copy(out / "best_student.pt", out / "other.pt")
    with pytest.raises(InputError, match=r"holds another evaluation \(student_checkpoint: .*--overwrite"):
        evaluating.evaluate(judged(tiny, out, student_checkpoint=out / "other.pt"))
    assert {**files(out), "other.pt": b""} == {**before, "other.pt": b""}
    output = call("evaluate", "--cache-dir", tiny, "--student-checkpoint", out / "other.pt", "--output-dir", out,
                "--split", "train", "--overwrite", "--device", "cpu", "--num-workers", 0)  # fmt: skip
    assert "report:" in output and "split: train" in (out / "evaluate_config.yaml").read_text()


@pytest.mark.integration
def test_a_file_that_appears_during_an_evaluation_is_kept(tiny, made, tmp_path, monkeypatch):
    real = evaluating.predict

    def predict(*arguments):
        (tmp_path / "report.html").write_text("mine")
        return real(*arguments)

    monkeypatch.setattr(evaluating, "predict", predict)
    with pytest.raises(InputError, match=r"report.html was not written by evaluate"):
        evaluating.evaluate(judged(tiny, made, output_dir=tmp_path))
    assert files(tmp_path) == {"report.html": b"mine"}


@pytest.mark.slow
def test_a_comparison_replaces_only_a_comparison(tiny, made, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(made / "best_student.pt", tmp_path / "one")
    config = CompareConfig((made, tmp_path / "one" / "best_student.pt"), tmp_path / "o", tiny, num_workers=0)
    for _ in range(2):
        comparing.compare(config)
    whole = files(tmp_path / "o")
    for name in (*COMPARISON, "one/report.html"):
        (tmp_path / "o" / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name} was not written by"):
            comparing.compare(config)
        assert files(tmp_path / "o") == {**whole, name: b"mine"}
        (tmp_path / "o" / name).write_bytes(whole[name])
    (tmp_path / "o" / "comparison.csv").write_text("mine")
    call("compare", made, tmp_path / "one" / "best_student.pt", "--output-dir", tmp_path / "o", "--cache-dir", tiny,
         "--num-workers", 0, "--overwrite")  # fmt: skip
    assert (tmp_path / "o" / "comparison.csv").read_bytes().startswith(b"role,name,")


# -- single files ----------------------------------------------------------------------------------------------------


def test_a_contact_sheet_replaces_only_a_contact_sheet(tiny, made, tmp_path):
    sheet = tmp_path / "sheet.html"
    command = ["inspect-cache", "--cache-dir", tiny, "--frames", 1, "--html"]
    for _ in range(2):
        call(*command, sheet)
    for foreign in (made / "report.html", tmp_path / "page.html"):
        if not foreign.exists():
            foreign.write_text("<p>mine</p>")
        before = foreign.read_bytes()
        assert "was not written by inspect-cache" in error_of(*command, foreign)
        assert foreign.read_bytes() == before
    assert "is inside the cache" in call(*command, tiny / "cache.json", "--overwrite", code=4)
    call(*command, tmp_path / "page.html", "--overwrite")
    assert (tmp_path / "page.html").read_bytes() == sheet.read_bytes()


@pytest.mark.integration
def test_plan_ego4d_replaces_only_its_own_counts(tmp_path):
    for name, document in documents_of(make_plan(0), "full_scale").items():
        write_json(tmp_path / "ego4d" / name, document)
    command = ["plan-ego4d", "--data-dir", tmp_path / "ego4d", "--annotations", "moments", "--assume-downloaded"]
    command.append("--json")
    for _ in range(2):
        call(*command, tmp_path / "counts.json")
    annotations = tmp_path / "ego4d" / "ego4d.json"
    before = annotations.read_bytes()
    assert "ego4d.json was not written by plan-ego4d" in error_of(*command, annotations)
    assert annotations.read_bytes() == before
    (tmp_path / "notes").write_text("mine")
    call(*command, tmp_path / "notes", "--overwrite")
    assert (tmp_path / "notes").read_bytes() == (tmp_path / "counts.json").read_bytes()


def test_a_demo_teacher_replaces_only_one_that_was_made_like_it(tmp_path):
    weights, digest = tmp_path / "t.safetensors", tmp_path / "t.sha256"
    train.check_output(weights, False)
    weights.write_bytes(b"weights")
    with pytest.raises(InputError, match=r"t.safetensors was not written by the training of the demo teacher"):
        train.check_output(weights, False)
    digest.write_text(f"{commit.sha256(b'weights')}  t.safetensors\n")
    train.check_output(weights, False)
    weights.write_bytes(b"others")
    with pytest.raises(InputError, match=r"t.safetensors was not written"):
        train.check_output(weights, False)
    train.check_output(weights, True)
    weights.unlink()
    with pytest.raises(InputError, match=r"t.sha256 was not written"):
        train.check_output(weights, False)


# -- generated data, downloads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["synthetic", "miniature"])
def test_generated_annotations_do_not_replace_foreign_ones(tmp_path, kind):
    place = tmp_path / "v2" / "annotations" / "moments_train.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"videos": []}')
    with pytest.raises(InputError, match=r"moments_train.json exists and was not generated"):
        make_synthetic(tmp_path, 12, 2, 0) if kind == "synthetic" else make_miniature(tmp_path)
    assert files(tmp_path) == {"v2/annotations/moments_train.json": b'{"videos": []}'}


def test_a_download_replaces_only_downloaded_files(tmp_path):
    download = Download(DownloadConfig(tmp_path, "full_scale", "v2_1", "default", SelectionCriteria(1)))
    transfer = Transfer("full_scale", (RemoteFile("v2/full_scale/a.mp4", "a", 100),))
    video = tmp_path / "v2" / "full_scale" / "a.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"my smaller version")
    with pytest.raises(InputError, match=r"a.mp4 would be replaced, but no download into this folder created it"):
        download.check_foreign_files(transfer)
    video.unlink()
    (tmp_path / LOG).write_text("mine")
    with pytest.raises(InputError, match=f"{LOG} would be replaced"):
        download.check_foreign_files(transfer)
    download._record.save({"dataset": "full_scale"}, transfer)
    video.write_bytes(b"cut")
    download.check_foreign_files(transfer)


# -- exports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["old", "partial"])
@pytest.mark.parametrize("content", ["folder", "file", "link", "export and more"])
def test_an_export_keeps_foreign_hidden_files_next_to_it(tmp_path, suffix, content):
    beside = tmp_path / f".e.{suffix}"
    (tmp_path / "mine").mkdir()
    if content == "link":
        beside.symlink_to(tmp_path / "mine")
    elif content == "file":
        beside.write_text("mine")
    else:
        beside.mkdir()
        (beside / "README.md").write_text("mine")
        if content == "export and more":
            (beside / MARK).write_text("x")
            (beside / "thesis.tex").write_text("mine")
    before = files(tmp_path)
    for call_ in (lambda: check_folder(tmp_path / "e", True), lambda: publish(tmp_path / "e", {MARK: b"new"}, True)):
        with pytest.raises(InputError, match=rf"\.e\.{suffix} is in the way"):
            call_()
    assert files(tmp_path) == before and os.path.lexists(beside) and not (tmp_path / "e").exists()


def test_a_replaced_export_is_kept_if_its_place_was_taken(tmp_path):
    publish(tmp_path / ".e.old", {MARK: b"old"}, overwrite=False)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes.txt, which no export wrote"):
        check_folder(tmp_path / "e", overwrite=True)
    assert files(tmp_path) == {f".e.old/{MARK}": b"old", "e/notes.txt": b"mine"}


@pytest.mark.parametrize("left", [{}, {DEAD: b"half"}, {MARK: b"x", "README.md": b"y", DEAD: b""}])
def test_temporary_files_of_a_killed_export_are_removed(tmp_path, left):
    (tmp_path / ".e.partial").mkdir()
    for name, data in left.items():
        (tmp_path / ".e.partial" / name).write_bytes(data)
    publish(tmp_path / "e", {MARK: b"new", "README.md": b"words"}, overwrite=False)
    assert files(tmp_path) == {f"e/{MARK}": b"new", "e/README.md": b"words"}


# -- caches ----------------------------------------------------------------------------------------------------------


def test_a_cache_is_not_converted_into_its_own_folders(tmp_path):
    cache = make_tiny_cache(tmp_path / "outer" / "cache", 1)
    (tmp_path / "link").symlink_to(cache)
    (tmp_path / "inner").symlink_to(cache / "frames")
    before = files(tmp_path)
    inside = [cache / "as_tars", cache / "frames", cache / "frames" / "a" / "b", tmp_path / "link" / "x"]
    inside += [tmp_path / "inner", tmp_path / "inner" / "x", cache / "labels" / ".." / "y"]
    for target in (cache, tmp_path / "link", *inside):
        with pytest.raises(CacheError, match=r"cannot be converted into (itself|a folder inside it)"):
            convert(cache, target, "webdataset")
    for target in (tmp_path / "outer", tmp_path):
        with pytest.raises(CacheError, match="is inside"):
            convert(cache, target, "webdataset")
    assert files(tmp_path) == before


def test_a_cache_is_not_created_inside_a_cache(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 1)
    with pytest.raises(NotACacheError, match="is inside the cache"):
        open_writer(cache / "frames" / "new", make_cache_identity("hdf5"))
    assert not (cache / "frames" / "new").exists()


def test_a_conversion_does_not_replace_another_cache(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 2)
    convert(cache, tmp_path / "copy", "webdataset")
    convert(cache, tmp_path / "copy", "webdataset")
    own, reader = tmp_path / "own", open_reader(cache)
    writer = open_writer(own, dataclasses.replace(reader.identity, backend="webdataset"))
    writer.commit_frames("000000", reader.batch("000001"), {})
    writer.close()
    before = files(own)
    with pytest.raises(IdentityMismatchError, match="is another cache: it has other rows or provenance of unit 000000"):
        convert(cache, own, "webdataset")
    assert files(own) == before


def test_a_label_set_without_its_document_is_not_replaced(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 2)
    (cache / "labels" / "tiny" / "label_set.json").unlink()
    before = files(cache)
    writer = open_writer(cache, open_reader(cache).identity)
    with pytest.raises(DamagedError, match=r"tiny has lost its label_set.json"):
        writer.create_label_set(LabelSet("tiny", "none", ("x",), (), None, {}), None)
    writer.close()
    assert files(cache) == before


def test_settings_edited_by_hand_are_not_replaced_in_a_cache(tmp_path):
    from embedonce.pipeline.extraction.runner import extract
    from embedonce.pipeline.extraction.settings import ExtractConfig
    from embedonce.pipeline.sources.source import Source

    cache = make_tiny_cache(tmp_path / "cache", 1)
    (cache / "extract_config.yaml").write_text("fps: 2.0  # 4.0 took a day\n")
    with pytest.raises(InputError, match=r"extract_config.yaml was not saved by this program"):
        extract(ExtractConfig(tmp_path, False, cache), Source(tmp_path, "folder", (), (), ()), None)
    assert (cache / "extract_config.yaml").read_text() == "fps: 2.0  # 4.0 took a day\n"
