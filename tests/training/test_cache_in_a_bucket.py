"""A student trained from a bucket is the one that is trained from a folder, and shards are downloaded once."""

from dataclasses import replace

import pytest
import torch

from embedonce.cache.convert import convert
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_version import ObjectVersion
from embedonce.pipeline.checkpoints.checkpoint import load_student
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import small_students
from tests.support.counted_calls import CountedCalls
from tests.support.s3_server import new_bucket, s3_server
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration

BASE = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 2, "device": "cpu", "batch_size": 2}
BASE |= {"epochs": 2, "student_pretrained": False, "num_workers": 2}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 8)


@pytest.fixture(scope="module")
def bucket(folder):
    with s3_server() as endpoint:
        url = f"s3://{new_bucket(endpoint)}/cache"
        convert(folder, url, "hdf5")
        yield url


def read_counted(monkeypatch, folder) -> CountedCalls:
    """How often each file is read from the store, in all processes."""
    calls = CountedCalls(folder)
    counted = calls.counting(ObjectVersion._run, lambda version, *_: version._name)
    monkeypatch.setattr(ObjectVersion, "_run", counted)
    return calls


def test_it_equals_one_trained_from_a_folder_and_shards_are_downloaded_once(folder, bucket, tmp_path, monkeypatch):
    training.train(TrainConfig(folder, tmp_path / "from_folder", **BASE))
    read = read_counted(monkeypatch, tmp_path / "read")
    where = {"local_cache_dir": tmp_path / "copies", **BASE}
    training.train(TrainConfig(bucket, tmp_path / "from_bucket", **where))
    counts = read.taken()
    assert set(counts.values()) == {1} and {name.partition("/")[0] for name in counts} == {"frames", "labels"}
    students = [tmp_path / name / "best_student.pt" for name in ("from_folder", "from_bucket")]
    weights = [load_student(path)[0].state_dict() for path in students]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())

    training.train(TrainConfig(bucket, tmp_path / "again", **where))
    assert not read.taken()  # all from the copies
    figures = [
        evaluate(EvaluateConfig(cache, students[1], tmp_path / f"evaluation-{i}", device="cpu", **settings))
        for i, (cache, settings) in enumerate([(folder, {}), (bucket, {"local_cache_dir": tmp_path / "copies"})])
    ]
    untimed = [replace(results.student, latency_ms=None, throughput_per_s=None) for results in figures]
    assert untimed[0] == untimed[1]


def test_without_local_copies_ranges_are_read_from_the_bucket(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalCopies, "create", lambda *_: pytest.fail("no copies are to be kept"))
    read = read_counted(monkeypatch, tmp_path / "read")
    training.train(TrainConfig(bucket, tmp_path / "out", local_cache_gb=0, **BASE))
    assert max(read.taken().values()) > 1
