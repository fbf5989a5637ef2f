"""What a hostile cache may cost: every checksum is right, and memory and time stay within what is promised.

The promise, in docs/reliability.md: files of n bytes take at most 256 MiB + 32 n of memory when they are read.
"""

import io
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from embedonce.cache import documents, limits, strict_json
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import CacheError, DamagedError
from embedonce.cache.jpeg_header import check_header
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.clips.dataset import ClipDataset
from embedonce.pipeline.clips.fingerprint import fingerprint
from embedonce.pipeline.clips.sampling import ClipSampling
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.reporting.contact_sheet.sheet import contact_sheet
from embedonce.pipeline.training.recipe import datasets
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import limited
from tests.support.hostile_cache import bounded, plant_shard, spoilable, write_sealed
from tests.support.stored import stored
from tests.support.tiny_cache import make_tiny_cache

CLIPS = "labels/tiny/clips/000000.json"
LABELS = "labels/tiny/label_set.json"


@pytest.fixture
def tiny(tmp_path) -> Path:
    return make_tiny_cache(tmp_path / "cache", 3)


def reseal(root: Path, file: str, **changes) -> None:
    write_sealed(root / file, documents.read(stored(root / file)) | changes)


def inspected(root: Path) -> str:
    """What inspect-cache says of a cache that it must refuse, within the bound."""
    return limited.refusal("inspect-cache", "--cache-dir", root, num_bytes=limited.allowance(root), codes=(4,))


# -- documents ---------------------------------------------------------------------------------------------------------

BULKY = {
    "lists": b"[],",
    "objects": b"{},",
    "pairs": b"[0],",
    "nested": b"[[[0]]],",
    "keys": b'{"a":0},',
}


@pytest.mark.parametrize("name", BULKY)
@pytest.mark.integration
def test_a_document_of_too_many_parts_is_refused_before_it_is_parsed(tiny, name):
    many = BULKY[name] * ((6 << 20) // len(BULKY[name]))
    body = b'{"format_version":1,"a":[%s0]}' % many
    for file in ("cache.json", "records/000000.json", LABELS):
        (tiny / file).write_bytes(body[:-1] + documents._checksum_field(body))
        with bounded(megabytes=128):
            assert "more parts" in inspected(tiny)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [b"0,", b"12345,", b"1.5,", b'"ab",', b"[512,4096],", b"null,", b'{"clip_id":"x-00000001"},']
)
def test_parsing_takes_no_more_memory_than_documented(part):
    data = b"[%s0]" % (part * ((32 << 20) // len(part)))
    num_bytes = strict_json.SPARE_BYTES + (2 + strict_json.BYTES_PER_BYTE) * len(data)
    code, said = limited.run(lambda: strict_json.loads(data), num_bytes)
    assert code == 0 or "more parts" in said, said[-500:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" * 40 + b"]" * 40, "deep"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "deep"),
        (b"1e999", "not finite"),
        (b"-1e9999", "not finite"),
        (b"9" * 4000, "64 bits"),
        (b"9223372036854775808", "64 bits"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'["a", ["\\udbff\\u0041"]]', "surrogate"),
        (b"\xed\xa0\x80", "UTF-8"),
        (b"\xff\xfe1\x00", "UTF-8"),
        (b"NaN", "not a number"),
    ],
)
def test_values_that_no_document_holds_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        strict_json.loads(text)


def test_values_that_documents_hold_are_read_as_they_are():
    text = b'{"a": [-9223372036854775808, 1e300, "\\ud83d\\ude00", "\\udc80", "abc 12345678901234567890123"]}'
    assert strict_json.loads(text) == {
        "a": [-(2**63), 1e300, "\N{GRINNING FACE}", "\udc80", "abc 12345678901234567890123"]
    }


def test_words_for_a_value_are_short_whatever_it_is():
    values = [
        "x" * 10**6,
        10**5000,
        [[]] * 10**6,
        {"a": 1},
        None,
        1.5,
        True,
        b"x" * 10**6,
        np.zeros((1000, 1000)),
        "\ud800",
    ]
    for value in values:
        assert (len(limits.brief(value)) < 120 and limits.brief(value).isascii()) or "…" in limits.brief(value)


# -- identities, label sets, clips -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [("input_size", 13_000), ("embed_dim", 10**6), ("mean", [0.5]), ("std", [0.0, 1.0, 1.0]), ("interpolation", "x")],
)
@pytest.mark.integration
def test_an_impossible_teacher_identity_is_refused(tiny, field, value):
    reseal(tiny, "cache.json", teacher=documents.read(stored(tiny / "cache.json"))["teacher"] | {field: value})
    assert "cache.json is damaged" in inspected(tiny)


