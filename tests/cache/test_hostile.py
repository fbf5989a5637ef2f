"""Hostile documents and tensors: refused wherever a cache is used, and nothing that they hold is run or allocated.

Every checksum is right, so that only what they say can give them away.
"""

import copy
import json
import math
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedonce.cache import documents, plan_documents, quarantine
from embedonce.cache.commit import sha256
from embedonce.cache.errors import CacheError, DamagedError
from embedonce.cache.files import MAX_DOCUMENT_BYTES
from embedonce.cache.labels import LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.cache.records import read_planned, read_records
from embedonce.cache.store import read_identity
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import LabelSetRequest
from tests.conftest import second_backend_slow
from tests.extraction.test_runner import make_source
from tests.support.hostile_cache import LABEL_SET, bounded, pickle_of, refusals, spoilable, write_sealed
from tests.support.stored import stored

FREE = {"provenance", "facts", "index", "format_version"}  # of any content; what index must be, shards say
WRONG = (None, True, 7, 1.5, float("nan"), float("-inf"), 2**70, "x", [], [[]], {"a": 1})
NO_NAMES = ("", "../x", "/x", "x\0y", "a/b", "a.b", "-a", "a\n", "é", "x" * 200)
NULLABLE = {"logit_scale", "tensors_sha256"}
READERS = {  # of each document, by itself
    "cache.json": read_identity,
    "plan/000000.json": lambda root: plan_documents.read_plan(stored(root / "plan")),
    "records/000000.json": lambda root: (
        read_records(stored(root / "records")),
        read_planned(stored(root / "records/000000.json")),
    ),
    f"{LABEL_SET}/label_set.json": lambda root: (_labels(root), _reader(root).head("zero-shot")),
    f"{LABEL_SET}/clips/000000.json": lambda root: _labels(root),
    f"{LABEL_SET}/records/000000.json": lambda root: read_records(stored(root / LABEL_SET / "records")),
    "quarantine/*": lambda root: quarantine.read_quarantine(stored(root / "quarantine")),
    "attempts/*": lambda root: quarantine.read_attempts(stored(root / "attempts")),
}
NAMES = [  # fields that name files or members of archives
    ("plan/000000.json", ("videos", 0, "uid")),
    ("plan/000000.json", ("units", 0, "name")),
    ("plan/000000.json", ("units", 0, "segments", 0, "video_uid")),
    ("records/000000.json", ("unit",)),
    ("records/000000.json", ("segments", 0, "video_uid")),
    (f"{LABEL_SET}/label_set.json", ("name",)),
    (f"{LABEL_SET}/clips/000000.json", ("clips", 0, "video_uid")),
    (f"{LABEL_SET}/records/000000.json", ("unit",)),
]


@pytest.fixture
def cache_dir(tmp_path, backend) -> Iterator[Path]:
    with spoilable(tmp_path, backend) as root:
        yield root


def _reader(root: Path) -> CacheReader:
    return CacheReader(root, read_identity(root), records={})


def _labels(root: Path) -> LabelSet:
    return _reader(root).label_set("zero-shot")


def document_at(root: Path, pattern: str) -> Path:
    (path,) = root.glob(pattern)
    return path


def places(value, path: tuple = ()):
    """(path, value) of every field of a document, of the first item where there are many."""
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        if key not in FREE:
            yield from places(item, (*path, key))


def changed(document: dict, path: tuple, value) -> dict:
    document = inner = copy.deepcopy(document)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def is_wrong(place: tuple, old, new) -> bool:
    """Whether new is nothing that may stand where old does."""
    if place[-1] in NULLABLE and new is None:
        return False
    if type(old) is float:
        return type(new) not in (int, float) or not abs(new) < math.inf
    if type(old) is int and (new == 2**70 or (new is True and isinstance(place[-1], int))):
        return new is not True  # NumPy takes True in an array for 1
    return type(new) is not type(old)


# -- documents -------------------------------------------------------------------------------------------------------


@second_backend_slow
@pytest.mark.parametrize("pattern", READERS)
@pytest.mark.integration
def test_a_field_of_a_wrong_type_is_refused_in_every_document(cache_dir, pattern):
    path, complaints, num_tried = document_at(cache_dir, pattern), [], 0
    good = documents.read(stored(path))
    for place, old in places(good):
        same = (float(old),) if type(old) is int else ()
        wrong = [new for new in WRONG + same if is_wrong(place, old, new)]
        for new in wrong:
            num_tried += 1
            write_sealed(path, changed(good, place, new))
            try:
                READERS[pattern](cache_dir)
                complaints.append(f"{place}: {new!r} in place of {old!r} was accepted")
            except CacheError:
                pass
            except Exception as error:  # collected, so that one does not hide the others
                complaints.append(f"{place}: {new!r} ended in {type(error).__name__} {error}")
        write_sealed(path, changed(good, place, wrong[num_tried % len(wrong)]))
        if not refusals(cache_dir):
            complaints.append(f"{place}: nothing was said against it")
    assert complaints == [] and num_tried >= 18


