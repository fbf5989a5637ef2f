"""Whole runs of extract-teacher over URLs: what they leave in the cache, in the temporary folder, and on the screen."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3,test]'")

from embedonce.pipeline.extraction import extract_teacher, teacher_loading
from embedonce.pipeline.remote_files import spool
from embedonce.pipeline.teachers.teacher import CallTime
from tests.commands.test_cli import call, error_of
from tests.support.remote_runs import Teacher, documents, extract, new_run, rows
from tests.support.s3_server import client, directed_to, new_bucket, s3_server, upload
from tests.support.videos import write_video
from tests.support.web_server import file_answers, serving

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())


@pytest.fixture(scope="module")
def s3():
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["s3", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("web", "memory"))])
def url_of(request, s3, tmp_path) -> Callable[[Path], str]:
    """A function that puts a local folder behind a URL of each kind."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(new_run(tmp_path / "copies"))
        stack.enter_context(directed_to(s3))

        def put(root: Path) -> str:
            if request.param == "web":
                return stack.enter_context(serving(file_answers(root)))[0] + "/"
            name = uuid.uuid4().hex
            if request.param == "memory":
                fsspec.filesystem("memory").put(f"{root}/", f"/{name}/", recursive=True)
            else:
                upload(s3, name, root)
            return f"{request.param}://{name}"

        yield put


@pytest.fixture
def videos(tmp_path) -> Path:
    for name in ("cut/a.mp4", "cut/b.mkv", "stir/c.ts"):
        (tmp_path / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "v" / name, 40, **({"ticks": 90000} if name.endswith("ts") else {}))
    (tmp_path / "v/stir/no video.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    return tmp_path / "v"


def test_the_cache_is_that_of_the_local_folder(videos, url_of, tmp_path):
    extract(videos, tmp_path / "local", code=3)
    extract(url_of(videos), tmp_path / "remote", code=3)
    assert documents(tmp_path / "remote") == documents(tmp_path / "local")
    assert rows(tmp_path / "remote") == rows(tmp_path / "local")


@pytest.mark.slow
def test_the_cache_of_real_videos_is_that_of_the_local_folder(real_videos, url_of, tmp_path):
    extract(real_videos, tmp_path / "local", code=3)
    extract(url_of(real_videos), tmp_path / "remote", code=3)
    assert documents(tmp_path / "remote") == documents(tmp_path / "local")
    assert len(documents(tmp_path / "remote")) > 10


@pytest.mark.slow
@pytest.mark.parametrize("url_of", ["s3"], indirect=True)
def test_a_run_over_a_changed_folder_matches_as_a_local_one(videos, url_of, tmp_path):
    """A video is added, another renamed, a third one missing: both caches continue in the same way."""
    extract(videos, tmp_path / "local", code=3)
    extract(url_of(videos), tmp_path / "remote", code=3)
    changed = shutil.copytree(videos, tmp_path / "changed")
    (changed / "cut/a.mp4").rename(changed / "cut/renamed.mp4")
    (changed / "stir/c.ts").unlink()
    write_video(changed / "stir/d.mp4", 20)
    extract(changed, tmp_path / "local", code=3)
    extract(url_of(changed), tmp_path / "remote", code=3)
    assert documents(tmp_path / "remote") == documents(tmp_path / "local")


@pytest.mark.parametrize("url_of", ["memory"], indirect=True)
def test_a_dry_run_counts_as_that_of_the_local_folder(videos, url_of, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "teacher_time", lambda config: CallTime(0.01, 0.01))
    words = ("--cache-dir", tmp_path / "c", "--fps", "10", "--dry-run")
    local = call("extract-teacher", "--data-dir", videos, *words)
    remote = call("extract-teacher", "--data-dir", url_of(videos), *words)
    frames = [line for line in local.splitlines() if "frames" in line and "videos/s" not in line]
    assert frames and [line for line in remote.splitlines() if "frames" in line and "videos/s" not in line] == frames


@pytest.mark.slow
@pytest.mark.parametrize("url_of", ["web"], indirect=True)
def test_the_settings_of_a_cache_can_be_used_again(videos, url_of, tmp_path):
    extract(url_of(videos), tmp_path / "c", code=3)
    before = documents(tmp_path / "c")
    printed = call("extract-teacher", "--config", tmp_path / "c" / "extract_config.yaml", code=3)
    assert "extracting frames" not in printed and documents(tmp_path / "c") == before


def test_no_token_is_printed_or_stored(videos, tmp_path):
    good = file_answers(videos)

    def guarded(path: str, headers: dict[str, str]):
        if "token=secret" not in path:
            return 403, {}, b""
        return (500, {}, b"") if "b.mkv" in path else good(path, headers)

    with new_run(tmp_path / "copies"), serving(guarded) as (address, _):
        assert "access is refused (403)" in error_of(
            "extract-teacher", "--data-dir", f"{address}/", "--cache-dir", tmp_path / "c", code=5
        )
        printed = extract(f"{address}/?token=secret", tmp_path / "c", code=3)
        assert "500" in printed and "secret" not in printed
    stored = [path for path in (tmp_path / "c").rglob("*") if path.is_file()]
    assert len(stored) > 5 and not any(b"secret" in path.read_bytes() for path in stored)
    assert f"data_dir: {address}/\n" in (tmp_path / "c/extract_config.yaml").read_text()


def crops(cache_dir: Path) -> set[bytes]:
    return {jpeg for unit in rows(cache_dir).values() for jpeg in unit if jpeg[:2] == b"\xff\xd8"}


@pytest.mark.slow
def test_an_object_that_is_replaced_during_the_run_is_left_to_the_next_one(s3, videos, tmp_path):
    bucket, other = new_bucket(s3), write_video(tmp_path / "other.mp4", 50).read_bytes()
    for path in (videos / "cut/a.mp4", videos / "cut/b.mkv"):
        client(s3).put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes())
    with directed_to(s3), new_run(tmp_path / "copies"), pytest.MonkeyPatch.context() as patch:
        find = extract_teacher.find_sources

        def find_and_replace(config):
            found = find(config)
            client(s3).put_object(Bucket=bucket, Key="a.mp4", Body=other)
            return found

        patch.setattr(extract_teacher, "find_sources", find_and_replace)
        printed = extract(f"s3://{bucket}", tmp_path / "c", code=3)
    assert f"a.mp4: its file cannot be read now (s3://{bucket}/a.mp4 was changed after it was listed)" in printed
    with directed_to(s3), new_run(tmp_path / "copies 2"):
        extract(f"s3://{bucket}", tmp_path / "c")
    (tmp_path / "same").mkdir()
    (tmp_path / "same/a.mp4").write_bytes(other)
    shutil.copy(videos / "cut/b.mkv", tmp_path / "same")
    extract(tmp_path / "same", tmp_path / "local")
    assert crops(tmp_path / "c") == crops(tmp_path / "local")


