"""Hostile tars: members that are no files, lie elsewhere or are something else, and stowaways that no record speaks of.

Every checksum is right: records vouch for the very bytes.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import documents
from tests.support.hostile_cache import assert_unit_refused, pickle_of, plant_shard, refusals, spoilable
from tests.support.stored import stored

BLOCK = tarfile.BLOCKSIZE
SHAPE = (2, 16)  # of a row's embeddings


@pytest.fixture
def cache_dir(tmp_path) -> Iterator[Path]:
    with spoilable(tmp_path, "webdataset") as root:
        yield root


def entries_of(root: Path) -> list[dict]:
    """The members of unit 000000's frame shard in order: kind, data, and fields of their headers."""
    with tarfile.open(root / "frames" / "000000.tar") as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    kinds = {"emb.npy": "emb", "jpg": "jpg", "json": "json"}
    return [{"kind": kinds[name.partition(".")[2]], "name": name, "data": data} for name, data in members]


def plant(root: Path, entries: list[dict], change_index: Callable = lambda members: None, after: bytes = b"") -> None:
    """Put a tar of these entries into the cache, with an index that is right but for change_index."""
    data, members = b"", {}
    for entry in entries:
        info = tarfile.TarInfo(entry["name"])
        info.size, info.mode = len(entry["data"]), 0o444
        for name in entry.keys() - {"kind", "name", "data", "header"}:
            setattr(info, name, entry[name])
        data += entry.get("header", info.tobuf(tarfile.GNU_FORMAT))
        members.setdefault(entry["kind"], []).append([len(data), len(entry["data"])])
        data += entry["data"] + bytes(-len(entry["data"]) % BLOCK)
    members.pop(None, None)
    members = change_index(members) or members
    data += bytes(2 * BLOCK)
    plant_shard(root, "frames", data + bytes(-len(data) % tarfile.RECORDSIZE) + after, index={"members": members})


def npy(values: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, version=version)
    return buffer.getvalue()


@pytest.mark.integration
def test_a_rewritten_tar_with_the_same_rows_is_accepted(cache_dir):
    """What follows is refused for what it changes."""
    path = cache_dir / "frames" / "000000.tar"
    before = path.read_bytes()
    plant(cache_dir, entries_of(cache_dir))
    assert path.read_bytes() == before and refusals(cache_dir) == {}


# -- members ---------------------------------------------------------------------------------------------------------

