"""Extraction from a bucket and from a web server: the rows of the local folder, and no video downloaded twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3,test]'")

from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.remote_files import spool
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.registry import data_folder
from embedonce.pipeline.video.container import TemporaryError
from embedonce.pipeline.video.scanning import read_timeline
from tests.commands.test_cli import error_of
from tests.support.remote_runs import Teacher, extract, new_run, rows
from tests.support.s3_server import KEYS, client, directed_to, s3_server, upload
from tests.support.videos import write_video
from tests.support.web_server import file_answers, proxy_answers, serving

pytestmark = pytest.mark.integration
BUCKET = "videos"


@pytest.fixture(autouse=True)
def run(tmp_path):
    """Each test is a run of its own: nothing is downloaded yet."""
    with new_run(tmp_path / "spool"):
        yield


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """MP4 with its index behind, Matroska, a transport stream and a raw stream; the largest of more than 1 MiB."""
    root = tmp_path_factory.mktemp("remote") / "videos"
    for name, settings in {
        "cut/large.mp4": {"options": {"crf": "4"}, "size": (240, 320)},
        "cut/b frames.mkv": {},
        "stir/stream.ts": {"ticks": 90000},
        "stir/raw.h264": {"b_frames": 0},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(root / name, 240 if "large" in name else 90, **settings)
    assert (root / "cut/large.mp4").stat().st_size > 1 << 20
    return root


@pytest.fixture(scope="module")
def s3(videos):
    with s3_server() as endpoint:
        upload(endpoint, BUCKET, videos)
        yield endpoint


@pytest.fixture
def bucket(s3):
    """(URL of the bucket, its traffic)."""
    with serving(proxy_answers(s3)) as (address, traffic), directed_to(address):
        yield f"s3://{BUCKET}", traffic


@pytest.fixture(scope="module")
def local(videos, tmp_path_factory) -> Path:
    cache = tmp_path_factory.mktemp("local") / "c"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())
        extract(videos, cache)
    return cache


def test_rows_from_a_bucket_are_those_of_the_local_folder_and_each_byte_is_downloaded_once(
    bucket, videos, local, tmp_path
):
    url, traffic = bucket
    extract(url, tmp_path / "c")
    assert rows(tmp_path / "c") == rows(local)
    sizes = {f"/{BUCKET}/{p.relative_to(videos).as_posix()}".replace(" ", "%20"): p.stat().st_size
             for p in videos.rglob("*.*")}  # fmt: skip
    sent = {path: traffic.sent.get(path) for path in sizes}
    assert sent == sizes


@pytest.mark.parametrize("has_ranges", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_rows_from_a_web_server_are_those_of_the_local_folder(videos, local, tmp_path, has_ranges):
    with serving(file_answers(videos, has_ranges)) as (address, traffic):
        extract(f"{address}/", tmp_path / "c")
    assert rows(tmp_path / "c") == rows(local)
    total = sum(path.stat().st_size for path in videos.rglob("*.*"))
    assert traffic.total < (1.05 if has_ranges else 5) * total


def test_faults_in_the_middle_of_an_extraction_leave_the_same_rows(bucket, local, tmp_path):
    url, traffic = bucket
    for _ in range(3):
        traffic.faults += [None, 500, None, "truncated", None]
    extract(url, tmp_path / "c")
    assert rows(tmp_path / "c") == rows(local) and traffic.faults == []


def test_a_bucket_continues_the_cache_of_its_local_copy(bucket, videos, tmp_path):
    shutil.copytree(videos, tmp_path / "v")
    extract(tmp_path / "v", tmp_path / "c")
    before = rows(tmp_path / "c")
    printed = extract(bucket[0], tmp_path / "c")
    assert rows(tmp_path / "c") == before and "extracting frames" not in printed


def test_an_object_that_is_replaced_after_the_listing_fails_for_now_and_is_not_called_damaged(s3, bucket):
    source = folder_source(data_folder(bucket[0]))
    video = next(video for video in source.videos if video.source == "cut/large.mp4")
    body = client(s3).get_object(Bucket=BUCKET, Key="cut/large.mp4")["Body"].read()
    client(s3).put_object(Bucket=BUCKET, Key="cut/large.mp4", Body=body[: len(body) // 2])
    try:
        with pytest.raises(TemporaryError, match="was changed after it was listed"):
            list(read_timeline(video.path))
    finally:
        client(s3).put_object(Bucket=BUCKET, Key="cut/large.mp4", Body=body)


def test_a_server_that_breaks_for_good_is_no_damage(bucket):
    """Half of the file arrives, then nothing more: FFmpeg takes that for its end, and this must not."""
    url, traffic = bucket
    video = next(v for v in folder_source(data_folder(url)).videos if v.source == "stir/stream.ts")
    traffic.faults += [None] + [500] * 10_000
    with pytest.raises(TemporaryError, match="cannot be read"):
        list(read_timeline(video.path))


@pytest.mark.slow
def test_videos_that_fail_for_now_are_tried_again_by_the_next_run(bucket, s3, local, tmp_path):
    url, traffic = bucket
    traffic.faults += [403] * 1000
    message = error_of("extract-teacher", "--data-dir", url, "--cache-dir", tmp_path / "c", "--fps", "10", code=5)
    assert "none of the 4 videos under s3://videos can be decoded" in message and "cannot be read now" in message
    traffic.faults.clear()
    extract(url, tmp_path / "c")
    assert rows(tmp_path / "c") == rows(local)


def test_the_temporary_copies_are_removed_when_the_command_ends(bucket, tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path / "t")}
    (tmp_path / "t").mkdir()
    code = (
        "from embedonce.pipeline.sources.registry import open_sources\n"
        f"source = open_sources({bucket[0]!r})['']\n"
        "path = source.videos[0].path\n"
        "with path.open() as file: file.read()\n"
        "import os; print(len(os.listdir(path.spool.folder)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ran.stdout.split() == ["2"], ran.stderr  # the lock and one copy
    assert [path for path in (tmp_path / "t").iterdir() if path.name.startswith(spool.PREFIX)] == []


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("hdfs://host/folder", 5, "hdfs://host/folder: videos cannot be read from hdfs://"),
        ("s3://no-such-bucket/f", 5, "the bucket of s3://no-such-bucket/f does not exist"),
        ("s3://videos/no-such-folder", 2, "no video file in s3://videos/no-such-folder or below it"),
    ],
)
def test_errors_of_the_command(bucket, tmp_path, url, code, message):
    assert error_of("extract-teacher", "--data-dir", url, "--cache-dir", tmp_path / "c", code=code).startswith(message)
    assert not (tmp_path / "c").exists()


def test_missing_credentials_end_the_command_with_an_environment_error(s3, tmp_path, monkeypatch):
    with directed_to(s3):
        for name in KEYS:
            monkeypatch.delenv(name)
        message = error_of("extract-teacher", "--data-dir", "s3://videos", "--cache-dir", tmp_path / "c", code=5)
    assert message.startswith("s3://videos cannot be read: there are no credentials for the store")


def test_synthetic_videos_are_not_written_to_a_url(tmp_path):
    message = error_of("extract-teacher", "--use-synthetic", "--data-dir", "s3://b", "--cache-dir", tmp_path / "c")
    assert "--use-synthetic writes videos into a local folder" in message
