"""Fills a local S3 with small copies of Ego4D's buckets: manifests, ego4d.json, annotations, and short videos.

The bucket of one university has versioning enabled, the other one does not.
"""

import csv
import io
import json
import uuid
from pathlib import Path

import boto3

from tests.support.videos import write_video

SHARED, CMU, MINNESOTA = "ego4d-consortium-sharing", "ego4d-cmu", "ego4d-minnesota"
VERSION = "v2_1"
BASE = f"public/{VERSION}"
UIDS = tuple(str(uuid.UUID(int=(7919 * n + 1) << 64 | n)) for n in range(1, 9))
CLIP_UIDS = {
    uid: tuple(str(uuid.UUID(int=(n + 1) << 100 | 10 * i + n)) for n in range(2)) for i, uid in enumerate(UIDS)
}
ALL_TASKS, NO_FILE = UIDS[:3], UIDS[7]
SCENARIOS = ("Cooking", "Walking on street", "Carpenter")


def metadata() -> dict:
    """ego4d.json: three videos with all tasks, three with two, one with one, and one without a file on S3."""
    videos, clips = [], []
    for i, uid in enumerate(UIDS):
        videos.append(
            {
                "video_uid": uid,
                "duration_sec": 2.0 + i % 2,
                "scenarios": [SCENARIOS[i % 3]],
                "split_em": "train" if i in (0, 1, 3, 4) else None,
                "split_fho": {0: "train", 1: "val", 2: "multi", 3: "test", 7: "train"}.get(i),
            }
        )
        clips += [
            {"clip_uid": clip, "video_uid": uid, "video_start_sec": float(n), "video_end_sec": n + 1.0}
            for n, clip in enumerate(CLIP_UIDS[uid])
        ]
    return {"version": VERSION, "videos": videos, "clips": clips}


def annotations() -> dict[str, dict]:
    """Annotation files that list the videos of each task."""
    return {
        "fho_lta_train.json": {"clips": [{"video_uid": UIDS[i]} for i in (0, 2, 5)]},
        "fho_lta_val.json": {"clips": [{"video_uid": UIDS[1]}]},
        "moments_train.json": {"videos": [{"video_uid": UIDS[i]} for i in (0, 2, 3)]},
        "moments_val.json": {"videos": [{"video_uid": UIDS[1]}]},
        "narration.json": {
            uid: {"narration_pass_1": {"narrations": [{"timestamp_sec": 1.0, "narration_text": "#C C walks"}]}}
            for uid in UIDS[:7]
        },
    }


def fill(endpoint: str, folder: Path) -> None:
    """Create the buckets and upload everything. folder: for temporary videos."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=endpoint, **keys)
    for bucket in (SHARED, CMU, MINNESOTA):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=CMU, VersioningConfiguration={"Status": "Enabled"})

    def put(key: str, data: bytes, bucket: str = SHARED) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=data)

    put(f"{BASE}/ego4d.json", json.dumps(metadata()).encode())
    rows = []
    for name, content in annotations().items():
        put(f"{BASE}/annotations/{name}", json.dumps(content).encode())
        row = {"file_uid": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "annotation": name, "type": "file"}
        rows.append(row | {"canonical_s3_location": f"s3://{SHARED}/{BASE}/annotations/{name}"})
    put(f"{BASE}/annotations/manifest.csv", as_csv(rows))
    for kind, column in (("full_scale", "canonical_s3_location"), ("video_540ss", "s3_path"), ("clips", "s3_path")):
        rows = []
        for i, uid in enumerate(UIDS):
            bucket = (CMU, MINNESOTA)[i % 2]
            for part in CLIP_UIDS[uid] if kind == "clips" else (uid,):
                key = f"public/{kind}/canonical/{part}.mp4"
                rows.append({"video_uid": part, column: f"s3://{bucket}/{key}", "benchmarks": "[EM|FHO]"})
                if uid != NO_FILE:
                    put(key, video(folder, 5 + i), bucket)
        put(f"{BASE}/{kind}/manifest.csv", as_csv(rows))


def video(folder: Path, num_frames: int) -> bytes:
    path = folder / f"{num_frames}.mp4"
    return (path if path.exists() else write_video(path, num_frames)).read_bytes()


def as_csv(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
