"""Hostile HDF5 shards, frames and records: what could lead out of a file, fill the memory or run is refused.

Every checksum is right: records vouch for the very bytes.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from embedonce.cache import documents
from tests.cache.test_verify import damage
from tests.support.hostile_cache import (
    COLUMNS,
    LABEL_SET,
    assert_unit_refused,
    bounded,
    pickle_of,
    plant_shard,
    refusals,
    spoilable,
    write_sealed,
)
from tests.support.stored import stored


@pytest.fixture
def cache_dir(tmp_path, backend) -> Iterator[Path]:
    with spoilable(tmp_path, backend) as root:
        yield root


@pytest.fixture
def hdf5_cache(tmp_path) -> Iterator[Path]:
    with spoilable(tmp_path, "hdf5") as root:
        yield root


# -- HDF5 ------------------------------------------------------------------------------------------------------------


def replaced(file: h5py.File, name: str, data=None, **settings) -> h5py.Dataset:
    """A dataset in the place of another, with the same values unless others are given."""
    data = file[name][:] if data is None and "shape" not in settings else data
    del file[name]
    return file.create_dataset(name, data=data, **settings)


def external_storage(file: h5py.File, outside: Path) -> None:
    data = file["jpeg"][:]
    data.tofile(outside)
    del file["jpeg"]
    file.create_dataset("jpeg", data.shape, data.dtype, external=[(outside, 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, outside: Path, unlimited: bool = False, is_pipe: bool = False) -> None:
    data = file["embeddings"][:]
    with h5py.File(outside, "w") as other:
        other.create_dataset("e", data=data, maxshape=(None, *data.shape[1:]))
    maxshape = (None if unlimited else len(data), *data.shape[1:])
    layout = h5py.VirtualLayout(data.shape, data.dtype, maxshape=maxshape)
    source = h5py.VirtualSource(outside, "e", data.shape, maxshape=maxshape)
    stop = h5py.h5s.UNLIMITED if unlimited else len(data)
    layout[:stop] = source[:stop]
    del file["embeddings"]
    file.create_virtual_dataset("embeddings", layout)
    if is_pipe:
        outside.unlink()
        os.mkfifo(outside)


def link(file: h5py.File, name: str, target) -> None:
    file.move(name, "aside")
    file[name] = target


def external_link(file: h5py.File, outside: Path) -> None:
    with h5py.File(outside, "w") as other:
        file.copy("key", other)
    link(file, "key", h5py.ExternalLink(outside, "/key"))


def foreign_filter(file: h5py.File) -> None:
    """A chunk that says it went through a filter that is not there, which HDF5 would look for on disk and load."""
    data = file["embeddings"][:]
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk(data.shape)
    settings.set_filter(300, h5py.h5z.FLAG_OPTIONAL, (1,))
    del file["embeddings"]
    space = h5py.h5s.create_simple(data.shape)
    dataset = h5py.h5d.create(file.id, b"embeddings", h5py.h5t.IEEE_F16LE, space, settings)
    dataset.write_direct_chunk((0, 0, 0), data.tobytes())


def flip_in_chunk(file: h5py.File, name: str) -> None:
    dataset = file[name].id
    place = (0,) * len(file[name].shape)
    mask, data = dataset.read_direct_chunk(place)
    dataset.write_direct_chunk(place, bytes([data[0] ^ 1]) + data[1:], mask)


def long_jpeg(file: h5py.File) -> None:
    replaced(file, "jpeg", shape=(1 << 28,), dtype="u1", chunks=(1 << 16,))
    file["jpeg_offset"][-1] = 1 << 28


HDF5 = {
    "soft link": lambda f, o: link(f, "jpeg", h5py.SoftLink("/aside")),
    "dangling link": lambda f, o: link(f, "pts", h5py.SoftLink("/nowhere")),
    "external link": external_link,
    "link to a pipe": lambda f, o: (os.mkfifo(o), link(f, "key", h5py.ExternalLink(o, "/key"))),
    "external storage": external_storage,
    "virtual": virtual,
    "virtual without end": lambda f, o: virtual(f, o, unlimited=True),
    "virtual from a pipe": lambda f, o: virtual(f, o, is_pipe=True),
    "virtual without end from a pipe": lambda f, o: virtual(f, o, unlimited=True, is_pipe=True),
    "group": lambda f, o: (f.__delitem__("jpeg"), f.create_group("jpeg")),
    "type": lambda f, o: link(f, "jpeg", np.dtype(np.uint8)),
    "absent": lambda f, o: f.__delitem__("crop_crc32"),
    "more rows": lambda f, o: replaced(f, "embeddings", shape=(1 << 50, 2, 16), dtype="f2", chunks=(1, 1, 16)),
    "more views": lambda f, o: replaced(f, "embeddings", shape=(5, 1 << 50, 16), dtype="f2", chunks=(1, 1, 16)),
    "wider": lambda f, o: replaced(f, "embeddings", shape=(5, 2, 1 << 50), dtype="f2", chunks=(1, 1, 16)),
    "long jpeg": lambda f, o: replaced(f, "jpeg", shape=(1 << 50,), dtype="u1", chunks=(1 << 16,)),
    "long jpeg and offset": lambda f, o: long_jpeg(f),
    "long keys": lambda f, o: replaced(f, "key", f["key"][:].astype("S1000000")),
    "no rows": lambda f, o: replaced(f, "pts", np.zeros(0, np.int64)),
    "scalar": lambda f, o: replaced(f, "pts", np.int64(3)),
    "null": lambda f, o: replaced(f, "pts", h5py.Empty("i8")),
    "gzip bomb": lambda f, o: replaced(f, "jpeg", np.zeros(100_000_000, np.uint8), compression=9, chunks=(10_000_000,)),
    "gzip": lambda f, o: replaced(f, "embeddings", compression=1),
    "lzf": lambda f, o: replaced(f, "embeddings", compression="lzf"),
    "shuffled": lambda f, o: replaced(f, "pts", shuffle=True, chunks=(5,)),
    "scaled": lambda f, o: replaced(f, "pts", scaleoffset=0, chunks=(5,)),
    "foreign filter": lambda f, o: foreign_filter(f),
    "great chunk": lambda f, o: replaced(f, "pts", maxshape=(None,), chunks=(4_000_000,)),
    "floats": lambda f, o: replaced(f, "embeddings", f["embeddings"][:].astype("f4")),
    "other bytes first": lambda f, o: replaced(f, "pts", f["pts"][:].astype(">i8")),
    "signed": lambda f, o: replaced(f, "jpeg", f["jpeg"][:].astype("i1")),
    "variable strings": lambda f, o: replaced(f, "key", f["key"][:].astype(object), dtype=h5py.string_dtype()),
    "sequences": lambda f, o: replaced(f, "pts", shape=(5,), dtype=h5py.vlen_dtype(np.int64)),
    "references": lambda f, o: replaced(f, "pts", shape=(5,), dtype=h5py.ref_dtype),
    "compound": lambda f, o: replaced(f, "pts", f["pts"][:].view([("a", "i8")])),
    "other keys": lambda f, o: replaced(f, "key", f["key"][:][::-1]),
    "shorter keys": lambda f, o: replaced(f, "key", f["key"][:].astype("S64")),
    "offsets that fall": lambda f, o: replaced(f, "jpeg_offset", f["jpeg_offset"][:][[0, 2, 1, 3, 4, 5]]),
    "offsets too far": lambda f, o: replaced(f, "jpeg_offset", f["jpeg_offset"][:] * 1000),
    "offsets below 0": lambda f, o: replaced(f, "jpeg_offset", f["jpeg_offset"][:] - 1000),
    "no number": lambda f, o: replaced(f, "embeddings", f["embeddings"][:] * np.float16("nan")),
    "flipped keys": lambda f, o: flip_in_chunk(f, "key"),
    "flipped jpeg": lambda f, o: flip_in_chunk(f, "jpeg"),
    "flipped embeddings": lambda f, o: flip_in_chunk(f, "embeddings"),
}


@pytest.mark.parametrize("name", HDF5)
@pytest.mark.integration
def test_an_hdf5_shard_that_violates_the_format_is_refused(hdf5_cache, tmp_path, name):
    image = tmp_path / "image.h5"
    image.write_bytes((hdf5_cache / "frames" / "000000.h5").read_bytes())
    with h5py.File(image, "r+") as file:
        HDF5[name](file, tmp_path / "outside")
    plant_shard(hdf5_cache, "frames", image.read_bytes())
    assert_unit_refused(hdf5_cache)


# -- what both back ends refuse --------------------------------------------------------------------------------------

RECORDS = {
    "rows without videos": {"num_rows": 1 << 40, "segments": []},
    "rows that are too many": {"num_rows": 6},
    "bytes that are too many": {"num_bytes": 1 << 40},
    "bytes that are none": {"num_bytes": 0},
    "no checksum": {"sha256": "x" * 64},
    "a great checksum": {"sha256": "A" * 64},
}


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.integration
def test_a_record_that_its_shard_contradicts_is_refused(cache_dir, name, column):
    path = cache_dir / COLUMNS[column][1] / "000000.json"
    write_sealed(path, documents.read(stored(path)) | RECORDS[name])
    with bounded():
        assert {"read", "verify"} <= refusals(cache_dir).keys()


VIEWS = {
    "one more": lambda views: [*views, views[0]],
    "one less": lambda views: views[:1],
    "none": lambda views: [],
    "too far": lambda views: [[0, 0, 20_000, 20_000, 0, 3], views[1]],
    "beside the frame": lambda views: [[-5, 0, 100, 100, 0, 3], views[1]],
    "empty": lambda views: [[0, 0, 0, 100, 0, 3], views[1]],
    "of no interpolation": lambda views: [[0, 0, 100, 100, 0, 99], views[1]],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.integration
def test_views_that_no_frame_has_are_refused(cache_dir, name):
    path = cache_dir / "records" / "000000.json"
    document = documents.read(stored(path))
    document["segments"][0]["views"] = VIEWS[name](document["segments"][0]["views"])
    write_sealed(path, document)
    with bounded():
        assert ({"verify"} if name == "too far" else {"read", "verify"}) <= refusals(cache_dir).keys()


def test_a_record_of_rows_of_no_video_is_refused(cache_dir):
    path = cache_dir / "records" / "000000.json"
    document = documents.read(stored(path)) | {"segments": []}
    write_sealed(path, document)
    with bounded():
        said = refusals(cache_dir)
    assert {"read", "verify"} <= said.keys()
    assert "000000.json is damaged" in said["read"] and "its segments of a are missing" in said["read"]
    del document["planned"]  # then nothing in the record itself is wrong
    write_sealed(path, document)
    assert_unit_refused(cache_dir)


@pytest.mark.integration
def test_a_shard_of_another_column_or_of_other_classes_is_refused(cache_dir):
    shard, folder = next((cache_dir / "frames").glob("000000.*")), cache_dir / LABEL_SET
    good = next((folder / "logits").glob("000000.*")).read_bytes()
    index = documents.read(stored(folder / "records" / "000000.json"))["index"]
    of_frames = documents.read(stored(cache_dir / "records" / "000000.json"))["index"]
    plant_shard(cache_dir, "logits", shard.read_bytes(), index=of_frames)
    assert_unit_refused(cache_dir)
    plant_shard(cache_dir, "logits", good, index=index)
    assert refusals(cache_dir) == {}
    document = documents.read(stored(folder / "label_set.json"))
    write_sealed(
        folder / "label_set.json",
        document | {"classes": ["one", "two", "three"], "prompts": [], "tensors_sha256": None},
    )
    assert_unit_refused(cache_dir)


FRAMES = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 640 256\n%%EndComments\nshowpage\n%%EOF\n",
    "nothing of the kind": b"x",
    "pickle": b"",
    "great": b"",
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.integration
def test_a_frame_that_is_not_a_jpeg_is_reported_and_no_program_is_run_on_it(cache_dir, tmp_path, monkeypatch, name):
    """Pillow would hand PostScript to Ghostscript, which runs it."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\nmkdir {tmp_path}/sentinel\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def frame(jpeg: bytes) -> bytes:
        size = jpeg.index(b"\xff\xc0") + 5  # height and width, of 16 bits each
        great = jpeg[:size] + struct.pack(">HH", 40_000, 40_000) + jpeg[size + 4 :]
        return FRAMES[name] or (great if name == "great" else pickle_of(tmp_path / "sentinel"))

    damage(cache_dir, "000000", lambda b: dataclasses.replace(b, jpegs=(frame(b.jpegs[0]), *b.jpegs[1:])))
    with bounded():
        assert "a_00000000" in refusals(cache_dir)["verify"]