@pytest.mark.parametrize(
    "change",
    [{"canonical_short_side": 10**6}, {"jpeg_quality": 0}, {"num_views": 2000}, {"fps": 5e-324}, {"fps": 1e9}],
)
@pytest.mark.integration
def test_impossible_settings_are_refused(tiny, change):
    reseal(tiny, "cache.json", **change)
    assert "cache.json is damaged" in inspected(tiny)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": [f"class {n}" for n in range(limits.MAX_CLASSES + 1)]},
        {"classes": ["x" * 2000, "b", "c"]},
        {"classes": ["\ud800", "b", "c"]},
        {"classes": ["a", "b", "c"], "prompts": [["x"]]},
        {"kind": "\ud800"},
        {"name": "tiny\ud800"},
        {"facts": {"deep": [[[[]]] * 2, [1, {"a": [{"b": "\udfff"}]}]]}},
    ],
)
@pytest.mark.integration
def test_invalid_label_sets_are_refused(tiny, change):
    reseal(tiny, LABELS, **change)
    assert "label_set.json" in inspected(tiny)


@pytest.mark.slow
def test_a_million_classes_without_logits_are_refused_before_a_student_is_made(tiny):
    reseal(tiny, LABELS, kind="none", prompts=[], classes=[f"{n:07}" for n in range(1_000_000)])
    shared = ("--cache-dir", tiny, "--output-dir", tiny.parent / "out", "--num-workers", 0)
    said = limited.refusal("train-student", *shared, "--beta", 0, num_bytes=limited.allowance(tiny), codes=(4,))
    assert "classes is 1000000" in said


def crowd(root: Path, clips: int, requests: int) -> None:
    """Let the first video have so many requests of one frame, and so many clips over all of them."""
    record = documents.read(stored(root / "records/000000.json"))
    segment = record["segments"][0]
    shown = {"request_k": list(range(requests)), "request_status": [0] * requests, "request_row": [0] * requests}
    write_sealed(root / "records/000000.json", record | {"segments": [segment | shown]})
    first = documents.read(stored(root / CLIPS))["clips"][0]
    many = [first | {"clip_id": f"c{n}", "start_sec": 0.0, "end_sec": 1e6, "split": "train"} for n in range(clips)]
    reseal(root, CLIPS, clips=many)


@pytest.mark.integration
def test_clips_times_requests_take_no_more_than_both(tiny):
    crowd(tiny, 20_000, 20_000)
    config = TrainConfig(tiny, tiny.parent, frames_per_clip=4, student_resolution=128, num_workers=0)

    def prepare() -> None:
        reader = open_reader(tiny)
        found = datasets(config, reader, reader.label_set())
        assert fingerprint(*found) and len(found[0]) + len(found[1]) == 20_000
        assert found[0][0]["mask"].shape == (4,)

    code, said = limited.run(prepare, limited.allowance(tiny), seconds=60)
    assert code == 0, said[-2000:]


@pytest.mark.parametrize(
    "change",
    [
        {"label": 10**18},
        {"label": True},
        {"start_sec": 5.0, "end_sec": 5.0},
        {"clip_id": "\ud800"},
        {"split": "x" * 200_000},
        {"end_sec": 10**400},
    ],
)
@pytest.mark.integration
def test_invalid_clips_are_refused(tiny, change):
    first, *others = documents.read(stored(tiny / CLIPS))["clips"]
    reseal(tiny, CLIPS, clips=[first | change, *others])
    assert "damaged" in inspected(tiny)


# -- shards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, 1e7])
def test_logits_that_are_not_finite_are_refused_by_every_reader(tmp_path, backend, value):
    _tell_of_values(tmp_path, backend, "logits", value, "logits")


@pytest.mark.parametrize("value", [np.inf, 0.0])
def test_embeddings_that_are_not_unit_vectors_are_refused_by_every_reader(tmp_path, backend, value):
    _tell_of_values(tmp_path, backend, "frames", value, "embeddings")