HEADERS = {  # of row 1's JPEG
    **{f"type {kind}": {"type": kind, "linkname": "/etc/passwd"} for kind in (b"1", b"2", b"3", b"4", b"5", b"6")},
    **{f"name {name!r}": {"name": name} for name in ("../x.jpg", "/etc/passwd", "x.jpg", "a_00000000.jpg", "é.jpg")},
    **{f"size {size}": {"size": size} for size in (1 << 40, 1 << 62, -1, -1024, 0, 1)},
    "no header": {"header": bytes(BLOCK)},
    "no checksum": {"header": b"a" * BLOCK},
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.integration
def test_a_member_with_an_unexpected_header_is_refused(cache_dir, name):
    entries = entries_of(cache_dir)
    entries[4] |= HEADERS[name]
    plant(cache_dir, entries)
    assert_unit_refused(cache_dir)


PLACES = (
    [-BLOCK, 10],
    [0, 10],
    [BLOCK - 1, 10],
    [1 << 62, 10],
    [BLOCK, 1 << 62],
    [BLOCK, -1],
    [BLOCK, True],
    [float(BLOCK), 10],
    ["512", "10"],
    [BLOCK],
    [[BLOCK, 10], [BLOCK, 10]],
    None,
    {"0": BLOCK, "1": 10},
)
INDICES = {
    **{f"place {place}": lambda m, place=place: m["jpg"].__setitem__(1, place) for place in PLACES},
    **{
        f"without {kind}": lambda m, kind=kind: {k: v for k, v in m.items() if k != kind}
        for kind in ("emb", "jpg", "json")
    },
    "one place twice": lambda m: m["jpg"].__setitem__(1, m["jpg"][0]),
    "two places swapped": lambda m: m["emb"].reverse(),
    "a row less": lambda m: m["emb"].pop(),
    "a row more": lambda m: m["emb"].append(m["emb"][0]),
    "rows of one kind as another": lambda m: m | {"jpg": m["json"]},
    "a kind that is none": lambda m: m | {"exe": m["jpg"]},
    "no kind": lambda m: {"members": {}},
    "a list": lambda m: list(m.items()),
    "a text": lambda m: "members",
    "rows as a text": lambda m: m | {"jpg": "[[512, 10]]"},
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.integration
def test_an_index_that_leads_elsewhere_is_refused(cache_dir, name):
    plant(cache_dir, entries_of(cache_dir), INDICES[name])
    assert_unit_refused(cache_dir)


SIZES = {  # changes of an index from whose sizes the offsets follow
    "a size less": lambda index: index["sizes"]["jpg"].__setitem__(1, index["sizes"]["jpg"][1] - 1),
    "a block more": lambda index: index["sizes"]["jpg"].__setitem__(1, index["sizes"]["jpg"][1] + BLOCK),
    "two sizes swapped": lambda index: index["sizes"]["jpg"].reverse(),
    "a row less": lambda index: index["sizes"]["jpg"].pop(),
    "a row more": lambda index: index["sizes"]["jpg"].append(10),
    "below zero": lambda index: index["sizes"]["jpg"].__setitem__(1, -10),
    "beyond the file": lambda index: index["sizes"]["jpg"].__setitem__(1, 2**62),
    "of all rows beyond the file": lambda index: index["sizes"].update(jpg=2**62),
    "not an integer": lambda index: index["sizes"]["jpg"].__setitem__(1, 10.0),
    "a bool": lambda index: index["sizes"].update(emb=True),
    "no header": lambda index: index["headers"].update(jpg=0),
    "a longer header": lambda index: index["headers"].update(jpg=3 * BLOCK),
    "headers of fewer members": lambda index: index["headers"].pop("jpg"),
    "sizes of fewer members": lambda index: index["sizes"].pop("jpg"),
    "without headers": lambda index: index.pop("headers"),
    "without sizes": lambda index: index.pop("sizes"),
    "sizes as a text": lambda index: index.update(sizes="jpg"),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.integration
def test_sizes_that_lead_elsewhere_are_refused(cache_dir, name):
    index = documents.read(stored(cache_dir / "records" / "000000.json"))["index"]
    SIZES[name](index)
    plant_shard(cache_dir, "frames", (cache_dir / "frames" / "000000.tar").read_bytes(), index=index)
    assert_unit_refused(cache_dir)


half = np.ones(SHAPE, np.float16) / 4
ARRAYS = {
    "transposed": npy(half.T),
    "in columns": npy(np.asfortranarray(half)),
    "flat": npy(half.ravel()),
    "integers": npy(half.view(np.int16)),
    "other bytes first": npy(half.astype(">f2")),
    "version 2": npy(half, (2, 0)),
    "longer": npy(half) + b"x",
    "cut": npy(half)[:-1],
    "great": npy(half).replace(b"(2, 16)", b"(2, 1 << 40)"),
    "empty": b"",
    "no number": npy(half * np.float16("nan")),
    "pickle": b"",
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.integration
def test_an_array_that_is_none_of_the_records_shape_is_refused_and_not_unpickled(cache_dir, tmp_path, name):
    entries, objects = entries_of(cache_dir), npy(half).replace(b"'<f2'", b"'|O' ")[:-64]
    entries[3]["data"] = ARRAYS[name] if name != "pickle" else objects + pickle_of(tmp_path / "sentinel")
    plant(cache_dir, entries)
    assert_unit_refused(cache_dir)


FACTS = {
    "nested": b"[" * 100_000,
    "no JSON": b"{",
    "no object": b"5",
    "a pickle": b"",
}
WRONG = [
    *(("crop_crc32", value) for value in ([1], [1, 2, 3, 4], [-1, 2], [1, 2**32])),
    *(("pts", value) for value in (2**70, None, [1, 2], float("nan"))),
    *(("frame_index", value) for value in ("x", {})),
]
FACTS |= {
    f"{field} {value}": json.dumps({"frame_index": 10, "pts": 5120, "crop_crc32": [1, 2]} | {field: value}).encode()
    for field, value in WRONG
}


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.integration
def test_facts_that_are_none_are_refused(cache_dir, tmp_path, name):
    entries = entries_of(cache_dir)
    entries[5]["data"] = FACTS[name] or pickle_of(tmp_path / "sentinel")
    plant(cache_dir, entries)
    assert_unit_refused(cache_dir)


# -- stowaways -------------------------------------------------------------------------------------------------------


def pax(text: str) -> dict:
    """A header that sets fields of the member after it."""
    record = f"{len(text) + 4} {text}\n" if len(text) < 95 else f"{len(text) + 5} {text}\n"
    return {"kind": None, "name": "x", "type": b"x", "data": record.encode()}


MEMBER = {"kind": None, "name": "y.jpg", "data": b"stowaway"}
STOWAWAYS = {
    "another row": [MEMBER],
    **{f"type {kind}": [MEMBER | {"type": kind, "linkname": "../x"}] for kind in (b"1", b"2", b"3", b"5", b"6")},
    **{f"name {name!r}": [MEMBER | {"name": name}] for name in ("../x.jpg", "/etc/passwd", "a_00000000.exe")},
    "size below 0": [MEMBER | {"size": -BLOCK - 1}],
    "size far below 0": [MEMBER | {"size": -4 * BLOCK}],
    "great size": [MEMBER | {"size": 1 << 62}],
    "sparse": [pax("GNU.sparse.map=x,y"), MEMBER],
    "sparse for ever": [pax("GNU.sparse.size=9999999999999"), pax("GNU.sparse.major=1"), MEMBER],
    "no number": [pax("size=x"), MEMBER],
    "headers of headers": [pax("a=b")] * 2000 + [MEMBER],
}


@pytest.mark.parametrize("name", STOWAWAYS)
@pytest.mark.integration
def test_a_tar_with_a_member_beyond_its_record_is_refused(cache_dir, name):
    """Nobody here would read it; what else reads tars would unpack it."""
    plant(cache_dir, entries_of(cache_dir) + STOWAWAYS[name])
    assert_unit_refused(cache_dir)


def test_a_member_in_the_midst_or_after_the_end_is_refused(cache_dir):
    entries = entries_of(cache_dir)
    plant(cache_dir, [*entries[:4], MEMBER, *entries[4:]])
    assert_unit_refused(cache_dir)
    plant(cache_dir, entries, after=tarfile.TarInfo("../x").tobuf() + bytes(19 * BLOCK))
    assert_unit_refused(cache_dir)
