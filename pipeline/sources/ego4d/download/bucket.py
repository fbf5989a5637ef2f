"""Ego4D's bucket on S3: manifests, and sizes of files before anything is fetched. Only importer of boto3.

Reads with the same profile as Ego4D's client, which never looks at keys in environment variables; fetches no video.
"""

import csv
import importlib.util
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.sources.ego4d.download.s3_errors import RefusedError, refusal

SHARED = "ego4d-consortium-sharing"
USUAL_VERSION = "v2_1"
ABSENT = {"404", "NoSuchKey", "NotFound"}
DENIED = {"403", "AccessDenied"}
_PATH_COLUMNS = ("canonical_s3_location", "s3_path")
_THREADS = 16
_AHEAD = 32  # sizes asked for at once, in the order in which they will be wanted


@dataclass(frozen=True, slots=True)
class S3File:
    """A row of a manifest. name: of the file that the client makes of it."""

    uid: str
    name: str
    bucket: str
    key: str


def is_to_be_had() -> bool:
    """Whether boto3, which comes with Ego4D's client, is installed here."""
    return importlib.util.find_spec("boto3") is not None


def read_manifest(text: str, where: str) -> dict[str, S3File]:
    """uid -> file, by the client's rules: file_uid before video_uid, <uid>.mp4 unless the row is of a plain file."""
    files = {}
    for row in csv.DictReader(io.StringIO(text)):
        uid = row.get("file_uid", row.get("video_uid"))
        path = next((row[column] for column in _PATH_COLUMNS if column in row), None)
        if uid is None or path is None:
            raise PipelineError(f"{where} is not a manifest of Ego4D: its columns are {', '.join(row)[:200]}")
        bucket, _, key = path.removeprefix("s3://").partition("/")
        is_plain = {"mp4": False, "video": False, "file": True, "json": True}.get(row.get("type"), "file_uid" in row)
        if uid and key and path.startswith("s3://"):
            files[uid] = S3File(uid, key.rpartition("/")[2] if is_plain else f"{uid}.mp4", bucket, key)
    return files


class Bucket:
    """What S3 says with the credentials of one profile. Refusals are errors in one sentence."""

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
        """The files of a data set, by uid. InputError where S3 does not know the version."""
        key = f"public/{version}/{dataset}/manifest.csv"
        try:
            return read_manifest(self._text(key), f"s3://{SHARED}/{key}")
        except RefusedError as error:
            if error.code in ABSENT | DENIED and version != USUAL_VERSION and self._has_usual(dataset):
                raise InputError(
                    f"Ego4D has no version {version!r} with a data set {dataset!r}: there is {USUAL_VERSION}, which is "
                    "the latest that is known here"
                ) from error
            raise

    def metadata_file(self, version: str) -> S3File:
        """ego4d.json."""
        return S3File("ego4d.json", "ego4d.json", SHARED, f"public/{version}/ego4d.json")

    def size(self, file: S3File) -> int | None:
        """Bytes of a file; None where S3 has no such file or does not give it to these credentials.

        S3 says 403 of an absent file to those who may not list the bucket.
        """
        try:
            return self._s3.head_object(Bucket=file.bucket, Key=file.key)["ContentLength"]
        except self._client_error as error:
            if error.response["Error"]["Code"] in ABSENT | DENIED:
                return None
            raise self._refused(error) from error
        except self._other_errors as error:
            raise self._refused(error) from error

    def sizes(self, files: Iterable[S3File]) -> dict[S3File, int | None]:
        """Bytes of many files, asked for side by side."""
        files = list(files)
        with ThreadPoolExecutor(_THREADS) as pool:
            return dict(zip(files, pool.map(self.size, files), strict=True))

    def _text(self, key: str) -> str:
        try:
            return self._s3.get_object(Bucket=SHARED, Key=key)["Body"].read().decode("utf-8-sig")
        except (self._client_error, *self._other_errors) as error:
            raise self._refused(error) from error

    def _has_usual(self, dataset: str) -> bool:
        return self.size(S3File("", "", SHARED, f"public/{USUAL_VERSION}/{dataset}/manifest.csv")) is not None

    def _refused(self, error: Exception) -> RefusedError:
        known = refusal(str(error), self._profile)
        code = error.response["Error"]["Code"] if isinstance(error, self._client_error) else ""
        if known is None or code in ABSENT:
            first_line = str(error).strip().split("\n")[0]
            return RefusedError(f"S3 does not give what was asked for: {first_line}", code)
        return known


class SizesAhead:
    """uid -> bytes, asked of S3 in bunches along the order in which a choice will want them.

    parts: the files of each uid; it is to be had where all of them are.
    """

    def __init__(self, bucket: Bucket, parts: dict[str, list[S3File]], order: list[str]):
        self._bucket, self._parts, self._order = bucket, parts, order
        self._place = {uid: i for i, uid in enumerate(order)}
        self.known: dict[S3File, int | None] = {}
        self.absent: set[str] = set()

    def __call__(self, uid: str) -> int | None:
        if any(file not in self.known for file in self._parts[uid]):
            place = self._place[uid]
            bunch = [file for other in self._order[place : place + _AHEAD] for file in self._parts[other]]
            self.known |= self._bucket.sizes(file for file in bunch if file not in self.known)
        sizes = [self.known[file] for file in self._parts[uid]]
        if None in sizes:
            self.absent.add(uid)
            return None
        return sum(sizes)