def _tell_of_values(tmp_path: Path, backend: str, column: str, value: float, name: str) -> None:
    """Commit a shard whose every checksum is right, with a value in place of one row's numbers."""
    with spoilable(tmp_path, backend) as root:
        kind = "zero-shot" if column == "logits" else None
        with closing(open_reader(root)) as reader:
            batch, logits = reader.batch("000000"), reader.all_logits("zero-shot", "000000")
        back_end = BACKENDS[backend]
        numbers = logits if kind else batch.embeddings
        numbers[1, 0] = value
        parts = {"keys": batch.keys, "embeddings": numbers, "jpegs": batch.jpegs, "crop_crc32": batch.crop_crc32}
        made = SimpleNamespace(segments=batch.segments, **parts)
        encoded = back_end.encode_logits(batch.keys, numbers) if kind else back_end.encode_frames(made)
        plant_shard(root, column, encoded.data, index=encoded.index)
        with closing(open_reader(root)) as again:
            shard = again.logits(kind, "000000") if kind else again.frames("000000")
            with pytest.raises(DamagedError, match=f"holds {name}"):
                (shard.logits if kind else shard.embeddings)(1, 2, 0)
            with pytest.raises(DamagedError, match=f"holds {name}"):
                again.all_logits(kind, "000000") if kind else again.all_embeddings("000000")
        assert any(f"holds {name}" in problem.message for problem in verify(root).problems)


def jpeg(size: tuple[int, int], **settings) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(buffer, "JPEG", **settings)
    return buffer.getvalue()


def scans(data: bytes, count: int) -> bytes:
    """A progressive JPEG whose last scan comes so often again."""
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


FRAMES = {
    "progressive": (partial(jpeg, (64, 64), progressive=True), "progressive"),
    "of many scans": (lambda: scans(jpeg((256, 256), progressive=True), 3000), "progressive"),
    "of two scans": (lambda: scans(jpeg((64, 64)), 2), "several scans"),
    "far too large": (partial(jpeg, (300, 300)), "more than a stored frame"),
    "endless": (
        lambda: jpeg((64, 64)).replace(b"\x00\x40\x00\x40", b"\xff\xff\xff\xff", 1),
        "more than a stored frame",
    ),
    "a strip": (partial(jpeg, (8, 5000)), "more than a stored frame"),
    "of no size": (lambda: jpeg((64, 64)).replace(b"\x00\x40\x00\x40", b"\x00\x00\x00\x00", 1), "no size"),
    "cut off in its header": (lambda: jpeg((64, 64))[:100], "header"),
    "empty": (lambda: b"", "does not begin"),
    "a PNG": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "does not begin"),
    "markers without end": (lambda: b"\xff\xd8" + b"\xff" * 10**6, "header"),
    "segments without pixels": (lambda: b"\xff\xd8" + b"\xff\xfe\x00\x02" * 10**5 + b"\xff\xd9", "before its pixels"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_an_invalid_stored_frame_is_refused_from_its_header(name):
    make, said = FRAMES[name]
    with bounded(seconds=5), pytest.raises(DamagedError, match=said):
        canonical_frame.decode_jpeg(make(), 256)


def test_frames_as_they_are_stored_are_read_and_larger_ones_are_never_stored():
    for size in ((256, 256), (256, 4096), (4096, 256)):
        check_header(canonical_frame.encode_canonical(np.zeros((*size, 3), np.uint8), 0, 90), 256)
    assert canonical_frame.canonical_size(1000, 1000, limits.MAX_SHORT_SIDE) == (4096, 4096)
    with pytest.raises(ValueError, match="would have more than"):
        canonical_frame.canonical_size(1000, 4000, limits.MAX_SHORT_SIDE)


def test_a_stored_frame_of_many_scans_is_refused_by_every_reader(tmp_path, tiny):
    evil = scans(jpeg((64, 64), progressive=True), 3)
    root = tmp_path / "tar"
    make_tiny_cache(root, 3, backend="webdataset")
    with closing(open_reader(root)) as reader:
        batch = reader.batch("000000")
    encoded = BACKENDS["webdataset"].encode_frames(replace(batch, jpegs=(evil, *batch.jpegs[1:])))
    plant_shard(root, "frames", encoded.data, index=encoded.index)
    found = verify(root, lambda jpeg, views, side: np.zeros(len(views), np.uint32)).problems
    assert any("progressive" in problem.message for problem in found)
    with closing(open_reader(root)) as reader:
        clips = ClipDataset(reader, reader.label_set(), list(reader.label_set().clips), ClipSampling(5, 128, False, 0))
        with pytest.raises(DamagedError, match="progressive"):
            clips[0]
    with pytest.raises(CacheError, match="progressive"):
        contact_sheet(open_reader(root), [], None)


@pytest.mark.slow
def test_a_cache_of_many_requests_is_read_within_the_bound(tiny):
    crowd(tiny, 20_000, 300_000)

    def read() -> None:
        reader = open_reader(tiny)
        reader.label_set(), reader.timeline("v0"), reader.count_statuses()

    code, said = limited.run(read, limited.allowance(tiny))
    assert code == 0, said[-2000:]
