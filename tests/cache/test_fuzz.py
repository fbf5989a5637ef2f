"""Every kind of document, changed at random before it is sealed: no foreign error, no more than the bound, never sound
where a value is of a wrong type or no number.

A short run, always the same, is among the ordinary tests; `make test-slow` runs long ones.
"""

import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedonce import cli
from embedonce.cache import documents
from embedonce.cache.backends import tar as wds
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.shard_format import ShardShape
from embedonce.cache.backends.tar_index import places_from
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.checkpoints.tensor_files import FORMAT
from embedonce.pipeline.errors import CheckpointError, InputError, PipelineError, ResultsError
from embedonce.pipeline.evaluation.predictions import read_predictions
from embedonce.pipeline.metrics.results_file import read_results
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME, EvaluationResults
from tests.cache.test_hostile import FREE, is_wrong
from tests.evaluation.test_compare import evaluation
from tests.support import small_students
from tests.support.hostile_cache import LABEL_SET, bounded, plant_shard, refusals, spoilable, write_sealed
from tests.support.mutations import ABSURD, mutated
from tests.support.stored import stored

DOCUMENTS = (
    *("cache.json", "plan/000000.json", "records/000000.json", "quarantine/*", "attempts/*"),
    *(f"{LABEL_SET}/{name}" for name in ("label_set.json", "clips/000000.json", "records/000000.json")),
)
SHORT, LONG = 8, 150


def profile(max_examples: int):
    """The same examples in every run; none is kept on disk, and none has a time of its own to keep to."""
    quiet = list(HealthCheck)
    return settings(
        max_examples=max_examples, derandomize=True, database=None, deadline=None, suppress_health_check=quiet
    )


