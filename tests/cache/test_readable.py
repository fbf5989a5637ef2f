"""Nothing is published that its own reader refuses: documents are read back before they get their name."""

import contextlib
import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import documents
from embedonce.cache.labels import LabelSet
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.store import claim, open_reader, open_writer
from tests.conftest import make_batch, make_cache_identity, make_segment, planned_segment, planned_video


def names(root) -> set:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} if root.exists() else set()


@pytest.mark.parametrize(
    "change",
    [
        {"view_seed": 2**63},
        {"num_views": 10**9},
        {"fps": -1.0},
        {"sampling": "other"},
        {"sampling": "snap"},
        {"snap_tolerance": 0.1},
        {"sampling": "snap", "snap_tolerance": 0.1},
        {"sampling": "snap", "snap_tolerance": 0.26, "format_version": 2},
        {"canonical_short_side": 1.5},
        {"view_area": 0.2},
        {"view_area": 0.0, "format_version": 2},
        {"view_area": 1.1, "format_version": 2},
    ],
)
def test_an_identity_that_no_reader_takes_makes_no_cache(tmp_path, backend, change):
    identity = dataclasses.replace(make_cache_identity(backend), **change)
    with pytest.raises(ValueError, match="was not written"):
        claim(tmp_path / "c", identity)
    assert names(tmp_path / "c") == set()


@pytest.fixture
def writer(tmp_path, backend):
    with contextlib.closing(open_writer(tmp_path / "c", make_cache_identity(backend))) as writer:
        yield writer


@pytest.mark.parametrize(
    "change",
    [
        {"modified_ns": 2**63},
        {"num_bytes": 1.5},
        {"canonical_size": (17_000, 30_222)},
        {"time_base": (0, 1)},
        {"end_sec": float(2**64)},
    ],
)
def test_a_plan_that_no_reader_takes_is_not_written(writer, change):
    before = names(writer.cache_dir)
    video = dataclasses.replace(planned_video("a"), **change)
    with pytest.raises(ValueError, match="was not written"):
        writer.extend_plan([video], [planned_segment("a", 5)], 4)
    assert names(writer.cache_dir) == before and writer.plan == []


def test_a_document_longer_than_readers_take_is_not_written(writer, monkeypatch):
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 500)
    with pytest.raises(ValueError, match="at most 500 can be read back"):
        writer.extend_plan([planned_video("a")], [planned_segment("a", 500)], 4)
    assert writer.plan == []


@pytest.mark.parametrize(
    "change", [{"time_base": (0, 1)}, {"request_status": np.array([9, 0], np.uint8)}, {"pts": np.array([5, 5])}]
)
def test_neither_shard_nor_record_is_written_that_no_reader_takes(writer, change):
    before = names(writer.cache_dir)
    batch = make_batch(dataclasses.replace(make_segment("v", 2), **change))
    with pytest.raises(ValueError, match="was not written"):
        writer.commit_frames("000000", batch, {})
    assert names(writer.cache_dir) == before


def test_quarantine_attempts_and_label_sets_that_no_reader_takes_are_not_written(writer):
    before = names(writer.cache_dir)
    with pytest.raises(ValueError, match="was not written"):
        writer.quarantine("v", QuarantinedVideo("v.mp4", None, 1, 2))
    with pytest.raises(ValueError, match="was not written"):
        writer.count_attempt("v", 7)
    with pytest.raises(ValueError, match="was not written"):
        writer.create_label_set(LabelSet("main", "other", ("a",), (), None, {}), None)
    assert names(writer.cache_dir) == before
    assert open_reader(writer.cache_dir).label_sets() == ()


@pytest.mark.parametrize(
    "arguments",
    [
        ("extract-teacher", "--use-synthetic", "--seed", 2**63),
        ("extract-teacher", "--use-synthetic", "--canonical-short-side", 17_000),
        ("extract-teacher", "--use-synthetic", "--views", 21_900),
        ("train-student", "--seed", 2**63),
    ],
)
def test_settings_have_limits(tmp_path, arguments):
    arguments = [*map(str, arguments), "--cache-dir", str(tmp_path / "c")]
    ran = CliRunner().invoke(cli.main, arguments)
    assert ran.exit_code == 2 and "must be at most" in ran.output and names(tmp_path) == set()
