"""docs/cache-format.md names every field of every document, dataset and tensor that a real cache holds, and no other.

Fields are those of tables whose first column is code; a table belongs to the heading that it stands under.
"""

import dataclasses
import json
import re
from contextlib import closing

import h5py
import numpy as np
import pytest

from embedonce.cache import long_documents
from embedonce.cache.clip_texts import ClipTexts, texts_document
from embedonce.cache.heads import head_tensors
from embedonce.cache.plan import PlannedSegment, PlannedVideo
from embedonce.cache.schema import FORMAT_VERSION, FORMAT_VERSION_2, CacheIdentity, Segment, TeacherIdentity
from embedonce.cache.store import open_writer
from tests.conftest import make_cache_identity
from tests.support.crash_session import CLIPS, run_session
from tests.support.documentation import ROOT, section

DOCUMENT = ROOT / "docs" / "cache-format.md"
FIRST_CELL = re.compile(r"^\| (`[^|]*`) \|(?: \w[\w ]* \|)?", re.MULTILINE)


def described(heading: str) -> set[str]:
    """The fields in the tables of one section."""
    cells = FIRST_CELL.findall(section(DOCUMENT, heading))
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def names(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@pytest.fixture(scope="module", params=["hdf5", "webdataset"])
def cache(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param) / "cache"
    run_session(root, request.param)
    with closing(open_writer(root, make_cache_identity(request.param))) as writer:
        writer.count_attempt("y", "a decode process died")
        writer.write_manifest()
    return root


def fields(path) -> set[str]:
    return set(json.loads(path.read_bytes())) - {"format_version", "checksum"}


def test_the_title_has_the_versions_that_are_written():
    assert DOCUMENT.read_text().startswith(f"# The cache format, versions {FORMAT_VERSION} and {FORMAT_VERSION_2}\n")


def test_records_of_tars_have_version_2_and_everything_else_has_version_1(cache):
    versions = {path: json.loads(path.read_bytes())["format_version"] for path in cache.rglob("*.json")}
    newer = {path for path, version in versions.items() if version == FORMAT_VERSION_2}
    with_tars = {path for path in versions if "sizes" in json.loads(path.read_bytes()).get("index", {})}
    assert newer == with_tars and len(newer) in (0, 5) and set(versions.values()) <= {FORMAT_VERSION, FORMAT_VERSION_2}


def test_continued_documents_are_described(tmp_path, monkeypatch):
    monkeypatch.setattr(long_documents, "MAX_BYTES", 1)
    run_session(tmp_path / "cache", "hdf5")
    path = tmp_path / "cache" / "labels" / "main" / "label_set.json"
    (continuation, *_) = path.with_name("label_set.continued").iterdir()
    assert described("Continued documents") == {"continued_in"} | fields(continuation)
    assert "`X.continued/`" in section(DOCUMENT, "Continued documents") and "continued_in" in fields(path)


def test_the_identity_is_described(cache):
    expected = names(CacheIdentity) - {"format_version"} | names(TeacherIdentity)
    assert described("Identity: `cache.json`") == expected
    assert fields(cache / "cache.json") == names(CacheIdentity) - {"format_version", "snap_tolerance", "view_area"}


def test_commit_records_are_described(cache):
    record = fields(cache / "records" / "000000.json")
    planned = set(json.loads((cache / "records" / "000000.json").read_bytes())["planned"])
    assert described("Commit records: `records/NNNNNN.json`") == record | names(Segment) | planned
    assert fields(cache / "labels/main/records/000000.json") == record - {"planned"}


def test_the_plan_is_described(cache):
    expected = fields(cache / "plan" / "000000.json") | names(PlannedVideo) | names(PlannedSegment)
    assert described("Plan: `plan/NNNNNN.json`") == expected


def test_label_sets_clips_and_revisions_are_described(cache):
    folder = cache / "labels" / "main"
    expected = fields(folder / "label_set.json") | fields(folder / "clips/000000.json")
    expected |= fields(folder / "revisions/000001.json") | names(type(CLIPS[0])) | {"logit_bias", "multi_label"}
    expected |= set(texts_document(ClipTexts()))
    assert described("Label sets: `labels/NAME/`") == expected


def test_added_teachers_are_described(cache):
    assert described("Added teachers: `teachers/NAME/`") == fields(cache / "teachers/second/teacher.json")
    text, record = section(DOCUMENT, "Added teachers: `teachers/NAME/`"), cache / "teachers/second/records/000000.json"
    assert fields(record) == fields(cache / "records/000000.json") - {"planned"} | {"frames_sha256"}
    assert "`frames_sha256`" in text and "`crop_crc32`" in text and "`<key>.crc.npy`" in text


def test_quarantine_attempts_and_manifest_are_described(cache):
    (quarantined,), (attempts,) = (cache / "quarantine").iterdir(), (cache / "attempts").iterdir()
    expected = fields(quarantined) | fields(attempts) | fields(cache / "manifest.json")
    assert described("Quarantine, attempts, manifest") == expected


def test_members_and_datasets_of_shards_are_described(cache):
    record = json.loads((cache / "records" / "000000.json").read_bytes())
    text = section(DOCUMENT, "Frame shards")
    if record["index"]:
        assert all(f'"{field}": {{"' in text for field in record["index"])
        assert all(f'"{kind}": …' in text for field in record["index"].values() for kind in field)
        return
    with h5py.File(cache / "frames" / "000000.h5") as file:
        datasets, attributes = set(file), set(file.attrs)
    members = {name for name in described("Frame shards") if name.startswith("<key>")}
    assert described("Frame shards") - members == datasets
    assert all(f"`{name}`" in text for name in attributes)


def test_tensors_are_described():
    text = section(DOCUMENT, "Label sets: `labels/NAME/`")
    head = head_tensors([np.zeros(1)] * 4)
    assert all(f"`{name}`" in text for name in ("class_text", "logit_scale", *head))
