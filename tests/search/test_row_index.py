"""The search index on disk: what is read from the cache, appended, made again, and never trusted."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedonce.cache.errors import BusyError, DamagedError, StorageError
from embedonce.pipeline.files.output_folder import sole_writer
from embedonce.pipeline.search import row_index
from embedonce.pipeline.search.index_parts import HEAD, SUFFIX, discard, stored_parts
from embedonce.pipeline.search.row_index import RowIndex, open_index

WIDTH = 5


class Units:
    """Units of a cache, and which of them were read."""

    def __init__(self, sizes: dict[str, int]):
        generator = np.random.default_rng(0)
        self.vectors = {
            unit: generator.standard_normal((rows, WIDTH)).astype(np.float16) for unit, rows in sizes.items()
        }
        self.records = {
            unit: SimpleNamespace(unit=unit, sha256=f"{unit}-{rows}", num_rows=rows) for unit, rows in sizes.items()
        }
        self.read_units: list[str] = []

    def read(self, unit: str) -> np.ndarray:
        self.read_units.append(unit)
        return self.vectors[unit]

    def open(self, folder: Path, rows_per_part: int = 10) -> RowIndex:
        """The index, compared with what is in the units."""
        self.read_units.clear()
        index = open_index(folder, self.records, WIDTH, self.read, rows_per_part)
        expected = {unit: rows for unit, rows in self.vectors.items() if len(rows)}
        assert sorted(index.units) == sorted(expected)
        stored = np.concatenate([*index.blocks, np.zeros((0, WIDTH), np.float16)])
        np.testing.assert_array_equal(
            stored, np.concatenate([*(expected[unit] for unit in index.units), np.zeros((0, WIDTH), np.float16)])
        )
        assert index.num_rows == len(stored)
        return index


@pytest.fixture
def units() -> Units:
    return Units({"000001": 4, "000002": 7, "000003": 0, "000004": 3})


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def test_every_shard_is_read_once_and_only_new_ones_later(units, tmp_path):
    units.open(tmp_path / "index")
    assert units.read_units == ["000001", "000002", "000004"] and len(parts(tmp_path / "index")) == 2
    units.open(tmp_path / "index")
    assert units.read_units == []
    more = Units({"000001": 4, "000002": 7, "000004": 3, "000005": 2})
    more.vectors |= {unit: units.vectors[unit] for unit in ("000001", "000002", "000004")}
    before = parts(tmp_path / "index")
    more.open(tmp_path / "index")
    assert more.read_units == ["000005"] and set(before) < set(parts(tmp_path / "index"))


def test_rows_are_found_by_their_numbers(units, tmp_path):
    index = units.open(tmp_path / "index")
    rows = np.array([13, 0, 5, 11, 5])
    places = [index.place(row) for row in rows]
    assert places == [("000004", 2), ("000001", 0), ("000002", 1), ("000004", 0), ("000002", 1)]
    np.testing.assert_array_equal(index.vectors(rows), np.stack([units.vectors[unit][row] for unit, row in places]))


def test_nothing_is_left_of_shards_that_were_removed(units, tmp_path):
    units.open(tmp_path / "index")
    removed = units.vectors.pop("000002")
    del units.records["000002"]
    units.open(tmp_path / "index")
    assert units.read_units == ["000001"]  # which was in the same part
    assert len(parts(tmp_path / "index")) == 2
    assert not any(removed.tobytes() in path.read_bytes() for path in (tmp_path / "index").iterdir())
    del units.vectors["000004"], units.records["000004"]
    units.open(tmp_path / "index")
    assert units.read_units == [] and len(parts(tmp_path / "index")) == 1


def test_a_shard_of_the_same_name_with_other_content_is_read(units, tmp_path):
    units.open(tmp_path / "index")
    units.records["000002"].sha256 = "other"
    units.vectors["000002"] = -units.vectors["000002"]
    units.open(tmp_path / "index")
    assert "000002" in units.read_units


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("damage", [Path.unlink, truncate, flip])
def test_a_damaged_part_is_made_again_and_named(units, tmp_path, caplog, damage):
    units.open(tmp_path / "index")
    head = stored_parts(tmp_path / "index", WIDTH)
    damage(head[1].path)
    with caplog.at_level(logging.WARNING):
        units.open(tmp_path / "index")
    assert units.read_units == ["000004"] and f"{head[1].path} of the search index is missing or damaged" in caplog.text


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format_version":1,"parts":[]}'])
def test_a_damaged_head_is_made_again_and_named(units, tmp_path, caplog, content):
    units.open(tmp_path / "index")
    (tmp_path / "index" / HEAD).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        units.open(tmp_path / "index")
    assert len(units.read_units) == 3 and "the search index is made again" in caplog.text
    assert len(parts(tmp_path / "index")) == 2  # those that nothing lists are deleted


def test_a_copied_index_is_used_if_its_bytes_are_right(units, tmp_path):
    units.open(tmp_path / "index")
    for path in parts(tmp_path / "index"):
        os.utime(path, ns=(1, 1))
    units.open(tmp_path / "index")
    assert units.read_units == []


def test_rows_with_other_bytes_than_were_written_are_noticed(units, tmp_path):
    index = units.open(tmp_path / "index")
    assert index.damaged_part(np.arange(14)) is None
    part = index.checksums[2][0]
    stamp = part.path.stat().st_mtime_ns
    flip(part.path)
    os.utime(part.path, ns=(stamp, stamp))
    index = open_index(tmp_path / "index", units.records, WIDTH, units.read, 10)
    assert index.damaged_part(np.arange(11)) is None and index.damaged_part(np.array([12])) == part
    discard(part)
    units.open(tmp_path / "index")
    assert units.read_units == ["000004"]


def test_an_interrupted_run_keeps_whole_parts_and_leaves_nothing_else(units, tmp_path):
    real = units.read

    def read(unit: str) -> np.ndarray:
        if unit == "000004":
            raise DamagedError("its shard is damaged")
        return real(unit)

    with pytest.raises(DamagedError, match="its shard is damaged"):
        open_index(tmp_path / "index", units.records, WIDTH, read, 10)
    assert [path.suffix for path in sorted((tmp_path / "index").iterdir())] == [SUFFIX, ".json"]
    units.open(tmp_path / "index")
    assert units.read_units == ["000004"]


def test_vectors_of_another_shape_are_refused(units, tmp_path):
    with pytest.raises(ValueError, match=r"unit 000001 has vectors of shape \(4, 4\)"):
        open_index(tmp_path, units.records, WIDTH, lambda unit: units.vectors[unit][:, :4], 10)


def test_one_process_writes_at_a_time(units, tmp_path):
    with sole_writer(tmp_path / "index", row_index.COMMAND), pytest.raises(BusyError, match="wait for it to end"):
        units.open(tmp_path / "index")


def test_a_folder_that_is_a_file_is_refused(units, tmp_path):
    (tmp_path / "index").write_text("")
    with pytest.raises(StorageError):
        units.open(tmp_path / "index")
