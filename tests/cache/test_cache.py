"""The contract of a cache, over both back ends and kinds of stores, and what a reader does with damage."""

import dataclasses
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from contextlib import closing

import h5py
import numpy as np
import pytest

from embedonce.cache import commit, documents, verified_shards
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.backends.tar_layout import member_header
from embedonce.cache.errors import (
    AlreadyCommittedError,
    BusyError,
    DamagedError,
    IdentityMismatchError,
    LabelSetError,
    NotACacheError,
    StorageError,
)
from embedonce.cache.heads import head_tensors, logits_from
from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.schema import FORMAT_VERSION, Status, row_key
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.base import FileVersion
from embedonce.cache.stores.local import LocalStore
from embedonce.cache.stores.registry import open_store, stored_path
from tests.conftest import make_batch, make_cache_identity, make_segment, planned_segment, planned_video
from tests.support.places import LocalPlace
from tests.support.stored import stored


@pytest.fixture
def batch():
    return make_batch(make_segment("video-a", 40), make_segment("b_1", 3))


@pytest.fixture
def cache(place, backend, batch):
    """The place of a cache of one unit, that of the batch."""
    writer = open_writer(place.location, make_cache_identity(backend))
    writer.commit_frames("000000", batch, {"host": "here"})
    writer.close()
    return place


@pytest.fixture
def local_cache(tmp_path, backend, batch):
    """The same in a local folder; returns the folder."""
    with closing(open_writer(tmp_path / "cache", make_cache_identity(backend))) as writer:
        writer.commit_frames("000000", batch, {"host": "here"})
    return tmp_path / "cache"


# -- what was written comes back ---------------------------------------------------------------------------------


def test_rows_come_back_as_they_were_written(cache, batch):
    reader = open_reader(cache.location)
    shard = reader.frames("000000")
    assert (
        shard.keys()
        == batch.keys
        == [row_key("video-a", 15 * i) for i in range(40)] + [row_key("b_1", 15 * i) for i in range(3)]
    )
    assert [shard.jpeg(row) for row in range(43)] == list(batch.jpegs)
    for view in range(2):
        np.testing.assert_array_equal(shard.embeddings(30, 43, view), batch.embeddings[30:43, view])
    assert shard.embeddings(0, 1, 0).dtype == np.float16


def test_records_hold_requests_pts_and_views(cache, batch):
    record = open_reader(cache.location).records["000000"]
    assert record.num_rows == 43 and record.provenance == {"host": "here"}
    for read, written in zip(record.segments, batch.segments, strict=True):
        for field in dataclasses.fields(written):
            expected, got = getattr(written, field.name), getattr(read, field.name)
            np.testing.assert_array_equal(got, expected)
            assert not isinstance(expected, np.ndarray) or got.dtype == expected.dtype, field.name


def test_timeline_joins_units_in_order_of_time(tmp_path, backend):
    writer = open_writer(tmp_path / "cache", make_cache_identity(backend))
    writer.commit_frames("000001", make_batch(make_segment("x", 2), make_segment("v", 4, first_k=6)), {})
    writer.commit_frames("000000", make_batch(make_segment("v", 6)), {})
    timeline = writer.reader().timeline("v")
    assert timeline.k.tolist() == list(range(10))
    assert timeline.unit.tolist() == ["000000"] * 6 + ["000001"] * 4
    assert timeline.row.tolist() == [0, 1, 2, 3, 4, 5, 2, 3, 4, 5]  # after the two rows of x
    np.testing.assert_allclose(timeline.t_sec, -512 / 15360 + np.arange(10) / 2, atol=1e-12)
    np.testing.assert_array_equal(timeline.t_sec, timeline.frame_sec)
    assert timeline.window(1.0, 2.5) == slice(3, 6)  # t_k = k/2 - 1/30: half-open, from 1.466…
    assert timeline.window(timeline.t_sec[3], timeline.t_sec[5]) == slice(3, 5)
    assert writer.reader().count_statuses() == {"ok": 12, "corrupt": 0, "redacted": 0, "missing": 3, "reshaped": 0}


