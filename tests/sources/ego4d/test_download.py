"""download-ego4d from end to end: the real client, and a local S3 that holds a miniature of Ego4D's buckets."""

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
from embedonce.pipeline.sources.ego4d.download.choice import SelectionCriteria
from embedonce.pipeline.sources.ego4d.download.download import LOCK, Download
from embedonce.pipeline.sources.ego4d.download.selection import DownloadConfig
from embedonce.pipeline.sources.ego4d.download.transfers import RECORD, RemoteFile, Transfer
from tests.commands.test_cli import ROOT, call, error_of
from tests.support import ego4d_bucket as mini
from tests.support.full_disk import mounted
from tests.support.slow_s3 import holding_back, refusing

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
    """Keys as a licence gives them, and no other setting of AWS."""
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
    """A folder that was not there and has three videos now; what was said meanwhile."""
    root = tmp_path_factory.mktemp("fetched") / "new" / "ego4d_data"
    with credentials(tmp_path_factory.mktemp("aws")) as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", s3)
        return root, call(*command(root, "--num-videos", 3))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory) -> Path:
    """A folder with the annotations, as if the client had put them there."""
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


def test_from_nothing_to_files(fetched):
    root, told = fetched
    assert "annotations of Ego4D v2_1: 6 files, " in told and "full_scale of Ego4D v2_1: 3 videos, " in told
    assert "to download: 3 files, " in told and " free\n" in told and "full_scale: all 3 files downloaded\n" in told
    assert "  0.1 min  FHO+Moments+Narrations  Walking on street" in told
    assert f"next: python cli.py extract-teacher --data-dir {root}" in told
    assert set(videos(root)) == set(mini.ALL_TASKS) and min(videos(root).values()) > 1000
    assert json.loads((root / "ego4d.json").read_text()) == mini.metadata()
    record = json.loads((root / RECORD).read_text())["requests"]
    assert [request["dataset"] for request in record] == ["annotations", "full_scale"]
    assert {file["uid"]: file["num_bytes"] for file in record[1]["files"]} == videos(root)
    assert not list(root.rglob("*.mp4.*")) and not list(root.rglob(".tmp-*"))


def test_what_is_there_needs_no_credentials(fetched, monkeypatch):
    with refusing("ExpiredToken") as expired:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", expired)
        assert call(*command(fetched[0], "--num-videos", 3)).count("all files exist already") == 2
        assert "licence" in error_of(*command(fetched[0], "--num-videos", 7), code=5)


def test_what_is_not_whole_is_fetched_again(bucket, fetched, tmp_path):
    root = Path(shutil.copytree(fetched[0], tmp_path / "copy"))
    before = videos(root)
    cut, gone, kept = (root / FULL / f"{uid}.mp4" for uid in mini.ALL_TASKS)
    cut.write_bytes(cut.read_bytes()[:100])
    gone.rename(f"{gone}.0aB1c2D3")  # as a client leaves it that was killed
    untouched = kept.stat().st_mtime_ns
    told = call(*command(root, "--num-videos", 3))
    assert f"note: {FULL / cut.name} has 100 bytes, not {before[cut.stem]}: it will be downloaded again" in told
    assert "to download: 2 files" in told and "1 exist already" in told
    assert videos(root) == before and kept.stat().st_mtime_ns == untouched
    assert not list(root.rglob("*.mp4.*"))


@pytest.mark.slow
def test_more_videos_are_added_to_the_same_ones(bucket, fetched, tmp_path):
    root = Path(shutil.copytree(fetched[0], tmp_path / "copy"))
    told = call(*command(root, "--num-videos", 7))
    assert set(videos(root)) == set(mini.UIDS) - {mini.NO_FILE}
    assert "to download: 4 files" in told and "3 exist already" in told


def test_clips_are_those_of_the_videos(bucket, root):
    told = call(*command(root, "--num-videos", 1, "--kind", "clips", "--aws-profile", "ego4d"))
    assert "clips of Ego4D v2_1: 1 videos, 0.00 hours, 2 files, " in told and "clips: all 2 files downloaded" in told
    assert tuple(sorted(videos(root, "clips"))) in {tuple(sorted(mini.CLIP_UIDS[uid])) for uid in mini.ALL_TASKS}


