"""--verbose and --debug: what a run prints, and the log file that has what is lost otherwise."""

import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.errors import CacheError
from embedonce.pipeline import progress
from embedonce.pipeline.commands.logging_options import HINT
from embedonce.pipeline.commands.run_log import RunLog, log_folder
from embedonce.pipeline.extraction import extract_teacher
from embedonce.pipeline.training import trainer
from tests.commands.test_cli import call, error_of
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

ROOT = Path(__file__).parents[2]
CONVERT = ("convert-cache", "--cache-dir", "cache", "--output-dir", "new", "--backend", "webdataset")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def logs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("embedonce_*.log"))


def told_by(*arguments) -> str:
    """What a program run with these arguments prints on standard error."""
    ran = subprocess.run([sys.executable, ROOT / "cli.py", *arguments], capture_output=True, text=True, check=True)
    return ran.stderr


def failing(error: Exception):
    def fail(config):
        try:
            raise KeyError("what went wrong first")
        except KeyError as first:
            raise error from first

    return fail


def test_the_log_has_the_traceback_of_a_handled_error(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "train", failing(CacheError("the shard is gone")))
    make_tiny_cache(tmp_path / "cache", 3)
    (tmp_path / "out").mkdir()
    output = call("train-student", "--cache-dir", "cache", "--output-dir", "out", "--debug", code=CacheError.exit_code)
    (path,) = logs(tmp_path)
    assert path.parent == tmp_path / "out" and path.name.startswith("embedonce_train-student_")
    assert "Error: the shard is gone" in output and f"details: {path}" in output
    text = path.read_text()
    assert "Traceback (most recent call last)" in text and "KeyError: 'what went wrong first'" in text
    assert "CacheError: the shard is gone" in text and "command line: " in text and "torch" in text
    assert logging.getLogger("embedonce").level != logging.DEBUG  # as before


def test_without_the_options_no_file_is_written_and_only_errors_of_the_program_get_a_hint(tmp_path, monkeypatch):
    cache = make_tiny_cache(tmp_path / "cache", 3)
    monkeypatch.setattr(trainer, "train", failing(CacheError("the shard is gone")))
    output = call("train-student", "--cache-dir", cache, code=CacheError.exit_code)
    assert "--debug" not in output and logs(tmp_path) == []
    monkeypatch.setattr(trainer, "train", failing(AssertionError("a mistake of ours")))
    result = CliRunner().invoke(cli.main, ["train-student", "--cache-dir", str(cache)])
    assert isinstance(result.exception, AssertionError) and HINT in result.output
    result = CliRunner().invoke(cli.main, ["train-student", "--cache-dir", str(cache), "--debug"])
    (path,) = logs(tmp_path)
    assert f"details: {path}" in result.output and HINT not in result.output
    assert "a mistake of ours" in path.read_text()


def test_a_run_that_ends_well_says_where_its_log_is(tmp_path):
    make_tiny_cache(tmp_path / "cache", 3)
    output = call(*CONVERT, "--debug")
    (path,) = logs(tmp_path)
    assert path.parent == tmp_path and f"log: {path}" in output
    assert re.search(r"DEBUG embedonce\.pipeline\.progress: converting took \d+\.\d+ s for 3 shards", path.read_text())
    assert stat.S_ISREG(path.stat().st_mode) and path.read_text().rstrip().endswith("ended")


def test_verbose_prints_more_and_writes_no_file(tmp_path):
    make_tiny_cache(tmp_path / "cache", 3)
    usual = told_by("convert-cache", "--cache-dir", "cache", "--output-dir", "usual", "--backend", "webdataset")
    told = told_by(*CONVERT, "--verbose")
    assert "converting took" in told and "converting took" not in usual
    debug = told_by(*CONVERT, "--debug")
    assert debug.startswith("log: ") and len(debug.splitlines()) == 1  # what is in the log alone
    (path,) = logs(tmp_path)
    path.unlink()
    call(*CONVERT, "--verbose")
    assert logs(tmp_path) == [] and progress.SECONDS_BETWEEN_LINES == 10.0


def test_a_log_is_never_in_a_cache_and_needs_no_new_folder(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 3)
    assert log_folder(cache) == log_folder(cache / "frames" / "new") == tmp_path
    assert log_folder(tmp_path / "a" / "b") == log_folder(None) == log_folder(Path("x")) == tmp_path


def test_a_log_that_cannot_be_written_is_mentioned_once(tmp_path, monkeypatch):
    make_tiny_cache(tmp_path / "cache", 3)

    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied", "a.log")

    known = list(logging._handlerList)
    with monkeypatch.context() as patch:
        patch.setattr("embedonce.pipeline.commands.run_log._create", refused)
        output = call(*CONVERT, "--debug")
    assert output.count("no log file can be written") == 1 and "6 shards written" in output
    assert not [made for made in logging._handlerList if made not in known and isinstance(made(), RunLog)]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_ends_the_log_and_not_the_run(tmp_path, capsys):
    log = RunLog(tmp_path, "verify-cache")
    log._file.close()
    log._file = Path("/dev/full").open("w")  # noqa: SIM115 (RunLog closes it)
    for _ in range(3):
        log.emit(logging.LogRecord("embedonce", logging.INFO, "", 0, "text", (), None))
    log.close()
    assert capsys.readouterr().err.count("cannot be continued") == 1


def test_two_runs_in_the_same_second_have_two_logs(tmp_path):
    first, second = RunLog(tmp_path, "x"), RunLog(tmp_path, "x")
    assert first.path != second.path and len(logs(tmp_path)) == 2
    first.close()
    second.close()


def test_secrets_and_control_characters_do_not_reach_the_log(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "letmein-please")
    log = RunLog(tmp_path, "x")
    log.emit(logging.LogRecord("x", logging.INFO, "", 0, "at https://me:pw@host/v.mp4?sig=1 \x1b[31m %s", ("a",), None))
    log.emit(logging.LogRecord("x", logging.INFO, "", 0, "sent letmein-please", (), None))
    log.emit(logging.LogRecord("x", logging.INFO, "", 0, "%d", ("no number",), None))
    log.close()
    text = log.path.read_text()
    assert "https://host/v.mp4" in text and "no number" in text
    assert not any(secret in text for secret in ("pw", "sig=1", "letmein", "\x1b"))


@pytest.mark.integration
@pytest.mark.usefixtures("forked_workers")
def test_the_log_has_tracebacks_of_worker_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(extract_teacher.teacher_loading, "load_teacher", lambda config: FakeTeacher())
    (tmp_path / "v").mkdir()
    write_video(tmp_path / "v" / "a.mp4", 30)
    (tmp_path / "v" / "torn.mp4").write_bytes((tmp_path / "v" / "a.mp4").read_bytes()[:900])
    options = ["--teacher-head", "none", "--decode-workers", 1]
    call("extract-teacher", "--data-dir", "v", "--cache-dir", tmp_path / "c", "--debug", *options, code=3)
    (path,) = logs(tmp_path)
    text = path.read_text()
    assert "a task failed in a worker process: Traceback" in text and "VideoError" in text
    assert "ended with exit code 3" in text and "scanning videos took" in text


def test_mistakes_in_options_are_logged_too(tmp_path):
    assert "must be" in error_of("train-student", "--lr", "-1", "--debug")
    (path,) = logs(tmp_path)
    assert "UsageError" in path.read_text()
