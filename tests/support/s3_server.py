"""A local S3, for tests of object stores."""

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
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


def objects(endpoint: str, url: str) -> dict[str, bytes]:
    """All objects below a URL, without this program's own stores: the rest of the key -> bytes."""
    bucket, prefix = parted(url)
    s3, found = client(endpoint), {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for listed in page.get("Contents", ()):
            body = s3.get_object(Bucket=bucket, Key=listed["Key"])["Body"]
            found[listed["Key"].removeprefix(prefix)] = body.read()
    return found


def age(url: str, seconds: float) -> None:
    """As if all objects below a URL had been written so much earlier, by the clock of a server in this process."""
    from moto.s3.models import s3_backends

    bucket, prefix = parted(url)
    (backend,) = (account["aws"] for account in s3_backends.values() if bucket in account["aws"].buckets)
    for key, found in backend.buckets[bucket].keys.items():
        if key.startswith(prefix):
            found.last_modified -= timedelta(seconds=seconds)


def parted(url: str) -> tuple[str, str]:
    """(bucket, prefix of the keys, with a slash at its end) of a URL."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/"
