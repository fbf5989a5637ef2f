"""Reads manifests and file sizes from Ego4D's buckets on S3. The only module that imports boto3.

Uses the same AWS profile as Ego4D's client, which ignores keys in environment variables. Downloads no video.
"""

import csv
import importlib.util
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.sources.ego4d.download.s3_errors import RefusedError, find_refusal

SHARED_BUCKET = "ego4d-consortium-sharing"
DEFAULT_VERSION = "v2_1"
MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
DENIED_CODES = {"403", "AccessDenied"}
_PATH_COLUMNS = ("canonical_s3_location", "s3_path")
_IS_PLAIN_FILE = {"mp4": False, "video": False, "file": True, "json": True}  # by the manifest's column `type`
_THREADS = 16
_PREFETCH = 32  # videos whose sizes are requested together, in the order in which they will be needed


@dataclass(frozen=True, slots=True)
class S3File:
    """A row of a manifest. name: of the file that the client writes."""

    uid: str
    name: str
    bucket: str
    key: str


def is_available() -> bool:
    """Whether boto3, which Ego4D's client depends on, is installed."""
    return importlib.util.find_spec("boto3") is not None


def read_manifest(text: str, name: str) -> dict[str, S3File]:
    """uid -> file, by the rules of Ego4D's client: file_uid before video_uid; <uid>.mp4 unless the row is a plain file.

    text: CSV. name: of the manifest, for messages. Raises PipelineError if the columns are those of no manifest.
    """
    files = {}
    for row in csv.DictReader(io.StringIO(text)):
        uid = row.get("file_uid", row.get("video_uid"))
        path = next((row[column] for column in _PATH_COLUMNS if column in row), None)
        if uid is None or path is None:
            raise PipelineError(f"{name} is not an Ego4D manifest: its columns are {', '.join(row)[:200]}")
        bucket, _, key = path.removeprefix("s3://").partition("/")
        is_plain = _IS_PLAIN_FILE.get(row.get("type") or "", "file_uid" in row)
        if uid and key and path.startswith("s3://"):
            files[uid] = S3File(uid, key.rpartition("/")[2] if is_plain else f"{uid}.mp4", bucket, key)
    return files


class Bucket:
    """S3 with the credentials of one AWS profile. Its errors are RefusedErrors of one sentence."""

    def __init__(self, profile: str):
        import boto3
        import botocore.config
        import botocore.exceptions

        self._profile = profile
        self._client_error = botocore.exceptions.ClientError
        self._other_errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError, OSError)
        retries = {"mode": "standard", "max_attempts": 3}
        limits = botocore.config.Config(
            connect_timeout=10, read_timeout=60, retries=retries, max_pool_connections=_THREADS
        )
        try:
            self._s3 = boto3.session.Session(profile_name=profile).client("s3", config=limits)
        except self._other_errors as error:
            raise self._refused(error) from error

    def manifest(self, version: str, dataset: str) -> dict[str, S3File]:
        """The files of a data set, by uid. Raises InputError if S3 does not have the version."""
        key = f"public/{version}/{dataset}/manifest.csv"
        try:
            return read_manifest(self._text(key), f"s3://{SHARED_BUCKET}/{key}")
        except RefusedError as error:
            if (
                error.code in MISSING_CODES | DENIED_CODES
                and version != DEFAULT_VERSION
                and self._has_default_version(dataset)
            ):
                raise InputError(
                    f"Ego4D has no version {version!r} with a data set {dataset!r}; the latest known version is "
                    f"{DEFAULT_VERSION}"
                ) from error
            raise

    def metadata_file(self, version: str) -> S3File:
        """The file ego4d.json of a version."""
        return S3File("ego4d.json", "ego4d.json", SHARED_BUCKET, f"public/{version}/ego4d.json")

    def size(self, file: S3File) -> int | None:
        """The size of a file in bytes; None if it does not exist or these credentials may not read it.

        For a missing file S3 answers 403 to users who may not list the bucket.
        """
        try:
            return self._s3.head_object(Bucket=file.bucket, Key=file.key)["ContentLength"]
        except self._client_error as error:
            if error.response["Error"]["Code"] in MISSING_CODES | DENIED_CODES:
                return None
            raise self._refused(error) from error
        except self._other_errors as error:
            raise self._refused(error) from error

    def sizes(self, files: Iterable[S3File]) -> dict[S3File, int | None]:
        """The sizes of many files in bytes, requested in parallel."""
        files = list(files)
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(files, pool.map(self.size, files), strict=True))

    def _text(self, key: str) -> str:
        try:
            return self._s3.get_object(Bucket=SHARED_BUCKET, Key=key)["Body"].read().decode("utf-8-sig")
        except (self._client_error, *self._other_errors) as error:
            raise self._refused(error) from error

    def _has_default_version(self, dataset: str) -> bool:
        return self.size(S3File("", "", SHARED_BUCKET, f"public/{DEFAULT_VERSION}/{dataset}/manifest.csv")) is not None

    def _refused(self, error: Exception) -> RefusedError:
        known = find_refusal(str(error), self._profile)
        code = error.response["Error"]["Code"] if isinstance(error, self._client_error) else ""
        if known is None or code in MISSING_CODES:
            first_line = str(error).strip().split("\n")[0]
            return RefusedError(f"S3 refused the request: {first_line}", code)
        return known


class SizePrefetcher:
    """uid -> bytes, requested from S3 in batches along the order in which a selection will need them.

    files: of each uid; a uid is available only if all of its files are. known: sizes so far. unavailable: uids found
    to be unavailable.
    """

    def __init__(self, bucket: Bucket, files: dict[str, list[S3File]], order: list[str]):
        self._bucket, self._files, self._order = bucket, files, order
        self._position = {uid: i for i, uid in enumerate(order)}
        self.known: dict[S3File, int | None] = {}
        self.unavailable: set[str] = set()

    def __call__(self, uid: str) -> int | None:
        """The size of all files of a uid in bytes; None if any is unavailable."""
        if any(file not in self.known for file in self._files[uid]):
            position = self._position[uid]
            batch = [file for other in self._order[position : position + _PREFETCH] for file in self._files[other]]
            self.known |= self._bucket.sizes(file for file in batch if file not in self.known)
        sizes = [size for file in self._files[uid] if (size := self.known[file]) is not None]
        if len(sizes) < len(self._files[uid]):
            self.unavailable.add(uid)
            return None
        return sum(sizes)
