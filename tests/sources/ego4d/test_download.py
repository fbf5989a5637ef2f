"""download-ego4d from end to end, with the real client and a local S3 that has small copies of Ego4D's buckets."""

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="moto is not installed: pip install -e '.[test]'")
pytest.importorskip("boto3", reason="boto3 is not installed: pip install -e '.[ego4d]'")
pytest.importorskip("ego4d", reason="Ego4D's client is not installed: pip install -e '.[ego4d]'")

import boto3
from moto.server import ThreadedMotoServer

from embedonce.cache import commit
from embedonce.cache.errors import BusyError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.sources.ego4d.download.download import LOCK, Download
from embedonce.pipeline.sources.ego4d.download.download_plan import DownloadConfig
from embedonce.pipeline.sources.ego4d.download.transfers import RECORD, RemoteFile, Transfer
from embedonce.pipeline.sources.ego4d.download.video_selection import SelectionCriteria
from tests.commands.test_cli import ROOT, call, error_of
from tests.support import ego4d_bucket as mini
from tests.support.full_disk import mounted
from tests.support.slow_s3 import holding_back, refusing

pytestmark = pytest.mark.integration

FULL = Path("v2/full_scale")


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    mini.fill(endpoint, tmp_path_factory.mktemp("videos"))
    yield endpoint
    server.stop()


@contextlib.contextmanager
def credentials(folder: Path):
    """Keys as they come with a license, and no other AWS settings."""
    keys = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n"
    (folder / "credentials").write_text(f"[default]\n{keys}[ego4d]\n{keys}[empty]\nregion = us-east-1\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
        patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield patch


@pytest.fixture(autouse=True)
def aws(tmp_path):
    with credentials(tmp_path):
        yield


@pytest.fixture
def bucket(s3, aws, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)


@pytest.fixture(scope="module")
def fetched(s3, tmp_path_factory) -> tuple[Path, str]:
    """A new folder with three downloaded videos, and the output of the command."""
    root = tmp_path_factory.mktemp("fetched") / "new" / "ego4d_data"
    with credentials(tmp_path_factory.mktemp("aws")) as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", s3)
        return root, call(*command(root, "--num-videos", 3))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory) -> Path:
    """A folder with the annotations, as the client leaves them."""
    root = tmp_path_factory.mktemp("annotated")
    (root / "v2/annotations").mkdir(parents=True)
    (root / "ego4d.json").write_text(json.dumps(mini.metadata()))
    for name, content in mini.annotations().items():
        (root / "v2/annotations" / name).write_text(json.dumps(content))
    return root


@pytest.fixture
def root(tmp_path, annotated) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "ego4d_data"))


def command(root: Path, *arguments) -> list:
    return ["download-ego4d", "--data-dir", root, "--yes", *arguments]


def videos(root: Path, kind: str = "full_scale") -> dict[str, int]:
    return {path.stem: path.stat().st_size for path in (root / "v2" / kind).glob("*.mp4")}


# -- whole runs ------------------------------------------------------------------------------------------------------


def test_a_first_download(fetched):
    root, output = fetched
    assert "annotations of Ego4D v2_1: 6 files, " in output and "full_scale of Ego4D v2_1: 3 videos, " in output
    assert (
        "to download: 3 files, " in output and " free\n" in output and "full_scale: all 3 files downloaded\n" in output
    )
    assert "  0.1 min  FHO+Moments+Narrations  Walking on street" in output
    assert f"next: python cli.py extract-teacher --data-dir {root}" in output
    assert set(videos(root)) == set(mini.ALL_TASKS) and min(videos(root).values()) > 1000
    assert json.loads((root / "ego4d.json").read_text()) == mini.metadata()
    record = json.loads((root / RECORD).read_text())["requests"]
    assert [request["dataset"] for request in record] == ["annotations", "full_scale"]
    assert {file["uid"]: file["num_bytes"] for file in record[1]["files"]} == videos(root)
    assert not list(root.rglob("*.mp4.*")) and not list(root.rglob(".tmp-*"))


def test_a_complete_download_needs_no_credentials(fetched, monkeypatch):
    with refusing("ExpiredToken") as expired:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", expired)
        assert call(*command(fetched[0], "--num-videos", 3)).count("all files exist already") == 2
        assert "license" in error_of(*command(fetched[0], "--num-videos", 7), code=5)


def test_incomplete_files_are_downloaded_again(bucket, fetched, tmp_path):
    root = Path(shutil.copytree(fetched[0], tmp_path / "copy"))
    before = videos(root)
    cut, gone, kept = (root / FULL / f"{uid}.mp4" for uid in mini.ALL_TASKS)
    cut.write_bytes(cut.read_bytes()[:100])
    gone.rename(f"{gone}.0aB1c2D3")  # as left by a killed client
    untouched = kept.stat().st_mtime_ns
    output = call(*command(root, "--num-videos", 3))
    assert f"note: {FULL / cut.name} has 100 bytes, not {before[cut.stem]}: it will be downloaded again" in output
    assert "to download: 2 files" in output and "1 exist already" in output
    assert videos(root) == before and kept.stat().st_mtime_ns == untouched
    assert not list(root.rglob("*.mp4.*"))