def test_only_ok_requests_are_on_the_timeline(tmp_path, backend):
    segment = make_segment("v", 4)
    status, row = segment.request_status.copy(), segment.request_row.copy()
    status[1], row[1] = Status.CORRUPT, -1
    row[2:4] -= 1
    holed = dataclasses.replace(
        segment,
        frame_index=segment.frame_index[[0, 2, 3]],
        pts=segment.pts[[0, 2, 3]],
        request_status=status,
        request_row=row,
    )
    writer = open_writer(tmp_path / "cache", make_cache_identity(backend))
    writer.commit_frames("000000", make_batch(holed), {})
    timeline = writer.reader().timeline("v")
    assert timeline.k.tolist() == [0, 2, 3] and timeline.row.tolist() == [0, 1, 2]


def test_a_unit_without_rows_is_committed_without_a_shard(place, backend):
    writer = open_writer(place.location, make_cache_identity(backend))
    writer.commit_frames("000000", make_batch(make_segment("v", 0)), {})
    assert writer.committed_units() == {"000000"}
    assert place.names("frames") == [] and place.names("records") == ["000000.json"]
    assert writer.reader().num_rows == 0 and len(writer.reader().timeline("v").k) == 0


def test_few_shards_are_open_at_a_time_and_all_can_be_read_again(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(verified_shards, "MAX_OPEN", 3)
    writer = open_writer(tmp_path / "c", make_cache_identity(backend))
    batches = {f"{n:06d}": make_batch(make_segment(f"v{n}", 4), seed=n) for n in range(12)}
    for unit, batch in batches.items():
        writer.commit_frames(unit, batch, {})
    writer.close()
    reader, before = open_reader(tmp_path / "c"), len(os.listdir("/proc/self/fd"))
    digests, digest = [], LocalStore.digest
    monkeypatch.setattr(LocalStore, "digest", lambda store, name: digests.append(name) or digest(store, name))
    for _ in range(2):
        for unit, batch in batches.items():
            assert reader.frames(unit).jpeg(2) == batch.jpegs[2]
            np.testing.assert_array_equal(reader.frames(unit).embeddings(1, 3, 1), batch.embeddings[1:3, 1])
            assert len(os.listdir("/proc/self/fd")) <= before + 3
    assert len(digests) == 12  # each is verified once


def test_damage_after_a_shard_was_verified_is_reported(tmp_path):
    """HDF5's own checksums of chunks go on where the file's SHA-256 ends."""
    writer = open_writer(tmp_path / "c", make_cache_identity("hdf5"))
    batch = make_batch(make_segment("v", 200))
    writer.commit_frames("000000", batch, {})
    writer.close()
    shard = open_reader(tmp_path / "c").frames("000000")
    path = tmp_path / "c" / "frames" / "000000.h5"
    data = bytearray(path.read_bytes())
    at = data.find(batch.jpegs[0])
    data[at] ^= 1
    with open(path, "r+b") as file:
        file.write(data)
    with pytest.raises(DamagedError, match=r"000000.h5 is damaged"):
        shard.jpeg(0)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 140])
@pytest.mark.parametrize("size", [0, 1, 4096, 2**33 - 1])
def test_headers_of_tar_members_are_the_standard_librarys(length, size):
    info = tarfile.TarInfo("k" * length)
    info.size, info.mode = size, 0o444
    assert member_header("k" * length, size) == info.tobuf(tarfile.GNU_FORMAT)


