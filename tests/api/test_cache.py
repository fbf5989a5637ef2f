"""`embedonce.open_cache`: videos, clips, embeddings and frames of a cache, and what wrong arguments end with."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from pyarrow import parquet

import embedonce
from embedonce.cache.errors import LabelSetError, NotACacheError, TeacherError, VideoError
from embedonce.pipeline.api.contents import Video
from embedonce.pipeline.frames.canonical_frame import decode_jpeg
from tests.support.embedded_cache import NAME, add_second_teacher, make_extracted_cache
from tests.support.tiny_cache import CLASSES, DIM, make_tiny_cache


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return embedonce.open_cache(make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6, num_views=1))


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """Two videos of 9 rows in two units each, with a second teacher."""
    root = make_extracted_cache(tmp_path_factory.mktemp("extracted") / "cache")
    add_second_teacher(root)
    return embedonce.open_cache(root)


def test_it_lists_videos(tiny):
    assert len(tiny) == 6 and [video.uid for video in tiny] == list(tiny.video_uids) == [f"v{i}" for i in range(6)]
    assert tiny.video("v1") == Video("v1", None, None, None, 15) and tiny.video("v1").duration_sec is None
    assert "v1" in tiny and tiny.video("v1") in tiny and "v9" not in tiny


def test_planned_videos_have_a_source_and_a_duration(extracted):
    video = extracted.video("a")
    assert video.source == "a.mp4" and video.num_frames == len(extracted.embeddings(video)) > 1
    assert video.duration_sec == pytest.approx(video.end_sec - video.start_sec) and video.duration_sec > 2


def test_it_lists_clips_with_the_names_of_their_classes(tiny):
    clips, labels = tiny.clips(), tiny.label_set()
    assert [clip.label for clip in clips] == [CLASSES[clip.label] for clip in labels.clips]
    assert (clips[0].video, clips[0].start_sec, clips[0].end_sec, clips[0].split) == ("v0", 0.0, 2.5, "val")
    assert {clip.split for clip in tiny.clips("tiny", "train")} == {"train"} and len(tiny.clips(split="train")) == 12
    assert tiny.label_sets() == ("tiny",) and tiny.classes() == CLASSES


def test_clips_may_have_several_labels(tmp_path):
    cache = embedonce.open_cache(make_tiny_cache(tmp_path / "cache", 1, several=True))
    assert sorted(clip.labels for clip in cache.clips()) == [("blue",), ("green", "blue"), ("red",)]
    assert {clip.label for clip in cache.clips()} == {None}


def test_embeddings_are_those_of_the_time_range(tiny):
    found, stored = tiny.embeddings("v1", 1, 3, view=1), tiny.reader.all_embeddings("000001")[:, 1]
    assert found.t_sec.tolist() == [1.0, 1.5, 2.0, 2.5] and found.embeddings.dtype == np.float32
    assert np.allclose(found.embeddings, stored[2:6], atol=1e-3)
    assert np.allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-6)
    as_stored = tiny.embeddings(tiny.video("v1"), view=1, dtype="float16")
    assert np.array_equal(as_stored.embeddings, stored) and len(as_stored) == 15
    assert len(tiny.embeddings("v1", 100)) == 0 and len(tiny.embeddings("v1", t1=0.5)) == 1
    assert tiny.embeddings("v1", 100).embeddings.shape == (0, DIM)


def test_embeddings_over_several_shards_and_of_an_added_teacher(extracted):
    for teacher, read in ((None, extracted.reader.all_embeddings), (NAME, None)):
        units = [unit for unit, _, _ in extracted.reader.segments_of("a")]
        assert len(units) > 1
        read = read or (lambda unit: extracted.reader.teachers.all_embeddings(NAME, unit))
        parts = []
        for unit, first, segment in extracted.reader.segments_of("a"):
            parts.append(read(unit)[first + segment.request_row[segment.request_status == 0], 0])
        found = extracted.embeddings("a", teacher=teacher, dtype=np.float16)
        assert np.array_equal(found.embeddings, np.concatenate(parts))
    assert extracted.teachers() == ("first", NAME)


def test_frames_are_the_stored_ones(tiny):
    (first_t, first), *others = tiny.frames("v1", 1, 3)
    shard = tiny.reader.frames("000001")
    assert first_t == 1.0 and len(others) == 3 and first.dtype == np.uint8
    assert np.array_equal(first, np.asarray(decode_jpeg(shard.jpeg(2)))) and first.flags.writeable


def test_a_table_of_all_videos(tiny):
    table = tiny.to_numpy(view=1)
    assert len(table) == 90 and table.embeddings.shape == (90, DIM) and table.clip is None
    for uid in ("v0", "v5"):
        own = tiny.embeddings(uid, view=1)
        assert np.array_equal(table.embeddings[table.video == uid], own.embeddings)
        assert np.array_equal(table.t_sec[table.video == uid], own.t_sec)


def test_a_table_of_the_clips_of_a_label_set(tiny):
    table, clips = tiny.to_numpy(label_set="tiny"), tiny.clips("tiny")
    assert np.array_equal(np.unique(table.clip), np.arange(len(clips))) and len(table) == 90
    for number in (0, 7):
        rows = table.clip == number
        assert set(table.video[rows]) == {clips[number].video}
        assert {CLASSES[label] for label in table.label[rows]} == {clips[number].label}
        own = tiny.embeddings(clips[number].video, clips[number].start_sec, clips[number].end_sec)
        assert np.array_equal(table.embeddings[rows], own.embeddings)


def test_embeddings_go_to_a_parquet_file(tiny, tmp_path):
    assert tiny.to_parquet(str(tmp_path / "all.parquet"), view=1, label_set="tiny") == 90
    table = parquet.read_table(tmp_path / "all.parquet")
    assert table.num_rows == 90 and table.column("labels")[0].as_py() == [tiny.clips()[0].label]
    first = table.column("embedding")[0].as_py()
    assert np.allclose(first, tiny.embeddings("v0", view=1).embeddings[0], atol=1e-3)
    with pytest.raises(ValueError, match=r"all.parquet exists; give overwrite to replace it, or choose another path$"):
        tiny.to_parquet(tmp_path / "all.parquet")
    assert tiny.to_parquet(tmp_path / "all.parquet", overwrite=True) == 90
    with pytest.raises(ValueError, match="view must be 0 to 1, got 5"):
        tiny.to_parquet(tmp_path / "other.parquet", view=5)


def test_an_empty_cache_can_be_read(tmp_path):
    cache = embedonce.open_cache(make_tiny_cache(tmp_path / "cache", 0))
    assert len(cache) == 0 and cache and cache.to_numpy().embeddings.shape == (0, DIM)
    assert cache.to_numpy(label_set="tiny").label.shape == (0,) and repr(cache).count("0 videos") == 1


def test_it_is_shown_with_its_essential_numbers(tiny):
    assert repr(tiny).partition(": ")[2] == "6 videos, 90 frames, 16-d embeddings of fake, label sets: tiny)"


def test_it_may_be_closed_and_pickled(tiny):
    with embedonce.open_cache(str(tiny.path)) as cache:
        expected = cache.embeddings("v1").embeddings
    assert np.array_equal(cache.embeddings("v1").embeddings, expected)
    assert np.array_equal(pickle.loads(pickle.dumps(cache)).embeddings("v1").embeddings, expected)


def test_what_the_reader_has_is_named(tiny):
    with pytest.raises(AttributeError, match=r"no attribute 'all_embeddings'; its reader has: cache\.reader\.all_emb"):
        tiny.all_embeddings("000001")
    with pytest.raises(AttributeError, match=r"'Cache' object has no attribute 'nothing'$"):
        tiny.nothing  # noqa: B018
    with pytest.raises(TypeError, match=r"opened by its path with open_cache\('x'\)"):
        embedonce.Cache("x")


def test_reading_loads_no_torch(tiny):
    code = (
        f"import sys, embedonce; cache = embedonce.open_cache({str(tiny.path)!r}); list(cache.frames('v1')); "
        "cache.to_numpy(label_set='tiny'); sys.exit(bool({'torch', 'timm', 'av'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


WRONG = [
    (lambda cache: cache.embeddings("v99"), VideoError, "has no video 'v99' (it has: v0, v1, v2 and 3 more)"),
    (lambda cache: cache.video("V1"), VideoError, "has no video 'V1': did you mean 'v1'?"),
    (lambda cache: cache.frames(3), VideoError, "has no video 3: give its uid, as text"),
    (lambda cache: cache.frames(["v1"]), VideoError, "has no video ['v1']: give its uid, as text"),
    (lambda cache: cache.embeddings("v1", 3, 1), ValueError, "t0 must not be after t1, got t0=3 and t1=1"),
    (lambda cache: cache.frames("v1", "a"), ValueError, "t0 must be a time in seconds, got 'a'"),
    (lambda cache: cache.frames("v1", 0, float("nan")), ValueError, "t1 must be a time in seconds, got nan"),
    (lambda cache: cache.embeddings("v1", view=2), ValueError, "view must be 0 to 1, got 2"),
    (lambda cache: cache.to_numpy(view=-1), ValueError, "view must be 0 to 1, got -1"),
    (lambda cache: cache.embeddings("v1", teacher="x"), TeacherError, "has no teacher 'x' (it has: first)"),
    (lambda cache: cache.embeddings("v1", dtype="int8"), ValueError, "dtype must be float32 or float16, got int8"),
    (lambda cache: cache.clips("x"), LabelSetError, "has no label set 'x' (label_set: tiny)"),
    (lambda cache: cache.to_numpy(label_set="x"), LabelSetError, "has no label set 'x' (label_set: tiny)"),
    (lambda cache: cache.clips(3), TypeError, "label_set must be a name, got 3"),
    (lambda cache: cache.clips(split="x"), ValueError, "no clips of split 'x' (clips: val 6, train 12)"),
]


@pytest.mark.parametrize("read, error, message", WRONG, ids=[message for _, _, message in WRONG])
def test_wrong_arguments_end_with_one_sentence(tiny, read, error, message):
    with pytest.raises(error, match=re.escape(message)) as raised:
        read(tiny)
    assert "\n" not in str(raised.value) and raised.value.__cause__ is None


def test_a_source_in_place_of_a_uid_is_recognized(extracted):
    with pytest.raises(LookupError, match=r"no video 'a\.mp4': that is the source of 'a'"):
        extracted.embeddings("a.mp4")


@pytest.mark.parametrize(
    "path, error, message",
    [
        (
            "nowhere",
            NotACacheError,
            "nowhere does not exist; make a cache with: python cli.py extract-teacher --data-dir",
        ),
        (None, TypeError, "path must be a str or a Path, got None"),
        ("", ValueError, "the path is empty"),
        ("foo://bar", OSError, "'foo://bar': the scheme 'foo' is not one of"),
    ],
)
def test_what_is_not_a_cache_is_not_opened(path, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=re.escape(message)):
        embedonce.open_cache(path)


def test_a_file_is_not_a_cache(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 1)
    with pytest.raises(NotACacheError, match=r"cache.json is a file; name the folder of a cache"):
        embedonce.open_cache(root / "cache.json")