@pytest.mark.parametrize(
    "words",
    [
        ("relabel", "--cache-dir", "c", "--annotations", "fho"),
        ("plan-ego4d",),
    ],
)
def test_commands_that_read_annotations_alone_need_a_local_folder(words):
    message = error_of(*words, "--data-dir", "s3://bucket/folder")
    assert "s3://bucket/folder' is a URL" in message and "copy it here" in message


SLEEPS = """
import sys, time
from embedonce.pipeline.sources.registry import open_sources
path = open_sources(sys.argv[1])[""].videos[0].path
with path.open() as file:
    file.read()
print(path.spool.folder, flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_temporary_copies_of_a_killed_run_are_removed_by_the_next_one(videos, tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path / "t")}
    (tmp_path / "t").mkdir()

    def start(address: str, seconds: float) -> tuple[subprocess.Popen, Path]:
        words = [sys.executable, "-c", SLEEPS, f"{address}/", str(seconds)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    with serving(file_answers(videos)) as (address, _):
        killed, left = start(address, 600)
        used, kept = start(address, 600)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert len(list(left.iterdir())) == len(list(kept.iterdir())) == 2  # the lock and one copy
        last, removed = start(address, 0)
        last.communicate()
        assert not left.exists() and not removed.exists() and kept.exists()
        used.kill()
        used.communicate()
    assert [path for path in (tmp_path / "t").iterdir() if path.name.startswith(spool.PREFIX)] == [kept]
