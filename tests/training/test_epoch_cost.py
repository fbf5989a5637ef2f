"""What an epoch costs besides its samples: every shard is hashed once per run, and every document is parsed once."""

import os

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import documents, ledger
from embedonce.cache.errors import DamagedError
from embedonce.cache.store import open_reader
from embedonce.cache.stores.local import LocalStore
from embedonce.pipeline.evaluation.evaluate import evaluate
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import small_students
from tests.support.counted_calls import CountedCalls
from tests.support.small_student import train_stopped
from tests.support.tiny_cache import make_tiny_cache

pytestmark = pytest.mark.integration

BASE = {"student_size": "tiny", "student_resolution": 128, "frames_per_clip": 2, "device": "cpu", "batch_size": 2}
BASE |= {"epochs": 3, "student_pretrained": False, "num_workers": 2}
NUM_VIDEOS = 8  # and shards, of frames and of logits


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", NUM_VIDEOS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small_students.use(monkeypatch)


@pytest.fixture
def digests(tmp_path, monkeypatch) -> CountedCalls:
    """How often each shard is hashed, in all processes."""
    calls = CountedCalls(tmp_path / "digests")
    monkeypatch.setattr(LocalStore, "digest", calls.counting(LocalStore.digest, lambda store, name: name))
    return calls


def settings(cache_dir, output_dir, **changes) -> TrainConfig:
    return TrainConfig(cache_dir, output_dir, **(BASE | changes))


def shards_used(cache_dir, config: TrainConfig) -> set[str]:
    """The shards of all clips that a run trains on or selects by."""
    reader = open_reader(cache_dir)
    units = {unit for data in datasets(config, reader, reader.label_set()) for unit in data.shard_of_clip}
    return {f"{folder}/{unit}.h5" for folder in ("frames", "labels/tiny/logits") for unit in units}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more processes than cores
@pytest.mark.parametrize("num_workers", [0, 2, 4])
def test_each_shard_is_hashed_once_whatever_the_number_of_workers_and_epochs(tiny, tmp_path, digests, num_workers):
    config = settings(tiny, tmp_path / "out", num_workers=num_workers)
    training.train(config)
    assert digests.taken() == dict.fromkeys(shards_used(tiny, config), 1)


def test_documents_are_parsed_once_and_never_in_a_loader_process(tiny, tmp_path, monkeypatch):
    parsed = CountedCalls(tmp_path / "parsed")
    monkeypatch.setattr(documents, "read", parsed.counting(documents.read, lambda path, **_: str(path)))
    training.train(settings(tiny, tmp_path / "out"))
    assert parsed.processes() == {os.getpid()}
    counts = {path.removeprefix(f"{tiny}/"): count for path, count in parsed.taken().items()}
    assert counts["labels/tiny/label_set.json"] == counts["labels/tiny/clips/000000.json"] == 1
    for folder in ("records", "labels/tiny/records"):
        assert {count for path, count in counts.items() if path.startswith(f"{folder}/")} == {1}
        assert sum(path.startswith(f"{folder}/") for path in counts) == NUM_VIDEOS


def test_the_command_parses_each_document_of_frames_once(tiny, tmp_path, monkeypatch):
    parsed = CountedCalls(tmp_path / "parsed")
    monkeypatch.setattr(documents, "read", parsed.counting(documents.read, lambda path, **_: path.relative))
    options = BASE | {
        "cache_dir": tiny,
        "output_dir": tmp_path / "out",
        "epochs": 1,
        "num_workers": 0,
        "num_actions": 3,
    }
    del options["student_pretrained"]
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    result = CliRunner().invoke(cli.main, ["train-student", "--no-student-pretrained", *arguments])
    assert result.exit_code == 0 and "evaluate" in result.output, result.output
    counts = {path: count for path, count in parsed.taken().items() if path.startswith("records/")}
    assert set(counts.values()) == {1} and len(counts) == NUM_VIDEOS


def test_loader_processes_persist_over_epochs_and_validations_and_end_with_the_run(tiny, tmp_path, monkeypatch):
    loaded = CountedCalls(tmp_path / "loaded")
    monkeypatch.setattr(LocalStore, "open", loaded.counting(LocalStore.open, lambda store, name: name))
    training.train(settings(tiny, tmp_path / "out", epochs=4))
    workers = loaded.processes() - {os.getpid()}
    assert len(workers) == 3  # one that measured how long loading takes, and two for all epochs
    for process in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_resumed_run_hashes_nothing_but_files_that_changed(tiny, tmp_path, digests):
    cache = make_tiny_cache(tmp_path / "cache", NUM_VIDEOS)
    assert train_stopped(training, settings(cache, tmp_path / "out"), 1)  # resumed by another reader
    assert set(digests.taken().values()) == {1}
    training.train(settings(cache, tmp_path / "out", epochs=3, overwrite=True))  # a new run in the same folder
    assert not digests.taken()
    os.utime(cache / "frames" / "000001.h5", (1, 1))
    training.train(settings(cache, tmp_path / "out", overwrite=True))
    assert digests.taken() == {"frames/000001.h5": 1}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_shard_that_was_replaced_is_not_trusted(tmp_path, digests, num_workers):
    cache = make_tiny_cache(tmp_path / "cache", NUM_VIDEOS)
    training.train(settings(cache, tmp_path / "out", epochs=1))
    path = cache / "frames" / "000001.h5"
    times, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as some programs copy files
    with pytest.raises(DamagedError, match=r"000001\.h5 is damaged"):
        training.train(settings(cache, tmp_path / "out", epochs=1, overwrite=True, num_workers=num_workers))


def test_a_ledger_of_another_machine_or_of_another_kind_is_not_used(tiny, tmp_path, digests, monkeypatch, caplog):
    config, path = settings(tiny, tmp_path / "out", epochs=1), tmp_path / "out" / ledger.LEDGER
    training.train(config)
    once = digests.taken()
    monkeypatch.setattr(ledger, "this_machine", lambda: "another")
    training.train(settings(tiny, tmp_path / "out", epochs=1, overwrite=True))
    assert digests.taken() == once and "cannot be used" not in caplog.text
    path.write_bytes(b"notes of somebody else\n")
    training.train(settings(tiny, tmp_path / "out", epochs=1, overwrite=True))
    assert path.read_bytes() == b"notes of somebody else\n"
    assert f"{path} cannot be used" in caplog.text and digests.taken().keys() == once.keys()


def test_an_evaluation_hashes_each_shard_once_and_leaves_no_ledger(tiny, tmp_path, digests):
    training.train(settings(tiny, tmp_path / "out", epochs=1))
    digests.taken()
    evaluate(EvaluateConfig(tiny, tmp_path / "out" / "best_student.pt", tmp_path / "eval", num_workers=2, device="cpu"))
    counts = digests.taken()
    assert set(counts.values()) == {1} and len(counts) == 2 * 3  # the three videos for validation
    assert not [path for path in (tmp_path / "eval").iterdir() if path.name.startswith(".") or path.suffix == ".jsonl"]
