"""A local S3 for tests, with the credentials and the address that programs find in their environment."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 without buckets."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def client(endpoint: str):
    return boto3.client("s3", endpoint_url=endpoint, **KEYS)


def upload(endpoint: str, bucket: str, folder: Path) -> None:
    """Create a bucket with the files of a folder."""
    s3 = client(endpoint)
    s3.create_bucket(Bucket=bucket)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        s3.put_object(Bucket=bucket, Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())


@contextlib.contextmanager
def aws_environment(endpoint: str, has_keys: bool = True) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a user of this S3, and nothing else of AWS."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        if has_keys:
            patch.setenv("AWS_ACCESS_KEY_ID", "x")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setattr(s3fs.S3FileSystem, "retries", 1)  # its pauses take seconds
        s3fs.S3FileSystem.clear_instance_cache()  # connections to the servers of earlier tests
        yield patch
        s3fs.S3FileSystem.clear_instance_cache()