def test_smaller_videos(bucket, root):
    told = call("download-ego4d", "--data-dir", root, "--dry-run", "--kind", "video_540ss", "--num-videos", 3)
    assert "video_540ss of Ego4D v2_1: 3 videos, " in told and "to download: 3 files, " in told


# -- before anything is fetched --------------------------------------------------------------------------------------


def test_a_dry_run_fetches_nothing(bucket, root, tmp_path):
    told = call("download-ego4d", "--data-dir", root, "--dry-run", "--num-videos", 2)
    assert "to download: 2 files" in told and "dry run: nothing was downloaded" in told
    assert not videos(root) and not (root / FULL).exists()
    told = call("download-ego4d", "--data-dir", tmp_path / "new", "--dry-run")
    assert "to download: 6 files" in told and "download those first (with --num-videos 0, only those)" in told
    assert not (tmp_path / "new").exists()


def test_it_asks_on_a_terminal_only(bucket, root):
    arguments = ["download-ego4d", "--data-dir", root, "--num-videos", "1"]
    assert "there is no terminal to confirm the download on" in error_of(*arguments)
    ours, theirs = os.openpty()
    asking = subprocess.Popen(
        [sys.executable, "cli.py", *map(str, arguments)], cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.write(ours, b"n\n")
    told = asking.communicate(timeout=200)[0].decode()
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 1 and "download this? [y/N]" in told and not videos(root)


def test_the_disk_must_have_room(root, aws):
    download = Download(DownloadConfig(root, "full_scale", "v2_1", "default", SelectionCriteria()))
    with pytest.raises(
        PipelineError, match=r"1000000000\.0 GB are to be fetched and [\d.]+ GB are free in .*; make room"
    ):
        download.check_space(Transfer("full_scale", (RemoteFile("v2/full_scale/a.mp4", "a", 10**18),)))


# -- mistakes and refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--scenario", "skiing"],
            "no annotated video has a scenario with 'skiing' in its name; there are: Cooking (3)",
        ),
        (
            ["--num-videos", 3, "--scenario", "COOK", "--max-hours", 0.001],
            "there are not 3 videos within 0.001 hours of",
        ),
        (
            ["--num-videos", 8],
            "there are not 8 videos: 7 can be had, of 8 that are annotated and match; lower --num-videos",
        ),
        (["--num-videos", 8], "passed over 1 videos that S3 has no file for, or does not give to these credentials"),
        (["--version", "v9"], "Ego4D has no version 'v9' with a data set 'annotations': there is v2_1"),
        (["--version", "../v2"], "--version must be a version such as v2_1, not '../v2'"),
        (["--aws-profile", "mine"], "there is no AWS profile 'mine' in ~/.aws/credentials: put the keys"),
        (["--max-gb", 0], "Invalid value for '--max-gb'"),
    ],
)
def test_mistakes(bucket, root, options, message):
    assert message in error_of(*command(root, *options))
    assert not videos(root)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "ExpiredToken",
            "rejects the credentials of the AWS profile 'default' (ExpiredToken): licence credentials last",
        ),
        ("InvalidAccessKeyId", "renew them at ego4d-data.org"),
        ("SignatureDoesNotMatch", "rejects the credentials"),
        ("AccessDenied", "(AccessDenied): the licence was not granted to these keys, or has ended"),
        ("NoSuchBucket", "S3 has no such bucket (NoSuchBucket)"),
        ("SomethingNew", "S3 does not give what was asked for: An error occurred (SomethingNew)"),
    ],
)
def test_refusals(root, monkeypatch, code, message):
    with refusing(code) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        assert message in error_of(*command(root), code=5)