def test_a_pickled_reader_reads(cache, batch):
    reader = open_reader(cache.location)
    assert reader.frames("000000").jpeg(1) == batch.jpegs[1]
    assert pickle.loads(pickle.dumps(reader)).frames("000000").jpeg(2) == batch.jpegs[2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its file open
def test_plain_libraries_read_a_shard(local_cache, batch, backend):
    cache, reader = local_cache, open_reader(local_cache)
    if backend == "hdf5":
        with h5py.File(cache / "frames" / "000000.h5") as file:
            start, stop = file["jpeg_offset"][5:7]
            assert file["jpeg"][start:stop].tobytes() == batch.jpegs[5]
            assert [key.decode() for key in file["key"]] == batch.keys
            np.testing.assert_array_equal(file["embeddings"], batch.embeddings)
            np.testing.assert_array_equal(file["pts"], np.concatenate([s.pts for s in batch.segments]))
            np.testing.assert_array_equal(file["views"][file["video"][41]], batch.segments[1].views)
            sizes = [d.size for d in file.values()]
            assert all(d.fletcher32 for d in file.values()) and all(sizes)
        return
    import webdataset

    dataset = webdataset.WebDataset(str(cache / "frames" / "000000.tar"), shardshuffle=False)
    samples = list(dataset)
    assert [sample["__key__"] for sample in samples] == batch.keys == reader.frames("000000").keys()
    assert [sample["jpg"] for sample in samples] == list(batch.jpegs)
    np.testing.assert_array_equal(np.load(io.BytesIO(samples[41]["emb.npy"])), batch.embeddings[41])
    facts = json.loads(samples[41]["json"])
    segment = batch.segments[1]
    assert (facts["video_uid"], facts["pts"], facts["t_sec"]) == ("b_1", segment.pts[1], segment.t_sec[1])
    assert facts["views"] == segment.views.tolist() and facts["time_base"] == [1, 15360]


def test_equal_rows_give_equal_bytes(tmp_path, backend, batch):
    for name in "ab":
        open_writer(tmp_path / name, make_cache_identity(backend)).commit_frames("000000", batch, {})
    (a,), (b,) = ((tmp_path / name / "frames").iterdir() for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_embeddings_must_be_finite_half_floats():
    batch = make_batch(make_segment("v", 2))
    bad = batch.embeddings.copy()
    bad[1, 0, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        dataclasses.replace(batch, embeddings=bad)
    with pytest.raises(ValueError, match="float16"):
        dataclasses.replace(batch, embeddings=batch.embeddings.astype(np.float32))
    with pytest.raises(ValueError, match="do not match"):
        dataclasses.replace(batch, jpegs=batch.jpegs[:1])


# -- label sets ----------------------------------------------------------------------------------------------------


def label_set(**changes) -> LabelSet:
    return dataclasses.replace(LabelSet("main", "zero-shot", ("cut", "stir"), (("a",), ("b",)), 100.0, {}), **changes)


def test_label_set_and_logits_come_back(cache, batch):
    writer = open_writer(cache.location, open_reader(cache.location).identity)
    clips = [ClipLabel("c0", "video-a", 0.25, 2.5, 1, "train"), ClipLabel("c1", "b_1", 0.0, 1.0, -1, "val")]
    writer.create_label_set(label_set(), b"tensors")
    writer.publish_clips("main", 0, clips)
    logits = np.random.default_rng(0).standard_normal((43, 2, 2)).astype(np.float32)
    writer.commit_logits("main", "000000", batch.keys, logits, {})
    reader = open_reader(cache.location)
    assert reader.label_set() == reader.label_set("main") == label_set(clips=tuple(clips))
    assert reader.label_tensors("main") == b"tensors" and reader.logits_units("main") == {"000000"}
    shard = reader.logits("main", "000000")
    assert shard.keys() == reader.frames("000000").keys()  # same basename, keys and order: a column of the shard
    np.testing.assert_array_equal(shard.logits(3, 43, 1), logits[3:, 1])
    assert cache.names("frames") == cache.names("labels/main/logits") != []


def test_a_label_set_of_that_name_must_mean_the_same(cache):
    writer = open_writer(cache.location, open_reader(cache.location).identity)
    writer.create_label_set(label_set(), None)
    assert writer.create_label_set(label_set(), None) == label_set()
    for changes in ({"classes": ("cut", "pour")}, {"kind": "fitted"}, {"prompts": (("x",), ("b",))}):
        with pytest.raises(LabelSetError, match="--label-set"):
            writer.create_label_set(label_set(**changes), None)


def test_an_absent_or_ambiguous_label_set_is_an_error(cache):
    with pytest.raises(LabelSetError, match="no label set yet"):
        open_reader(cache.location).label_set()
    writer = open_writer(cache.location, open_reader(cache.location).identity)
    writer.create_label_set(label_set(), None)
    writer.create_label_set(label_set(name="other"), None)
    with pytest.raises(LabelSetError, match=r"several .*main, other"):
        open_reader(cache.location).label_set()
    with pytest.raises(LabelSetError, match=r"no label set 'x'"):
        open_reader(cache.location).label_set("x")


@pytest.mark.numeric
def test_logits_from_a_head_are_linear_relu_linear():
    weights = [np.array([[1.0, 0], [0, -1]]), np.array([0.0, 0.5]), np.array([[2.0, 4]]), np.array([1.0])]
    tensors = head_tensors([w.astype(np.float32) for w in weights])
    # hidden: relu([1, -2 + .5]) = [1, 0]; relu([-1, 3 + .5]) = [0, 3.5]
    np.testing.assert_allclose(logits_from(tensors, np.array([[[1.0, 2.0], [-1.0, -3.0]]])), [[[3.0], [15.0]]])


@pytest.mark.numeric
def test_zero_shot_logits_are_scaled_cosines():
    tensors = {"class_text": np.eye(2, dtype=np.float32), "logit_scale": np.array([100.0], np.float32)}
    np.testing.assert_allclose(logits_from(tensors, np.array([[[0.6, 0.8]]])), [[[60.0, 80.0]]], rtol=1e-6)


# -- identity --------------------------------------------------------------------------------------------------------


def identity_version(cache) -> FileVersion:
    return open_store(cache.location).version("cache.json")


def test_another_identity_is_refused_field_by_field_and_changes_nothing(cache):
    identity = open_reader(cache.location).identity
    before = cache.files(), identity_version(cache)
    other = dataclasses.replace(
        identity, fps=4.0, teacher=dataclasses.replace(identity.teacher, weights_sha256="1" * 64)
    )
    with pytest.raises(IdentityMismatchError, match=r"teacher.weights_sha256: 0+ -> 1+; fps: 2.0 -> 4.0.*--cache-dir"):
        open_writer(cache.location, other)
    assert (cache.files(), identity_version(cache)) == before


def test_every_field_of_the_identity_counts():
    from embedonce.cache.identity_document import differences

    identity = make_cache_identity()
    for field in dataclasses.fields(identity):
        if field.name != "teacher":
            assert differences(dataclasses.replace(identity, **{field.name: "other"}), identity), field.name
    for field in dataclasses.fields(identity.teacher):
        teacher = dataclasses.replace(identity.teacher, **{field.name: "other"})
        assert differences(dataclasses.replace(identity, teacher=teacher), identity), field.name


def test_a_folder_with_other_files_is_refused_and_left_unchanged(place):
    with pytest.raises(NotACacheError, match="does not exist"):
        open_reader(place.location)
    place.write("thesis.tex", b"years of work")
    with pytest.raises(NotACacheError, match=r"thesis.tex.*choose another"):
        open_writer(place.location, make_cache_identity())
    assert place.files() == {"thesis.tex": b"years of work"}
    with pytest.raises(NotACacheError, match="extract-teacher"):
        open_reader(place.location)


@pytest.mark.parametrize("operations", range(7))
def test_a_cache_killed_at_birth_is_taken_up_again(tmp_path, monkeypatch, operations):
    """Stopped after any number of file operations, the same command finds its own cache."""
    done = []

    def counted(real):
        def step(*arguments):
            if len(done) == operations:
                raise KeyboardInterrupt
            done.append(arguments)
            real(*arguments)

        return step

    for name in ("make_folder", "publish"):
        monkeypatch.setattr(commit, name, counted(getattr(commit, name)))
    with pytest.raises(KeyboardInterrupt):
        open_writer(tmp_path / "c", make_cache_identity())
    monkeypatch.undo()
    writer = open_writer(tmp_path / "c", make_cache_identity())
    writer.commit_frames("000000", make_batch(make_segment("v", 1)), {})
    assert open_reader(tmp_path / "c").num_rows == 1


# -- plan ------------------------------------------------------------------------------------------------------------


def test_plan_survives_on_disk_and_only_grows(place):
    writer = open_writer(place.location, make_cache_identity())
    writer.extend_plan([planned_video("a"), planned_video("b")], [planned_segment("a", 5), planned_segment("b", 2)], 4)
    looks = {"rotation": 90, "mirrored": True, "sample_aspect": (4, 3), "coded_aspect": (16, 11)}
    writer.extend_plan([planned_video("c", **looks)], [planned_segment("c", 1)], 4)
    writer.close()
    again = open_writer(place.location, make_cache_identity())
    assert [unit.name for unit in again.units] == ["000000", "000001", "000002"]
    shape = [[(s.video_uid, s.frame_index.tolist()) for s in unit.segments] for unit in again.units]
    assert shape == [[("a", [0, 1, 2, 3])], [("a", [4]), ("b", [0, 1])], [("c", [0])]]
    assert {name: getattr(again.planned_videos["c"], name) for name in looks} == looks
    np.testing.assert_array_equal(again.planned_videos["a"].views, planned_video("a").views)


@pytest.mark.parametrize("name", ["sample_aspect", "coded_aspect", "decoded_size"])
def test_a_plan_with_impossible_shapes_is_damaged(tmp_path, name):
    writer = open_writer(tmp_path / "c", make_cache_identity())
    with pytest.raises(ValueError, match="was not written"):
        writer.extend_plan([planned_video("a", **{name: (4, 0)})], [planned_segment("a", 1)], 4)
    writer.extend_plan([planned_video("a")], [planned_segment("a", 1)], 4)
    writer.close()
    (path,) = (tmp_path / "c" / "plan").iterdir()
    document = documents.read(stored(path))
    document["videos"][0][name] = [4, 0]
    commit.replace(path, documents.serialize_with_checksum(document))
    with pytest.raises(DamagedError, match="invalid sizes, pixel aspects or time base"):
        open_writer(tmp_path / "c", make_cache_identity())


# -- damage ----------------------------------------------------------------------------------------------------------


def test_any_damage_to_a_shard_is_found_before_a_sample_is_given(cache):
    (name,) = cache.names("frames")
    good = cache.read(f"frames/{name}")
    damaged = {
        "cut": good[:-1],
        "longer": good + b"x",
        "empty": b"",
        "first bit": bytes([good[0] ^ 1]) + good[1:],
        "last bit": good[:-1] + bytes([good[-1] ^ 128]),
        "middle bit": good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 4]) + good[len(good) // 2 + 1 :],
    }
    for what, data in damaged.items():
        cache.write(f"frames/{name}", data)
        with pytest.raises(DamagedError, match=r"00000.*video-a, b_1"):
            open_reader(cache.location).frames("000000")
        assert what
    cache.delete(f"frames/{name}")
    with pytest.raises(DamagedError, match="missing"):
        open_reader(cache.location).frames("000000")


def test_a_link_in_place_of_a_shard_is_refused(local_cache):
    (path,) = (local_cache / "frames").iterdir()
    path.rename(local_cache / "elsewhere")
    path.symlink_to(local_cache / "elsewhere")
    with pytest.raises(DamagedError):
        open_reader(local_cache).frames("000000")


@pytest.mark.parametrize("name", ["cache.json", "records/000000.json"])
def test_a_damaged_document_is_named(cache, name):
    document = json.loads(cache.read(name))
    wrong = [{key: value for key, value in document.items() if key != field} for field in document]
    others = [json.dumps(fields).encode() for fields in ({**document, "format_version": 99}, *wrong)]
    for data in (b"", b"{", b"[]", *others):
        cache.write(name, data)
        with pytest.raises(DamagedError, match=name.rpartition("/")[2]):
            open_reader(cache.location)


def test_the_manifest_is_only_a_summary(cache):
    writer = open_writer(cache.location, open_reader(cache.location).identity)
    manifest = writer.write_manifest()
    assert manifest["num_rows"] == 43 and manifest["shards"][0]["videos"] == ["video-a", "b_1"]
    cache.write("manifest.json", b"nonsense")
    assert open_reader(cache.location).num_rows == 43
    assert writer.write_manifest() == manifest
    assert documents.read(stored_path(cache.location) / "manifest.json") == manifest | {
        "format_version": FORMAT_VERSION
    }


# -- commits ---------------------------------------------------------------------------------------------------------


def test_a_unit_is_committed_once(cache, batch):
    writer = open_writer(cache.location, open_reader(cache.location).identity)
    with pytest.raises(AlreadyCommittedError, match="000000"):
        writer.commit_frames("000000", make_batch(make_segment("z", 1)), {})
    assert open_reader(cache.location).frames("000000").keys() == batch.keys


def test_a_shard_without_a_record_does_not_count_and_is_replaced(place, backend, batch):
    open_writer(place.location, make_cache_identity(backend)).close()
    name = f"000000{BACKENDS[backend].suffix}"
    place.write(f"frames/{name}", b"what a killed run left")
    with closing(open_writer(place.location, make_cache_identity(backend))) as writer:
        assert writer.committed_units() == frozenset()
        writer.commit_frames("000000", batch, {})
        assert writer.reader().frames("000000").keys() == batch.keys
    assert place.names("frames") == [name]


def test_temporary_files_of_a_killed_run_are_deleted(tmp_path, backend):
    open_writer(tmp_path / "c", make_cache_identity(backend)).close()
    (tmp_path / "c" / "frames" / ".tmp-1-ab").write_bytes(b"half")
    open_writer(tmp_path / "c", make_cache_identity(backend)).close()
    assert list((tmp_path / "c" / "frames").iterdir()) == []


def test_the_record_is_published_after_the_shard(place, monkeypatch, batch):
    writer = open_writer(place.location, make_cache_identity())
    published, kind = [], type(writer.store)
    monkeypatch.setattr(kind, "put_if_absent", lambda store, name, data: published.append(name.partition("/")[0]))
    monkeypatch.setattr(kind, "version", lambda store, name: FileVersion(0, ""))
    writer.commit_frames("000000", batch, {})
    assert published == ["frames", "records"]


def test_publish_syncs_the_file_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(handle):
        calls.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "fsync file")
        real_fsync(handle)

    def link(source, target):
        calls.append("link")
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    commit.publish(tmp_path / "x", b"data")
    assert calls == ["fsync file", "link", "fsync folder"]
    with pytest.raises(AlreadyCommittedError):
        commit.publish(tmp_path / "x", b"other")
    assert (tmp_path / "x").read_bytes() == b"data" and len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"full .*free.*run the same command again"):
        commit.publish(tmp_path / "x", b"data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_second_writer_is_refused_while_the_first_lives(cache):
    first = open_writer(cache.location, open_reader(cache.location).identity)
    script = (
        "import sys\n"
        "from embedonce.cache.store import *; from embedonce.cache.errors import BusyError\n"
        "p = sys.argv[1]\n"
        "try: open_writer(p, read_identity(p))\n"
        "except BusyError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", script, str(cache)], capture_output=True, text=True, check=True)
    who = "another process" if isinstance(cache, LocalPlace) else f"process {os.getpid()} on host"
    assert f"is being written by {who}" in told.stdout
    with pytest.raises(BusyError):
        open_writer(cache.location, first.identity)
    first.close()
    open_writer(cache.location, first.identity).close()


def test_a_writer_that_cannot_be_opened_keeps_nobody_out(cache):
    identity = open_reader(cache.location).identity
    cache.write("plan/000000.json", b"{}")
    with pytest.raises(DamagedError, match=r"plan/000000\.json"):
        open_writer(cache.location, identity)
    cache.delete("plan/000000.json")
    open_writer(cache.location, identity).close()


def test_quarantine_is_remembered_and_released(place):
    writer = open_writer(place.location, make_cache_identity())
    video = QuarantinedVideo("../x.mp4", "bad", 1, 2)
    writer.quarantine("../x.mp4", video)
    writer.quarantine("b", video)
    assert writer.quarantined()["../x.mp4"] == video
    writer.release("b")
    assert set(writer.quarantined()) == {"../x.mp4"}


@pytest.mark.integration
def test_the_cache_never_loads_torch():
    code = "import sys, cache.store, cache.plan; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