@pytest.mark.slow
def test_more_videos_include_the_earlier_ones(bucket, fetched, tmp_path):
    root = Path(shutil.copytree(fetched[0], tmp_path / "copy"))
    output = call(*command(root, "--num-videos", 7))
    assert set(videos(root)) == set(mini.UIDS) - {mini.NO_FILE}
    assert "to download: 4 files" in output and "3 exist already" in output


def test_clips_belong_to_the_selected_videos(bucket, root):
    output = call(*command(root, "--num-videos", 1, "--kind", "clips", "--aws-profile", "ego4d"))
    assert (
        "clips of Ego4D v2_1: 1 videos, 0.00 hours, 2 files, " in output and "clips: all 2 files downloaded" in output
    )
    assert tuple(sorted(videos(root, "clips"))) in {tuple(sorted(mini.CLIP_UIDS[uid])) for uid in mini.ALL_TASKS}


def test_smaller_videos(bucket, root):
    output = call("download-ego4d", "--data-dir", root, "--dry-run", "--kind", "video_540ss", "--num-videos", 3)
    assert "video_540ss of Ego4D v2_1: 3 videos, " in output and "to download: 3 files, " in output


# -- before downloading --------------------------------------------------------------------------------------


def test_a_dry_run_fetches_nothing(bucket, root, tmp_path):
    output = call("download-ego4d", "--data-dir", root, "--dry-run", "--num-videos", 2)
    assert "to download: 2 files" in output and "dry run: nothing was downloaded" in output
    assert not videos(root) and not (root / FULL).exists()
    output = call("download-ego4d", "--data-dir", tmp_path / "new", "--dry-run")
    assert "to download: 6 files" in output and "download those first (with --num-videos 0, only those)" in output
    assert not (tmp_path / "new").exists()


def test_confirmation_needs_a_terminal(bucket, root):
    arguments = ["download-ego4d", "--data-dir", root, "--num-videos", "1"]
    assert "there is no terminal to confirm the download on" in error_of(*arguments)
    ours, theirs = os.openpty()
    asking = subprocess.Popen(
        [sys.executable, "cli.py", *map(str, arguments)], cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.write(ours, b"n\n")
    output = asking.communicate(timeout=200)[0].decode()
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 1 and "download this? [y/N]" in output and not videos(root)


def test_too_little_disk_space_is_an_error(root, aws):
    download = Download(DownloadConfig(root, "full_scale", "v2_1", "default", SelectionCriteria()))
    with pytest.raises(PipelineError, match=r"needs 1000000000\.0 GB, and [\d.]+ GB are free in .*; free some space"):
        download.check_space(Transfer("full_scale", (RemoteFile("v2/full_scale/a.mp4", "a", 10**18),)))


# -- errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--scenario", "skiing"],
            "no annotated video has 'skiing' in the name of a scenario; scenarios: Cooking (3)",
        ),
        (
            ["--num-videos", 3, "--scenario", "COOK", "--max-hours", 0.001],
            "cannot select 3 videos within 0.001 hours of",
        ),
        (
            ["--num-videos", 8],
            "cannot select 8 videos: 7 of the 8 annotated videos that match fit; lower --num-videos",
        ),
        (["--num-videos", 8], "skipped 1 videos whose files are missing on S3 or denied to these credentials"),
        (
            ["--version", "v9"],
            "Ego4D has no version 'v9' with a data set 'annotations'; the latest known version is v2_1",
        ),
        (["--version", "../v2"], "--version must be a version such as v2_1, not '../v2'"),
        (["--aws-profile", "mine"], "there is no AWS profile 'mine' in ~/.aws/credentials: put the keys"),
        (["--max-gb", 0], "Invalid value for '--max-gb'"),
    ],
)
def test_invalid_requests(bucket, root, options, message):
    assert message in error_of(*command(root, *options))
    assert not videos(root)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "ExpiredToken",
            "rejects the credentials of the AWS profile 'default' (ExpiredToken): license credentials last",
        ),
        ("InvalidAccessKeyId", "renew them at ego4d-data.org"),
        ("SignatureDoesNotMatch", "rejects the credentials"),
        ("AccessDenied", "(AccessDenied): the license was not granted to these keys, or has ended"),
        ("NoSuchBucket", "S3 has no such bucket (NoSuchBucket)"),
        ("SomethingNew", "S3 refused the request: An error occurred (SomethingNew)"),
    ],
)
def test_errors_of_s3(root, monkeypatch, code, message):
    with refusing(code) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        assert message in error_of(*command(root), code=5)


