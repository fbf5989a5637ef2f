"""Exports of embeddings have the rows, times and labels of the cache in every format, and are whole or not there."""

import dataclasses
import json
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from embedonce.cache.errors import DamagedError, LabelSetError, NotACacheError, TeacherError
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.schema import row_key
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.pipeline.embedding_files import tables
from embedonce.pipeline.embedding_files.export import FORMATS, write_embeddings, write_parquet
from embedonce.pipeline.embedding_files.row_labels import labels_of_rows
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.runtimes import requirements
from tests.commands.test_cli import call, error_of
from tests.conftest import make_cache_identity
from tests.support.memory_store import MemoryStore
from tests.support.shared_units import SECOND, SECOND_DIM, SECRET, embedding_of, make_shared_cache
from tests.support.tiny_cache import make_tiny_cache

UIDS = ["a", SECRET, "b", "c", "d", "e"]
ROWS = {"a": 3, SECRET: 8, "b": 2, "c": 1, "d": 3, "e": 2}


@pytest.fixture(params=["hdf5", "webdataset"])
def cache(tmp_path, request) -> Path:
    return make_shared_cache(tmp_path / "cache", request.param)


def read(path: Path, format: str) -> list[dict]:
    """The rows of an export, read by the library that others would read it with."""
    if format == "parquet":
        return pq.read_table(path).to_pylist()
    if format == "lance":
        import lance

        return lance.dataset(str(path)).to_table().to_pylist()
    rows = []
    for video in json.loads((path / "index.json").read_text())["videos"]:
        features, times = np.load(path / video["features"]), np.load(path / video["times"])
        assert len(features) == len(times) == video["rows"]
        common = {"video_uid": video["video_uid"], "source": video["source"]}
        rows += [{**common, "t_sec": t, "embedding": e.tolist()} for e, t in zip(features, times, strict=True)]
    return rows


def expected(view: int, dim: int = 16) -> list[tuple]:
    """(uid, source, seconds, embedding) of all rows."""
    keys = [(uid, index) for uid in UIDS for index in range(ROWS[uid])]
    return [
        (uid, f"{uid}.mp4", index * 512 / 15360, embedding_of(row_key(uid, index), dim)[view].tolist())
        for uid, index in keys
    ]