def lengths(test):
    """The test with few examples, and with many where it is asked for slow ones."""
    marks = [SHORT, pytest.param(LONG, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("max_examples", marks, ids=("short", "long"))(test)


def one_sentence(said: str) -> None:
    assert said and len(said) < 4000 and "Traceback" not in said, said[:4000]


@pytest.fixture
def root(tmp_path):
    with spoilable(tmp_path, "webdataset") as root:
        yield root


@lengths
@pytest.mark.parametrize("pattern", DOCUMENTS)
@pytest.mark.integration
def test_documents_of_a_cache(root, pattern, max_examples):
    (path,) = root.glob(pattern)
    good = path.read_bytes()
    sound = documents.read(stored(path))

    @profile(max_examples)
    @given(mutated(sound))
    def fuzz(change):
        document, old, new, place = change
        write_sealed(path, document)
        with bounded(seconds=20):
            said = refusals(root)
        for words in said.values():
            one_sentence(words)
        if old is not None and _is_absurd(place, old, new):
            assert said, f"{place}: {old!r} -> {new!r} was accepted"

    fuzz()
    path.write_bytes(good)


def _is_absurd(place: tuple, old, new) -> bool:
    """Whether nothing may be sound that has this in the place of that."""
    if FREE & set(place):
        return isinstance(new, float) and not math.isfinite(new)
    if type(old) is int and type(new) is bool and isinstance(place[-1], int):
        return False  # NumPy takes True in an array for 1
    return is_wrong(place, old, new)


@lengths
@pytest.mark.integration
def test_changed_json_members_of_a_tar_are_refused(root, max_examples):
    with_reader = open_reader(root)
    batch = with_reader.batch("000000")
    encoded = BACKENDS["webdataset"].encode_frames(batch)
    shape = ShardShape(len(batch.keys), *batch.embeddings.shape[1:], len(encoded.data))
    places = places_from(encoded.index, shape, "the tar")
    offset, size = places["json"][0]
    sound = json.loads(encoded.data[offset : offset + size])

    @profile(max_examples)
    @given(mutated(sound))
    def fuzz(change):
        document, old, new, place = change
        body = json.dumps(document).encode()
        tar = wds._TarBytes()
        for row, key in enumerate(batch.keys):
            for kind in ("emb", "jpg", "json"):
                at, length = places[kind][row]
                tar.add(kind, key, body if kind == "json" and not row else encoded.data[at : at + length])
        made = tar.finish()
        plant_shard(root, "frames", made.data, index=made.index)
        with bounded(seconds=20):
            said = refusals(root)
        for words in said.values():
            one_sentence(words)
        if document != sound:
            assert said, f"{place}: {old!r} -> {new!r} was accepted"

    fuzz()


@lengths
@pytest.mark.parametrize("column", ["frames", "logits"])
@pytest.mark.integration
def test_numbers_of_a_shard(tmp_path, backend, column, max_examples):
    with spoilable(tmp_path, backend) as root:
        reader = open_reader(root)
        batch, logits = reader.batch("000000"), reader.all_logits("zero-shot", "000000")
        reader.close()

        @profile(max_examples)
        @given(st.integers(0, len(logits) - 1), st.floats(width=16), st.integers(1, 16))
        def fuzz(row, value, count):
            numbers = (logits if column == "logits" else batch.embeddings).copy()
            numbers[row, 0, :count] = value
            encode = BACKENDS[backend].encode_logits
            if column == "frames":
                object.__setattr__(batch, "embeddings", numbers)
                encoded = BACKENDS[backend].encode_frames(batch)
            else:
                encoded = encode(batch.keys, numbers)
            plant_shard(root, column, encoded.data, index=encoded.index)
            with bounded(seconds=20):
                found = verify(root).problems
            if not math.isfinite(value):
                assert found

        fuzz()


# -- checkpoints -------------------------------------------------------------------------------------------------------


@lengths
def test_checkpoints(tmp_path, max_examples, monkeypatch):
    small_students.use(monkeypatch)
    config = student_config("tiny", embed_dim=16, num_classes=3, resolution=128)
    model = small_students.build_small(config, False).state_dict()
    sound = {
        **{"format": FORMAT, "student": dataclasses.asdict(config), "classes": ["a", "b", "c"]},
        **{"label_set": "tiny", "teacher": {"name": "x", "weights_sha256": "0", "embed_dim": 16}},
        **{"frames_per_clip": 2, "trained_on": ["0" * 64], "epoch": 1, "selection": {"epoch": 1, "total": 0.5}},
    }
    path = tmp_path / "best_student.pt"
    torch.save(sound | {"model": model}, path)
    assert checkpoint.load_student(path)[1].classes == sound["classes"]  # and what it needs is imported

    @profile(max_examples)
    @given(mutated(sound))
    def fuzz(change):
        document, old, new, place = change
        torch.save(document | {"model": model}, path)
        try:
            with bounded(seconds=20):
                checkpoint.load_student(path)
            is_refused = False
        except CheckpointError as error:
            one_sentence(str(error))
            is_refused = True
        if old is not None and place[0] != "selection" and is_wrong(place, old, new):
            assert is_refused, f"{place}: {old!r} -> {new!r}"

    fuzz()


@lengths
def test_bytes_of_checkpoints(tmp_path, max_examples):
    buffer = io.BytesIO()
    torch.save({"format": 2, "classes": ["a"], "model": {"x": torch.zeros(3), "y": torch.ones(2, 2)}}, buffer)
    data, path = buffer.getvalue(), tmp_path / "best_student.pt"

    @profile(max_examples)
    @given(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=4))
    def fuzz(changes):
        spoilt = bytearray(data)
        for at, value in changes:
            spoilt[at] = value
        path.write_bytes(spoilt)
        with bounded(seconds=20), pytest.raises(CheckpointError) as refusal:
            checkpoint.load(path)
        one_sentence(str(refusal.value))

    fuzz()


# -- evaluations, configurations ---------------------------------------------------------------------------------------


@lengths
def test_evaluations(tmp_path, max_examples):
    sound = evaluation(tmp_path / "a")
    path = tmp_path / "a" / RESULTS_NAME

    @profile(max_examples)
    @given(mutated(sound))
    def fuzz(change):
        document, old, new, place = change
        path.write_text(json.dumps(document))
        try:
            with bounded(seconds=20):
                results = read_results(path)
                read_predictions(path.with_name(PREDICTIONS_NAME), results)
            is_refused = False
        except ResultsError as error:
            one_sentence(str(error))
            is_refused = True
        if old is not None and place[0] != "environment" and type(old) in (str, int, dict, list) and new is not None:
            is_right = type(new) is type(old)
            assert is_refused or is_right or type(new) in (int, float), f"{place}: {old!r} -> {new!r}"

    fuzz()


@lengths
def test_predictions(tmp_path, max_examples):
    results = EvaluationResults.from_dict(evaluation(tmp_path / "a"))
    path = tmp_path / "a" / PREDICTIONS_NAME
    with np.load(path) as file:
        sound = dict(file)
    data = path.read_bytes()
    kinds = ("f2", "f8", "i4", "u8", "U3", "S5", "c8", "M8[s]", "?", "V8")

    @profile(max_examples)
    @given(st.sampled_from(sorted(sound)), st.sampled_from(kinds), st.integers(0, len(data) - 1), st.binary(max_size=4))
    def fuzz(name, kind, at, junk):
        changed = sound | {name: np.zeros(sound[name].shape, kind)}
        np.savez_compressed(path, **changed)
        cut = path.read_bytes()
        for spoilt in (cut, data[:at] + junk + data[at + len(junk) :]):
            path.write_bytes(spoilt)
            try:
                with bounded(seconds=20):
                    read_predictions(path, results)
            except ResultsError as error:
                one_sentence(str(error))

    fuzz()


OPTIONS = {
    **{"label_set": "x", "student_size": "tiny", "student_resolution": 128, "student_pretrained": False, "lr": 0.1},
    **{"epochs": 3, "views": None, "amp": True, "device": "cpu", "seed": 7, "frames_per_clip": 4, "jitter": 0.5},
}


@lengths
def test_configurations(tmp_path, max_examples):
    path = Path(tmp_path) / "c.yaml"
    command = ["train-student", "--config", path, "--cache-dir", tmp_path / "nowhere", "--output-dir", tmp_path / "out"]

    @profile(max_examples)
    @given(mutated(OPTIONS), st.binary(max_size=6), st.integers(0, 10**6))
    def fuzz(change, junk, at):
        text = yaml.safe_dump(change[0], allow_unicode=True).encode("utf-8", "surrogatepass")
        at %= len(text)
        for data in (text, text[:at] + junk + text[at:]):
            path.write_bytes(data)
            with bounded(seconds=20):
                result = CliRunner().invoke(cli.main, list(map(str, command)))
            assert isinstance(result.exception, SystemExit) and result.exit_code in (2, 4), (data, result.exception)
            one_sentence(result.output.partition("Error: ")[2])

    fuzz()


@pytest.mark.integration
def test_the_strategies_generate_the_intended_values():
    """A fuzz that changes nothing would find nothing."""
    seen = []

    @profile(500)
    @given(mutated({"a": [1, {"b": "x"}], "c": 2.5}), ABSURD)
    def look(change, _):
        seen.append(change)

    look()
    assert len({str(place) for *_, place in seen}) > 4 and any(new != new for *_, new, _ in seen)
    assert issubclass(InputError, PipelineError)