def test_no_keys_and_no_network(root, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert "S3 cannot be reached (Could not connect to the endpoint URL)" in error_of(*command(root), code=5)
    assert "'empty' holds no keys" in error_of(*command(root, "--aws-profile", "empty"), code=5)
    (tmp_path / "credentials").unlink()
    assert "there is no AWS profile 'default'" in error_of(*command(root), code=5)


@pytest.mark.slow
def test_a_client_that_calls_failure_success_is_not_believed(bucket, s3, root):
    download = Download(DownloadConfig(root, "full_scale", "v2_1", "default", SelectionCriteria(num_videos=3)))
    transfer = download.videos()
    store = boto3.client("s3", endpoint_url=s3)
    where = {"Bucket": mini.MINNESOTA, "Key": f"public/full_scale/canonical/{mini.UIDS[1]}.mp4"}
    body = store.get_object(**where)["Body"].read()
    store.delete_object(**where)
    with pytest.raises(PipelineError, match=f"2 of 3 files are there, {FULL}/{mini.UIDS[1]}.mp4 is not") as error:
        download.fetch(transfer)
    assert "  | " in str(error.value) and len(str(error.value).splitlines()) <= 10
    store.put_object(**where, Body=body[:-1])  # S3 holds another file now than was recorded
    with pytest.raises(PipelineError, match="2 of 3 files are there"):
        download.fetch(transfer)
    assert "to download: 1 files" not in call(*command(root, "--num-videos", 3))  # sizes are asked for anew
    store.put_object(**where, Body=body)


def test_a_client_of_its_own_without_boto3_here(bucket, root, tmp_path, monkeypatch):
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
    told = call(*command(root, "--num-videos", 3))
    assert "3 files, about 3.9 MB (estimated at 2 GB per hour, as boto3 is not installed)" in told
    assert "annotations of Ego4D v2_1: 6 files, unknown size (boto3 is not installed)" in told
    assert set(videos(root)) == set(mini.ALL_TASKS)
    assert "all files exist already" in call(*command(root, "--num-videos", 3))


@pytest.mark.slow
def test_a_disk_that_gets_full(bucket, s3, root, tmp_path):
    with mounted(tmp_path / "small", "size=400k") as disk:
        full = Path(shutil.copytree(root, disk / "ego4d_data"))
        download = Download(DownloadConfig(full, "full_scale", "v2_1", "default", SelectionCriteria(num_videos=3)))
        transfer, filler = download.videos(), disk / "filler"
        download.check_space(transfer)
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - 36_000))
        with pytest.raises(
            PipelineError, match=r"the disk is full: \d of 3 files are there and are kept, .* make room"
        ):
            download.fetch(transfer)
        filler.unlink()
        assert "full_scale: all 3 files downloaded" in call(*command(full, "--num-videos", 3))


def test_a_record_that_cannot_be_read(root):
    (root / RECORD).write_text('{"requests": [{"options": {}}]}')
    assert "cannot be read; delete it, and what is on disk is looked at anew" in error_of(*command(root))


# -- stopped in the middle -------------------------------------------------------------------------------------------


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
def test_stopped_and_run_again(bucket, s3, root, how):
    arguments = [str(part) for part in command(root, "--num-videos", 2)]
    with holding_back(s3) as (endpoint, asked, release):
        environment = os.environ | {"AWS_ENDPOINT_URL_S3": endpoint}
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
        running = subprocess.Popen(
            [sys.executable, "cli.py", *arguments], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )
        signal.signal(signal.SIGINT, before)
        assert asked.wait(30)
        running.send_signal(how)
        told = running.communicate(timeout=200)[1].decode()
        assert running.returncode == (130 if how == signal.SIGINT else -how), told
        assert not videos(root)  # half a video has not its name
        if how == signal.SIGINT:
            assert "interrupted" in told and "run the same command again" in told
            assert not list((root / FULL).glob("*.mp4*"))
        else:  # the client outlives us, and keeps the folder
            assert "is being written by another process" in error_of(*arguments, code=4)
            release.set()
            wait_for_lock(root)
            assert len(videos(root)) == 2
    told = call(*arguments)
    assert len(videos(root)) == 2 and ("all files exist" in told or "all 2 files downloaded" in told)