@pytest.mark.parametrize(("pattern", "place"), NAMES)
@pytest.mark.integration
def test_a_name_that_could_lead_elsewhere_is_refused(cache_dir, pattern, place):
    path = document_at(cache_dir, pattern)
    good = documents.read(stored(path))
    for name in NO_NAMES:
        write_sealed(path, changed(good, place, name))
        with pytest.raises(DamagedError, match=path.name):
            READERS[pattern](cache_dir)
    assert {"read", "verify"} & set(refusals(cache_dir))


@second_backend_slow
@pytest.mark.parametrize("pattern", READERS)
@pytest.mark.integration
def test_json_that_is_made_to_break_its_reader_is_refused(cache_dir, tmp_path, pattern):
    path = document_at(cache_dir, pattern)
    good = path.read_bytes()
    bodies = [b'{"format_version":1,"a":%s' % value for value in (b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000)]
    bodies += [b'{"format_version":1,"a":"%s"' % text for text in (b"\\ud800", b"\xff\xfe", b"a" * 1000)]
    bodies += [b"", b"null", b"[]", b"{", b"\xff\xfe" + "{}".encode("utf-16-le"), pickle_of(tmp_path / "sentinel")]
    with bounded():
        for body in bodies:
            for data in (body, body + documents._checksum_field(body + b"}")):
                path.write_bytes(data)
                with pytest.raises(CacheError):
                    READERS[pattern](cache_dir)
        assert refusals(cache_dir)
    path.write_bytes(good)
    write_sealed(path, documents.read(stored(path)) | {"not_a_number": float("nan")})
    with pytest.raises(DamagedError):
        READERS[pattern](cache_dir)
    os.truncate(path, MAX_DOCUMENT_BYTES + 1)  # a file that is nearly all hole
    with bounded(), pytest.raises(DamagedError, match="more than"):
        READERS[pattern](cache_dir)


@pytest.mark.parametrize(
    "change",
    [
        {"backend": "zip"},
        {"num_views": 1 << 20},
        {"fps": None},
        {"fps": 0.0},
        {"sampling": "all"},
        {"sampling": "snap", "format_version": 2},
        {"sampling": "snap", "format_version": 2, "snap_tolerance": 1e9},
        *({"teacher": {name: value}} for name in ("embed_dim", "input_size") for value in (-1, 0, 1 << 26, 1 << 50)),
    ],
)
def test_an_identity_that_nothing_can_have_is_refused(cache_dir, change):
    path = cache_dir / "cache.json"
    document = documents.read(stored(path))
    if "teacher" in change:
        change = {"teacher": document["teacher"] | change["teacher"]}
    write_sealed(path, document | change)
    with bounded():
        assert "verify" in refusals(cache_dir)


# -- tensors ---------------------------------------------------------------------------------------------------------

ZEROS = {name: np.zeros(shape, np.float32) for name, shape in (("class_text", (2, 16)), ("logit_scale", (1,)))}
BOMB = {"weight_0": (0, 16), "bias_0": (0,), "weight_1": (1 << 22, 0), "bias_1": (1,)}  # 16 MB of logits a row
HUGE = json.dumps({"class_text": {"dtype": "F32", "shape": [1 << 40, 16], "data_offsets": [0, 1 << 46]}}).encode()
TENSORS = {
    "none": safetensors.numpy.save({}),
    "another class": safetensors.numpy.save(ZEROS | {"class_text": np.zeros((3, 16), np.float32)}),
    "another width": safetensors.numpy.save(ZEROS | {"class_text": np.zeros((2, 15), np.float32)}),
    "no array": safetensors.numpy.save(ZEROS | {"logit_scale": np.zeros((), np.float32)}),
    "no scale": safetensors.numpy.save({"class_text": ZEROS["class_text"]}),
    "bomb": safetensors.numpy.save({name: np.zeros(shape, np.float32) for name, shape in BOMB.items()}),
    "huge shape": len(HUGE).to_bytes(8, "little") + HUGE,
    "huge header": (1 << 62).to_bytes(8, "little") + HUGE,
    "pickle": b"",
}


@pytest.fixture(params=TENSORS)
def with_tensors(request, cache_dir, tmp_path) -> Path:
    """A cache whose label set vouches for tensors that are no head of its classes."""
    data, folder = TENSORS[request.param] or pickle_of(tmp_path / "sentinel"), cache_dir / LABEL_SET
    (folder / "tensors.safetensors").write_bytes(data)
    path = folder / "label_set.json"
    write_sealed(path, documents.read(stored(path)) | {"tensors_sha256": sha256(data)})
    return cache_dir


@pytest.mark.integration
def test_tensors_that_are_not_a_head_are_found(with_tensors):
    with bounded():
        assert "tensors.safetensors is damaged" in refusals(with_tensors)["verify"]


def test_no_logits_are_computed_from_tensors_that_are_not_a_head(with_tensors):
    (with_tensors / LABEL_SET / "records" / "000001.json").unlink()
    source = make_source(with_tensors.parent, ["a"])
    with closing(CacheWriter(with_tensors, read_identity(with_tensors))) as writer:
        labels = writer.reader().label_set("zero-shot")
        with bounded(), pytest.raises(CacheError):
            write_labels(writer, LabelSetRequest(source, labels), seed=0)
    assert not (with_tensors / LABEL_SET / "records" / "000001.json").exists()
