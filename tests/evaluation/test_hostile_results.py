"""Hostile evaluations: invalid, oversized or malicious evaluation_results.json and predictions.npz."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.errors import ResultsError
from embedonce.pipeline.evaluation.predictions import read_predictions
from embedonce.pipeline.metrics.results_file import read_results
from embedonce.pipeline.metrics.results_schema import PREDICTIONS_NAME, RESULTS_NAME, EvaluationResults
from tests.commands.test_cli import call
from tests.evaluation.test_compare import evaluation
from tests.support import limited
from tests.support.hostile_cache import bounded


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> tuple[dict, bytes]:
    """The results and predictions of an evaluation."""
    folder = tmp_path_factory.mktemp("evaluation") / "sound"
    results = evaluation(folder)
    return results, (folder / PREDICTIONS_NAME).read_bytes()


def refused_results(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / RESULTS_NAME
    path.write_bytes(data)
    with bounded(seconds=20), pytest.raises(ResultsError) as refusal:
        read_results(path)
    message = str(refusal.value)
    assert "\n" not in message and len(message) < 1000
    return message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[("num_clips", value) for value in (-1, 10**4000, 2**63, 1.5, True)],
        *[("num_classes", value) for value in (-1, 10**6)],
        *[("chance", value) for value in (-0.5, 7, 1e400, 10**400)],
        *[("note", value) for value in ("\ud800", "x" * 10**6, 7)],
        *[("split", value) for value in ("\udfff", "x" * 2000)],
        *[("classes", value) for value in (["\ud800"], ["x" * 2000], [1])],
        *[("num_videos", [[[]]]), ("environment", [])],
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_invalid_values_are_reported_in_one_sentence(tmp_path, sound, place, value):
    refused_results(tmp_path, json.dumps(sound[0] | {place: value}).encode())


BULKY = {
    "lists": b"[]," * (1 << 22),
    "objects": b"{}," * (1 << 22),
    "nested": b"[[[[0]]]]," * (1 << 20),
}


@pytest.mark.parametrize("name", BULKY)
@pytest.mark.integration
def test_json_that_would_exhaust_memory_is_refused(tmp_path, name):
    assert "more parts" in refused_results(tmp_path, b"[" + BULKY[name] + b"0]")


BODIES = [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe[\x00", b"\xed\xa0\x80", b"", b"9" * 5000]


@pytest.mark.parametrize("body", BODIES)
def test_malformed_json_is_refused(tmp_path, body):
    refused_results(tmp_path, body)


def test_devices_pipes_and_huge_files_are_refused_at_once(tmp_path, sound):
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_bytes(b"[")
    os.truncate(tmp_path / "huge", 1 << 34)
    for name in ("zero", "pipe", "huge"):
        with bounded(), pytest.raises(ResultsError, match=name):
            read_results(tmp_path / name)
        (tmp_path / PREDICTIONS_NAME).unlink(missing_ok=True)
        (tmp_path / name).rename(tmp_path / PREDICTIONS_NAME)
        with bounded(), pytest.raises(ResultsError, match=PREDICTIONS_NAME):
            read_predictions(tmp_path / PREDICTIONS_NAME, EvaluationResults.from_dict(sound[0]))


# -- predictions -------------------------------------------------------------------------------------------------------


def npz(arrays: dict[str, np.ndarray | bytes], compressed: bool = True) -> bytes:
    """An archive of arrays; bytes stand for the raw content of an entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as file:
        for name, values in arrays.items():
            data = values
            if isinstance(values, np.ndarray):
                member = io.BytesIO()
                np.lib.format.write_array(member, values, version=(1, 0), allow_pickle=True)
                data = member.getvalue()
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def header(shape: tuple, dtype: str) -> bytes:
    """The header of a .npy file of this shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


INVALID = {
    "text logits": lambda a: a | {"logits": a["logits"].astype(str)},
    "pickled logits": lambda a: a | {"logits": a["logits"].astype(object)},
    "whole logits": lambda a: a | {"logits": a["logits"].astype(int)},
    "structured times": lambda a: a | {"start_sec": np.zeros(60, [("a", "f8"), ("b", "f8")])},
    "dates": lambda a: a | {"start_sec": np.zeros(60, "M8[s]")},
    "complex": lambda a: a | {"logits": a["logits"].astype(complex)},
    "not finite": lambda a: a | {"logits": a["logits"] * np.nan},
    "endless times": lambda a: a | {"end_sec": a["end_sec"] + np.inf},
    "labels beyond the classes": lambda a: a | {"labels": a["labels"] + 100},
    "labels below": lambda a: a | {"labels": a["labels"] - 100},
    "unsigned labels": lambda a: a | {"labels": a["labels"].astype(np.uint64)},
    "long names": lambda a: a | {"video_uid": np.array(["x" * 2000] * 60)},
    "numbered videos": lambda a: a | {"video_uid": np.arange(60)},
    "a huge shape": lambda a: a | {"logits": header((2**40, 6), "<f4")},
    "a wrong shape": lambda a: a | {"logits": header((60, 7), "<f4") + bytes(60 * 7 * 4)},
    "a short array": lambda a: a | {"logits": header((60, 6), "<f4") + bytes(4)},
    "a negative shape": lambda a: a | {"logits": header((-60, 6), "<f4")},
    "code in a header": lambda a: a | {"logits": b"\x93NUMPY\x01\x00\x20\x00{'descr': __import__('os')}\n    "},
    "a long header": lambda a: a | {"logits": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535},
    "a later version": lambda a: a | {"logits": b"\x93NUMPY\x03\x00\xff\xff\xff\xff" + b"(" * 100},
    "nothing": lambda a: a | {"logits": b""},
    "no logits": lambda a: {name: values for name, values in a.items() if name != "logits"},
    "a bomb": lambda a: a | {"video_uid": header((60,), "<U500000") + bytes(60 * 2_000_000)},
    "a bomb of logits": lambda a: a | {"logits": header((60, 6), "<f4") + bytes(1 << 27)},
}


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.integration
def test_invalid_predictions_are_refused_before_decompression(tmp_path, sound, name):
    results, data = EvaluationResults.from_dict(sound[0]), sound[1]
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    path = tmp_path / PREDICTIONS_NAME
    path.write_bytes(npz(arrays))
    assert read_predictions(path, results).logits.shape == (60, 6)
    path.write_bytes(npz(INVALID[name](arrays)))
    with bounded(seconds=20), pytest.raises(ResultsError, match=f"{PREDICTIONS_NAME} is"):
        read_predictions(path, results)


@pytest.mark.slow
def test_an_archive_with_too_many_entries_is_refused(tmp_path, sound):
    path = tmp_path / PREDICTIONS_NAME
    with zipfile.ZipFile(path, "w") as file:
        for number in range(60_000):
            file.writestr(str(number), b"")
    with bounded(seconds=20), pytest.raises(ResultsError):
        read_predictions(path, EvaluationResults.from_dict(sound[0]))


@pytest.mark.integration
def test_undecodable_names_are_escaped_in_tables_and_plots(tmp_path):
    for number, name in enumerate("ab"):
        evaluation(tmp_path / name, number, teacher__name="v\udc80", classes=["\udcff", *"bcdef"])
    assert "v\\udc80" in call("compare", tmp_path / "a", tmp_path / "b", "--output-dir", tmp_path / "out")
    assert "v\\udc80" in (tmp_path / "out" / "comparison.csv").read_text()


@pytest.mark.integration
def test_reading_an_evaluation_stays_within_its_memory_limit(tmp_path, sound):
    results = sound[0] | {"environment": {"many": list(range(10**6))}}
    (tmp_path / RESULTS_NAME).write_text(json.dumps(results))
    code, output = limited.run(lambda: read_results(tmp_path), limited.allowance(tmp_path))
    assert (code, output) == (0, "")
