"""search(): every kind of query against plain products with all stored embeddings."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.errors import DamagedError, IdentityMismatchError, LabelSetError, NotACacheError, StorageError
from embedonce.cache.reader import CacheReader
from embedonce.cache.removal import remove, videos_removal
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores import registry as stores
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.search.index_parts import HEAD, SUFFIX
from embedonce.pipeline.search.search import find_duplicates, search
from embedonce.pipeline.search.settings import SearchConfig
from tests.conftest import make_cache_identity
from tests.metrics.test_near_duplicates import expected_pairs
from tests.support.fake_teacher import FakeTeacher
from tests.support.memory_store import MemoryStore
from tests.support.sheet_cache import make_sheet_cache
from tests.support.tiny_cache import CLASSES, make_tiny_cache
from tests.support.tiny_texts import vector_of, write_texts


def stored_rows(cache: Path) -> tuple[list[tuple[str, float]], np.ndarray]:
    """(video, time) of every row, and (N, D) float64 embeddings of view 0."""
    reader, places, vectors = open_reader(cache), [], []
    for unit, record in reader.records.items():
        places += [(segment.video_uid, t) for segment in record.segments for t in segment.t_sec.tolist()]
        vectors.append(reader.all_embeddings(unit)[:, 0].astype(np.float64))
    return places, np.concatenate(vectors)


def expected(cache: Path, query: np.ndarray) -> list[tuple[str, float, float]]:
    """(video, time, score) of all rows, best first."""
    places, vectors = stored_rows(cache)
    query = query.astype(np.float64)
    scores = vectors @ (query / np.linalg.norm(query))
    return [(*places[row], pytest.approx(scores[row], abs=1e-6)) for row in np.argsort(-scores, kind="stable")]


def listed(moments) -> list[tuple[str, float, float]]:
    return [(moment.video_uid, moment.t_sec, moment.score) for moment in moments]


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def text_vector(text: str) -> np.ndarray:
    return FakeTeacher().class_text([[text]])[0][0]


def test_a_text_is_embedded_once_and_nothing_is_written_into_the_cache(tiny, loader):
    before = files_of(tiny)
    for _ in range(2):
        assert listed(search(tiny, text="cup", top=180, min_gap=0)) == expected(tiny, text_vector("cup"))
    assert len(loader.loaded) == 1
    assert search(str(tiny), text="knife", top=1) != search(open_reader(tiny), text="cup", top=1)
    assert len(loader.loaded) == 2 and files_of(tiny) == before


def test_a_damaged_vector_of_a_text_is_computed_again(tiny, loader, tmp_path):
    first = search(tiny, text="cup", index_dir=tmp_path / "index")
    (stored,) = (tmp_path / "index" / "texts").glob("*/*")
    data = bytearray(stored.read_bytes())
    data[0] ^= 1
    stored.write_bytes(data)
    assert search(tiny, text="cup", index_dir=tmp_path / "index") == first and len(loader.loaded) == 2


def test_a_text_of_the_cache_needs_no_teacher(own_tiny, loader):
    write_texts(own_tiny)
    found = search(own_tiny, text="green number 1", top=180, min_gap=0)
    assert listed(found) == expected(own_tiny, vector_of("green number 1").astype(np.float16))
    assert loader.loaded == [] and found[0].label == "green"


def test_the_teacher_of_the_cache_is_the_only_one(tiny, loader):
    loader.changes = {"weights_sha256": "1" * 64}
    with pytest.raises(IdentityMismatchError, match="weights_sha256"):
        search(tiny, text="cup")
    loader.changes = {}
    search(tiny, text="cup", teacher_weights="mine.pt", seed=3)
    assert [options.weights for options in loader.loaded] == ["random", "mine.pt"] and loader.loaded[-1].seed == 3


def test_the_teacher_is_loaded_with_the_given_options(tiny, monkeypatch):
    given = {}
    monkeypatch.setattr(teacher_loading, "teacher_of", lambda reader, **options: given.update(options) or FakeTeacher())
    options = {
        "teacher_model": "a",
        "teacher_module": None,
        "teacher_onnx": Path("b"),
        "teacher_torchscript": Path("c"),
    }
    options |= {"teacher_weights": "d", "teacher_activation": "gelu", "teacher_preprocess": "laion2b"}
    options |= {"device": "cpu", "seed": 4}
    search(tiny, text="cup", **options)
    assert given == options


@pytest.mark.parametrize("is_known_before", [True, False])
def test_a_teacher_without_a_text_tower(tiny, loader, is_known_before):
    loader.has_text_tower = not is_known_before
    loader.teacher_type = type("Wordless", (), {n: v for n, v in vars(FakeTeacher).items() if n != "class_text"})
    with pytest.raises(InputError, match="the teacher fake of this cache has no text tower, which --text needs"):
        search(tiny, text="cup")
    assert len(loader.loaded) == (not is_known_before)


def test_a_stored_moment_is_searched_for_without_a_teacher(tiny, loader):
    places, vectors = stored_rows(tiny)
    for row in (0, 37):
        uid, t_sec = places[row]
        others = [one for one in expected(tiny, vectors[row]) if one[0] != uid or abs(one[1] - t_sec) >= 1]
        found = search(tiny, video=uid, time=t_sec + 0.2, min_gap=1, top=500)
        assert {one.video_uid for one in found} == {f"v{number}" for number in range(12)}
        assert listed(found)[0] == others[0]
        exact = search(tiny, video=uid, time=t_sec, min_gap=0, top=500)
        assert listed(exact) == [one for one in expected(tiny, vectors[row]) if one[:2] != (uid, t_sec)]
    assert loader.loaded == []


def test_a_video_may_be_named_by_its_path(extracted):
    (video,) = [v for part in open_reader(extracted).plan() for v in part.videos if v.source == "a.mp4"]
    found = search(extracted, video="a.mp4", time=1.0, min_gap=0.5)
    assert found == search(extracted, video=video.uid, time=1.0, min_gap=0.5)
    assert {one.source for one in found} == {"a.mp4", "b.mp4"} and found[0].label in ("cut", "stir")


def test_an_image_is_seen_as_the_teacher_sees_frames(extracted, loader, tmp_path):
    """The stored frame as an image file gives the embedding of the stored frame."""
    reader = open_reader(extracted)
    unit = next(iter(reader.records))
    (tmp_path / "frame.jpg").write_bytes(reader.frames(unit).jpeg(2))
    best = search(extracted, image=tmp_path / "frame.jpg", top=1)[0]
    assert (best.unit, best.row) == (unit, 2) and best.score > 0.9999 and len(loader.loaded) == 1
    assert best.thumbnail == reader.frames(unit).jpeg(2)


def test_an_image_on_its_side_is_set_upright(extracted, tmp_path):
    reader = open_reader(extracted)
    frame = canonical_frame.decode_jpeg(reader.frames(next(iter(reader.records))).jpeg(2))
    exif = frame.getexif()
    exif[274] = 6
    frame.save(tmp_path / "upright.png")
    frame.transpose(canonical_frame._CLOCKWISE[270]).save(tmp_path / "side.jpg", exif=exif, quality=95)
    upright, side = (search(extracted, image=str(tmp_path / name), top=3) for name in ("upright.png", "side.jpg"))
    assert side[0].t_sec == upright[0].t_sec and side[0].score == pytest.approx(upright[0].score, abs=1e-3)


def test_a_class_is_searched_for_by_its_stored_vector(extracted, loader):
    head = open_reader(extracted).head("zero-shot")
    found = search(extracted, class_name="stir", top=100, min_gap=0)
    assert listed(found) == expected(extracted, head["class_text"][1]) and loader.loaded == []
    with pytest.raises(InputError, match=r"label set 'zero-shot' has no class 'stirr' \(did you mean 'stir'\?\)"):
        search(extracted, class_name="stirr")


def test_classes_of_a_fitted_head_have_no_vectors(tiny):
    with pytest.raises(InputError, match="'tiny' has no vectors of its classes, because its logits are fitted"):
        search(tiny, class_name="red")


def test_only_view_0_is_searched_in_a_new_index_of_a_grown_cache(extracted, tmp_path, loader):
    cache = tmp_path / "cache"
    shutil.copytree(extracted, cache)
    assert len(search(cache, text="cup", top=100, min_gap=0)) == 18
    assert (tmp_path / "user" / "embedonce" / "search").is_dir()


def test_a_grown_cache_is_searched_whole(tmp_path, loader):
    small, large = make_tiny_cache(tmp_path / "small", 3), make_tiny_cache(tmp_path / "large", 12)
    assert len(search(small, text="cup", top=500, min_gap=0)) == 45
    shutil.rmtree(small)
    shutil.copytree(large, small)
    found = search(small, text="cup", top=500, min_gap=0)
    assert listed(found) == expected(large, text_vector("cup"))


def test_a_split_and_its_label_set(tiny):
    found = search(tiny, text="cup", split="val", top=500, min_gap=0)
    val = [one for one in expected(tiny, text_vector("cup")) if int(one[0][1:]) % 3 == 0]
    assert listed(found) == val and {one.label for one in found} <= set(CLASSES)
    with pytest.raises(InputError, match="label set 'tiny' has no clip with a frame in split test"):
        search(tiny, text="cup", split="test")
    with pytest.raises(LabelSetError, match="no label set 'other'"):
        search(tiny, text="cup", label_set="other")


def test_labels_are_those_of_the_clips(tiny):
    clips = {(clip.video_uid, clip.start_sec): clip.label for clip in open_reader(tiny).label_set().clips}
    for moment in search(tiny, text="cup", top=500, min_gap=0):
        assert moment.label == CLASSES[clips[moment.video_uid, moment.t_sec // 2.5 * 2.5]]


def test_an_index_whose_bytes_changed_is_made_again(tiny, tmp_path, caplog):
    options = {"text": "cup", "index_dir": tmp_path / "index"}
    found = search(tiny, **options)
    (part,) = (tmp_path / "index").glob("*/*.f16")
    stat, data = part.stat(), bytearray(part.read_bytes())
    data[::2] = bytes(len(data[::2]))
    with part.open("r+b") as file:
        file.write(data)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with caplog.at_level(logging.WARNING):
        assert search(tiny, **options) == found
    assert "is damaged: its vectors are read from the cache again" in caplog.text


def test_videos_and_times_that_do_not_exist(extracted, tiny):
    with pytest.raises(InputError, match=r"has no video 'a.mp' \(did you mean 'a.mp4'\?\)"):
        search(extracted, video="a.mp", time=0)
    for time in (-1, 100, float("nan")):
        with pytest.raises(InputError, match=r"--time .* is outside of video v1, whose frames in the cache are from"):
            search(tiny, video="v1", time=time)


def test_a_time_in_a_gap_shows_nothing(tmp_path):
    cache = make_sheet_cache(tmp_path / "cache")
    for time, reason in ((1.2, "corrupt"), (4.5, "redacted"), (7.9, "reshaped"), (11.9, "missing")):
        with pytest.raises(InputError, match=rf"broken.mp4 has no frame at --time {time:g}: it is {reason} there"):
            search(cache, video="garden/broken.mp4", time=time)
    assert search(cache, video="garden/broken.mp4", time=2.5, top=1)  # the first time after a gap


def test_images_that_cannot_be_read(tiny, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"text.jpg cannot be used: text.jpg: it is not an image of a format"):
        search(tiny, image=tmp_path / "text.jpg")
    with pytest.raises(InputError, match=r"gone.png cannot be used: gone.png: No such file"):
        search(tiny, image=tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "nothing to search for: give --text TEXT"),
        ({"text": "a", "class_name": "b"}, "--text and --class-name exclude each other"),
        ({"text": " \n"}, "--text must be a text that is not empty"),
        ({"video": "v1"}, "--video and --time belong together"),
        ({"time": 1.0, "text": "a"}, "--video and --time belong together"),
        ({"text": "a", "top": 0}, "--top must be greater than 0, got 0"),
        ({"text": "a", "min_gap": -1.0}, "--min-gap must be 0 or more"),
        ({"text": "a", "duplicates": True}, "--duplicates compares all frames and cannot be used with --text"),
    ],
)
def test_wrong_arguments_are_refused(tiny, query, message):
    with pytest.raises(ValueError, match=message):
        search(tiny, **query)


def test_places_that_cannot_be_searched_or_written(tiny, own_tiny, tmp_path):
    with pytest.raises(NotACacheError):
        search(tmp_path, text="cup")
    open_writer(tmp_path / "empty", make_cache_identity(num_views=0)).close()
    with pytest.raises(InputError, match="has no frames to search: run extract-teacher first"):
        search(tmp_path / "empty", text="cup")
    with pytest.raises(NotACacheError, match="is inside the cache"):
        search(own_tiny, text="cup", index_dir=own_tiny / "index")
    with pytest.raises(NotACacheError, match="is inside the cache"):
        search(own_tiny, text="cup", index_dir=own_tiny)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another folder with --index-dir"):
        search(tiny, video="v1", time=0.0, index_dir=tmp_path / "file")


def test_a_cache_behind_a_url(tiny, monkeypatch):
    store = MemoryStore()
    for path, data in files_of(tiny).items():
        store.replace(path.relative_to(tiny).as_posix(), data)
    monkeypatch.setitem(stores._FACTORIES, "mem", lambda url: store)
    assert search("mem://bucket/cache", video="v1", time=1.0) == search(tiny, video="v1", time=1.0)


def test_errors_of_reading_the_cache_say_nothing_of_the_index(tiny, monkeypatch):
    def fail(self, unit):
        raise StorageError("the bucket does not answer")

    monkeypatch.setattr(CacheReader, "all_embeddings", fail)
    with pytest.raises(StorageError, match=r"^the bucket does not answer$"):
        search(tiny, video="v1", time=1.0)


def test_a_text_whose_vector_cannot_be_kept_is_searched_all_the_same(tiny, tmp_path, loader, caplog):
    found = search(tiny, text="cup")
    search(tiny, video="v1", time=1.0, index_dir=tmp_path / "index")
    (tmp_path / "index" / "texts").write_text("")
    with caplog.at_level(logging.WARNING):
        assert search(tiny, text="cup", index_dir=tmp_path / "index") == found
    assert "the vector of the text is not kept for later searches" in caplog.text


def test_a_damaged_cache_is_named_and_half_an_index_is_no_index(own_tiny, tmp_path):
    shard = own_tiny / "frames" / "000007.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedError, match=r"000007.h5 is damaged"):
        search(own_tiny, text="cup", index_dir=tmp_path / "index")
    assert not list((tmp_path / "index").glob("*/*.f16"))


def test_near_duplicates_are_named_with_their_frames(tiny):
    config = SearchConfig(cache_dir=tiny, duplicates=True, threshold=0.9, top=20)
    found = find_duplicates(config)
    places, vectors = stored_rows(tiny)
    pairs = expected_pairs(vectors, [uid for uid, _ in places], 0.9)[:20]
    assert [((p.first.video_uid, p.first.t_sec), (p.second.video_uid, p.second.t_sec)) for p in found.pairs] == [
        (places[i], places[j]) for i, j, _ in pairs
    ]
    assert len(found.outliers) == 12 and found.outliers[0].cosine <= found.outliers[-1].cosine
    val = find_duplicates(SearchConfig(cache_dir=tiny, duplicates=True, threshold=0.9, split="val"))
    assert {frame.video_uid for pair in val.pairs for frame in (pair.first, pair.second)} <= {"v0", "v3", "v6", "v9"}
    assert len(val.outliers) == 4


def test_too_many_frames_are_not_compared_with_each_other(tiny, monkeypatch):
    monkeypatch.setattr("embedonce.pipeline.search.search.MAX_COMPARED_ROWS", 100)
    with pytest.raises(InputError, match="180 are more than 100; choose some with --split"):
        find_duplicates(SearchConfig(cache_dir=tiny, duplicates=True))


def test_nothing_is_left_of_removed_videos_in_any_index_of_the_cache(tmp_path):
    root, indexes = make_sheet_cache(tmp_path / "cache"), tmp_path / "indexes"
    reader = open_reader(root)
    removed = reader.all_embeddings("000001")[:, 0].tobytes()
    query = {"video": "take2", "time": 1.0, "index_dir": indexes}
    search(root, **query)
    (folder,) = indexes.iterdir()
    shutil.copytree(folder, indexes / f"{folder.name}-{'0' * 24}")  # as of a student, which is not searched again
    remove(root, videos_removal([reader.records["000001"].segments[0].video_uid], is_withdrawal=True))
    search(root, **query)
    assert not any(removed in path.read_bytes() for path in indexes.glob("*/*"))
    remove(root, videos_removal(open_reader(root).video_uids, is_withdrawal=True))
    with pytest.raises(InputError, match="has no frames to search"):
        search(root, **query)
    assert len(list(indexes.glob(f"*/{HEAD}"))) == 2 and not list(indexes.glob(f"*/*{SUFFIX}"))