def columns(rows: list[dict]) -> list[tuple]:
    return [(row["video_uid"], row["source"], row["t_sec"], row["embedding"]) for row in rows]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_row_has_its_embedding_video_and_time(cache, tmp_path, format, dtype):
    count = write_embeddings(open_reader(cache), tmp_path / "out", format, view=1, dtype=dtype)
    assert columns(read(tmp_path / "out", format)) == expected(1) and count == len(expected(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out"]


@pytest.mark.parametrize("format", ["parquet", "lance"])
def test_small_batches_make_the_same_table(cache, tmp_path, format, monkeypatch):
    monkeypatch.setattr(tables, "BATCH_BYTES", 1)
    counts = []
    write_embeddings(open_reader(cache), tmp_path / "out", format, on_rows=counts.append)
    assert columns(read(tmp_path / "out", format)) == expected(0) and len(counts) > 6 and sum(counts) == 19


@pytest.mark.parametrize("format", FORMATS)
def test_rows_are_in_time_order_after_a_removal_wrote_their_units_again(cache, tmp_path, format):
    remove(cache, videos_removal(["b"], is_withdrawal=True))
    reader = open_reader(cache)
    first = [int(segment.frame_index[0]) for _, _, segment in reader.segments_of(SECRET)]
    assert first != sorted(first)
    write_embeddings(reader, tmp_path / "out", format)
    rows = [row for row in columns(read(tmp_path / "out", format)) if row[0] == SECRET]
    assert rows == [row for row in expected(0) if row[0] == SECRET]


def test_an_added_teacher_is_exported_with_its_identity(cache, tmp_path):
    call(
        "export-embeddings",
        "--cache-dir",
        cache,
        "--teacher",
        SECOND,
        "--format",
        "parquet",
        "--output",
        tmp_path / "o",
    )
    assert columns(read(tmp_path / "o", "parquet")) == expected(0, SECOND_DIM)
    metadata = json.loads(pq.read_schema(tmp_path / "o").metadata[b"embedonce"])
    identity = open_reader(cache).teachers.read(SECOND).identity
    assert metadata["teacher"] == json.loads(json.dumps(dataclasses.asdict(identity)))
    assert metadata["teacher_name_in_cache"] == SECOND and metadata["fps"] == 2.0


def test_a_teacher_that_lacks_rows_is_refused(cache, tmp_path):
    next((cache / "teachers" / SECOND / "records").glob("*.json")).unlink()
    with pytest.raises(
        InputError, match=r"'second' has not embedded 1 of \d shards yet; run add-teacher --name second"
    ):
        write_parquet(open_reader(cache), tmp_path / "o", teacher=SECOND)


def test_the_metadata_names_no_folder_of_this_machine(cache, tmp_path):
    write_parquet(open_reader(cache), tmp_path / "o", label_set="main")
    assert str(tmp_path).encode() not in (tmp_path / "o").read_bytes()


def test_the_command_writes_what_its_options_say(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 2, num_views=1)
    words = ["--cache-dir", cache, "--view", 1, "--label-set", "tiny", "--dtype", "float16"]
    output = call("export-embeddings", *words, "--format", "parquet", "--output", tmp_path / "o.parquet")
    assert f"{tmp_path / 'o.parquet'}: 30 embeddings of 2 videos" in output
    table = pq.read_table(tmp_path / "o.parquet")
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: halffloat>[16]"
    reader = open_reader(cache)
    labels = reader.label_set("tiny")
    of_clips = {(c.video_uid, int(2 * c.start_sec)): (labels.classes[c.label], c.split) for c in labels.clips}
    for row in table.to_pylist():
        name, split = of_clips[row["video_uid"], int(2 * row["t_sec"]) // 5 * 5]
        assert (row["labels"], row["split"]) == ([name], split)
    stored = reader.all_embeddings("000001")[:, 1]
    assert np.array_equal(np.array([row["embedding"] for row in table.to_pylist()[15:]], np.float16), stored)


def test_a_folder_of_arrays_has_the_clips(cache, tmp_path):
    write_embeddings(open_reader(cache), tmp_path / "o", "npy", label_set="main")
    index = json.loads((tmp_path / "o" / "index.json").read_text())
    labels = open_reader(cache).label_set("main")
    assert [(clip["clip_id"], clip["start_sec"]) for clip in index["clips"]] == [
        (clip.clip_id, clip.start_sec) for clip in labels.clips
    ]
    assert {tuple(clip["labels"]) for clip in index["clips"]} <= {("cut",), ("stir",), ()}
    assert index["label_set"] == {"name": "main", "classes": ["cut", "stir"]}


def test_a_row_has_the_labels_of_all_its_clips_and_shows_a_mixed_split(cache):
    reader = open_reader(cache)
    clips = [
        ClipLabel("1", SECRET, 0.0, 1.0, 1, "train"),
        ClipLabel("2", SECRET, 0.5, 1.5, 0, "val"),
        ClipLabel("3", SECRET, 2.0, 2.5, -1, "val"),
        ClipLabel("4", SECRET, 3.5, 4.0, 1, "test"),  # its row is not the first of its shard
    ]
    parts, timeline = reader.segments_of(SECRET), reader.timeline(SECRET)
    found = labels_of_rows(parts, timeline, clips, ("cut", "stir"))
    assert found.labels == [["stir"], ["cut", "stir"], ["cut"], [], [], [], [], ["stir"]]
    assert found.splits == ["train", "train+val", "val", None, "val", None, None, "test"]


def test_a_cache_that_is_not_a_folder_is_exported(tmp_path):
    store = MemoryStore()
    make_shared_cache(store, "hdf5")
    write_parquet(open_reader(store), tmp_path / "o")
    assert columns(read(tmp_path / "o", "parquet")) == expected(0)


# -- refused or interrupted --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_only_an_earlier_export_is_replaced_and_only_on_demand(cache, tmp_path, format):
    words = ["export-embeddings", "--cache-dir", cache, "--format", format, "--output", tmp_path / "out"]
    call(*words)
    assert "exists; give --overwrite" in error_of(*words, "--view", 1)
    assert columns(read(tmp_path / "out", format)) == expected(0)
    call(*words, "--view", 1, "--overwrite")
    assert columns(read(tmp_path / "out", format)) == expected(1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for other in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        assert "is not an export of this format" in error_of(*words[:-1], other, "--overwrite")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_folder_with_files_of_others_is_not_replaced(cache, tmp_path):
    write_embeddings(open_reader(cache), tmp_path / "out", "npy")
    (tmp_path / "out" / "mine.npy").write_bytes(b"mine")
    with pytest.raises(InputError, match="not an export"):
        write_embeddings(open_reader(cache), tmp_path / "out", "npy", overwrite=True)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_export_leaves_the_earlier_one_and_nothing_else(cache, tmp_path, format, error):
    reader = open_reader(cache)
    write_embeddings(reader, tmp_path / "out", format)

    def interrupted(count: int) -> None:
        raise error

    with pytest.raises(BaseException) as raised:
        write_embeddings(reader, tmp_path / "out", format, view=1, overwrite=True, on_rows=interrupted)
    assert error is not KeyboardInterrupt or raised.type is KeyboardInterrupt
    assert columns(read(tmp_path / "out", format)) == expected(0)
    assert sorted(os.listdir(tmp_path)) == ["cache", "out"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_shard_is_not_exported(cache, tmp_path, format):
    shard = sorted((cache / "frames").iterdir())[2]
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert "repair-cache" in error_of(
        *("export-embeddings", "--cache-dir", cache, "--format", format, "--output", tmp_path / "out"), code=4
    )
    assert sorted(os.listdir(tmp_path)) == ["cache"]
    with pytest.raises(DamagedError):
        write_embeddings(open_reader(cache), tmp_path / "out", format)


def test_folders_of_killed_exports_are_removed(cache, tmp_path):
    (tmp_path / ".tmp-4194304999-0123abcd").mkdir()  # a process id that cannot exist
    (tmp_path / ".tmp-4194304999-0123abcd" / "a.npy").write_bytes(b"half")
    living = tmp_path / f".tmp-{os.getpid()}-0123abcd"
    living.mkdir()
    write_embeddings(open_reader(cache), tmp_path / "out", "npy")
    assert sorted(os.listdir(tmp_path)) == [living.name, "cache", "out"]


@pytest.mark.parametrize(
    ("format", "library", "extra"), [("parquet", "pyarrow", "parquet"), ("lance", "lance", "lance")]
)
def test_a_missing_library_is_a_sentence(cache, tmp_path, monkeypatch, format, library, extra):
    find = requirements.find_spec
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == library else find(name))
    output = error_of("export-embeddings", "--cache-dir", cache, "--format", format, "--output", tmp_path / "o")
    assert output == f"--format {format} needs {library}; install with: pip install 'embedonce[{extra}]'"


def test_what_the_cache_does_not_have_is_refused(cache, tmp_path):
    reader = open_reader(cache)
    with pytest.raises(InputError, match=r"view 2 does not exist: .* has views 0 to 1"):
        write_parquet(reader, tmp_path / "o", view=2)
    with pytest.raises(LabelSetError, match="no label set 'other'"):
        write_parquet(reader, tmp_path / "o", label_set="other")
    with pytest.raises(TeacherError, match="no teacher 'other'"):
        write_parquet(reader, tmp_path / "o", teacher="other")
    with pytest.raises(NotACacheError, match="is inside the cache"):
        write_parquet(reader, cache / "o")
    assert sorted(os.listdir(tmp_path)) == ["cache"] and verify(cache).extra == []


def test_a_cache_without_rows_makes_an_empty_table(tmp_path):
    with closing(open_writer(tmp_path / "cache", make_cache_identity())) as writer:
        writer.create_label_set(LabelSet("main", "none", (), (), None, {}), None)
        writer.write_manifest()
    for format in FORMATS:
        assert write_embeddings(open_reader(tmp_path / "cache"), tmp_path / format, format, label_set="main") == 0
    assert pq.read_table(tmp_path / "parquet").num_rows == 0
