"""A local S3, for tests of object stores."""

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("moto", reason="moto is not installed: pip install -e '.[test]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[test]'")

import boto3
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 on this machine, to which S3 clients are directed; other AWS settings are hidden."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    with directed_to(endpoint):
        yield endpoint
    server.stop()


@contextlib.contextmanager
def directed_to(endpoint: str, **environment: str) -> Iterator[None]:
    """S3 clients that are made meanwhile use this endpoint."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        hidden = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}
        settings = KEYS | hidden | {"AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_ENDPOINT_URL_S3": endpoint}
        for name, value in (settings | environment).items():
            patch.setenv(name, value)
        yield


def client(endpoint: str):
    return boto3.client("s3", endpoint_url=endpoint)


def upload(endpoint: str, bucket: str, folder: Path) -> None:
    """Create a bucket with the files of a folder."""
    s3 = client(endpoint)
    s3.create_bucket(Bucket=bucket)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        s3.put_object(Bucket=bucket, Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())


def new_bucket(endpoint: str) -> str:
    """The name of a new, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client(endpoint).create_bucket(Bucket=name)
    return name