def test_missing_keys_and_no_network(root, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert "S3 cannot be reached (Could not connect to the endpoint URL)" in error_of(*command(root), code=5)
    assert "'empty' has no keys" in error_of(*command(root, "--aws-profile", "empty"), code=5)
    (tmp_path / "credentials").unlink()
    assert "there is no AWS profile 'default'" in error_of(*command(root), code=5)


@pytest.mark.slow
def test_failed_downloads_are_found_although_the_client_reports_success(bucket, s3, root):
    download = Download(DownloadConfig(root, "full_scale", "v2_1", "default", SelectionCriteria(num_videos=3)))
    transfer = download.videos()
    store = boto3.client("s3", endpoint_url=s3)
    where = {"Bucket": mini.MINNESOTA, "Key": f"public/full_scale/canonical/{mini.UIDS[1]}.mp4"}
    body = store.get_object(**where)["Body"].read()
    store.delete_object(**where)
    with pytest.raises(
        PipelineError, match=f"only 2 of 3 files are complete; {FULL}/{mini.UIDS[1]}.mp4 is not"
    ) as error:
        download.fetch(transfer)
    assert "  | " in str(error.value) and len(str(error.value).splitlines()) <= 10
    store.put_object(**where, Body=body[:-1])  # the file on S3 differs from the recorded one
    with pytest.raises(PipelineError, match="2 of 3 files are complete"):
        download.fetch(transfer)
    assert "to download: 1 files" not in call(*command(root, "--num-videos", 3))  # sizes are asked for anew
    store.put_object(**where, Body=body)


def test_a_client_outside_this_environment_without_boto3(bucket, root, tmp_path, monkeypatch):
    script = tmp_path / "bin" / "ego4d"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m ego4d.cli.cli "$@"\n')
    script.chmod(0o755)
    monkeypatch.setitem(sys.modules, "ego4d", None)
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    message = "Ego4D's client is not installed: pip install 'embedonce[ego4d]'"
    assert message in error_of(*command(root, "--num-videos", 3), code=5)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    output = call(*command(root, "--num-videos", 3))
    assert "3 files, about 3.9 MB (estimated at 2 GB per hour, as boto3 is not installed)" in output
    assert "annotations of Ego4D v2_1: 6 files, unknown size (boto3 is not installed)" in output
    assert set(videos(root)) == set(mini.ALL_TASKS)
    assert "all files exist already" in call(*command(root, "--num-videos", 3))


@pytest.mark.slow
def test_a_disk_that_fills_up(bucket, s3, root, tmp_path):
    with mounted(tmp_path / "small", "size=400k") as disk:
        full = Path(shutil.copytree(root, disk / "ego4d_data"))
        download = Download(DownloadConfig(full, "full_scale", "v2_1", "default", SelectionCriteria(num_videos=3)))
        transfer, filler = download.videos(), disk / "filler"
        download.check_space(transfer)
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 36_000))
        with pytest.raises(
            PipelineError, match=r"the disk is full: \d of 3 files are complete and kept, .* free some space"
        ):
            download.fetch(transfer)
        filler.unlink()
        assert "full_scale: all 3 files downloaded" in call(*command(full, "--num-videos", 3))


def test_an_unreadable_record_is_an_error(root):
    (root / RECORD).write_text('{"requests": [{"options": {}}]}')
    assert "cannot be read; delete it, and the files on disk are checked again" in error_of(*command(root))


# -- interruption -------------------------------------------------------------------------------------------


def wait_for_lock(root: Path) -> None:
    until = time.monotonic() + 200
    while True:
        try:
            commit.Lock(root / LOCK).close()
            return
        except BusyError:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_an_interrupted_download_is_resumed(bucket, s3, root, how):
    arguments = [str(part) for part in command(root, "--num-videos", 2)]
    with holding_back(s3) as (endpoint, requested, release):
        environment = os.environ | {"AWS_ENDPOINT_URL_S3": endpoint}
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
        running = subprocess.Popen(
            [sys.executable, "cli.py", *arguments], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )
        signal.signal(signal.SIGINT, before)
        assert requested.wait(30)
        running.send_signal(how)
        output = running.communicate(timeout=200)[1].decode()
        assert running.returncode == (130 if how == signal.SIGINT else -how), output
        assert not videos(root)  # a partial file has another name
        if how == signal.SIGINT:
            assert "interrupted" in output and "run the same command again" in output
            assert not list((root / FULL).glob("*.mp4*"))
        else:  # the client outlives its parent and keeps the folder locked
            assert "is being written by another process" in error_of(*arguments, code=4)
            release.set()
            wait_for_lock(root)
            assert len(videos(root)) == 2
    output = call(*arguments)
    assert len(videos(root)) == 2 and ("all files exist" in output or "all 2 files downloaded" in output)
