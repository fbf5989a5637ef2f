"""Texts of clips in a cache: read back as written, in one step, and known to everything that looks after a cache."""

import contextlib
import os
import uuid
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache import clip_texts, long_documents
from embedonce.cache.clip_texts import ClipTexts, VectorFile, extended, texts_document, texts_from, without_videos
from embedonce.cache.convert import convert
from embedonce.cache.errors import BusyError, DamagedError, LabelSetError
from embedonce.cache.inspect import summary
from embedonce.cache.labels import ClipLabel
from embedonce.cache.merging.merge import merge
from embedonce.cache.removal import UnknownVideoError, remove, videos_removal
from embedonce.cache.repair import repair
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.stores.stored_path import StoredPath
from embedonce.cache.verify import Remedy, verify
from tests.support.cache_parts import OTHER, make_cache, problems
from tests.support.crash_states import Explorer
from tests.support.format_reader import FormatReader
from tests.support.recorded_operations import IN_FLUX, Recorder
from tests.support.shared_units import PLAIN, everything_below

VIDEOS = {"a": range(4), "b": range(4), "c": range(4)}
TEXTS = {"a": "cut the bread", "b": "open the box", "c": "cut the bread"}  # of the one clip of each video


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    """One vector per file; the simulated disk of some tests decides what is durable."""
    monkeypatch.setattr(clip_texts, "FILE_BYTES", 1)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def width_of(root) -> int:
    return open_reader(root).identity.teacher.embed_dim


def embed(texts: list[str], width: int) -> np.ndarray:
    """A random unit vector for each text, the same whenever it is asked for."""
    rows = [np.random.default_rng(list(text.encode())).standard_normal(width) for text in texts]
    return np.stack([row / np.linalg.norm(row) for row in rows])


def write(root, texts: dict[str, str] = TEXTS, label_set: str = "plain") -> ClipTexts:
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        clips = writer.reader().label_set(label_set).clips
        store = writer.texts(label_set)
        text_of = {(uid, f"{uid}:0"): text for uid, text in texts.items()}
        new, _ = extended(store.read() or ClipTexts(), text_of, clips)
        store.write(new, partial(embed, width=store.width))
        return store.read()


def made(root, videos=VIDEOS, **settings) -> Path:
    return make_cache(root, videos, label_sets=(PLAIN,), **settings)


@pytest.fixture
def cache(tmp_path, backend) -> Path:
    write(made(tmp_path / "cache", backend=backend))
    return tmp_path / "cache"


def found(root, label_set: str = "plain") -> dict[str, tuple[str, bytes]]:
    """video -> (text of its clip, vector), of clips with a text."""
    reader = open_reader(root)
    store = reader.texts(label_set)
    texts = store.read() or ClipTexts()
    clips = [clip for clip in reader.label_set(label_set).clips if texts.text_of(clip)]
    numbers = texts.numbers(clips)
    order = np.argsort(numbers, kind="stable")
    rows = store.rows(texts, numbers[order])
    return {clips[i].video_uid: (texts.text_of(clips[i]), rows[at].tobytes()) for at, i in enumerate(order)}


def expected(texts: dict[str, str], width: int) -> dict[str, tuple[str, bytes]]:
    return {uid: (text, embed([text], width)[0].astype(np.float16).tobytes()) for uid, text in texts.items()}


def vector_files(root) -> list[Path]:
    return sorted((root / "labels" / "plain" / "texts.vectors").iterdir())


# -- reading and writing -----------------------------------------------------------------------------------------------


def test_clips_get_their_texts_and_equal_texts_one_vector(cache):
    texts = open_reader(cache).texts("plain").read()
    assert texts.texts == ("cut the bread", "open the box") and len(vector_files(cache)) == 2
    assert found(cache) == expected(TEXTS, width_of(cache)) and problems(cache) == []
    assert "3 clips" not in summary(cache)[0] and any("2 texts of 3 clips" in line for line in summary(cache))
    write(cache, dict.fromkeys(TEXTS, "cut the bread"))
    assert any("1 texts of 3 clips" in line for line in summary(cache))
    clip = ClipLabel("other", "a", 0.0, 1.0, 0, "train")
    assert texts.numbers([clip]).tolist() == [-1] and texts.text_of(clip) == ""


def test_new_and_changed_texts_are_added_and_nothing_is_embedded_twice(cache):
    asked = []
    with closing(open_writer(cache, open_reader(cache).identity)) as writer:
        store = writer.texts("plain")
        before = store.read()
        clips = writer.reader().label_set("plain").clips
        new, num_new = extended(before, {("a", "a:0"): "stir", ("b", "b:0"): ""}, clips)
        assert num_new == 1 and new.texts == (*before.texts, "stir")
        store.write(new, lambda texts: asked.extend(texts) or embed(texts, store.width))
    assert asked == ["stir"]
    assert found(cache) == expected({"a": "stir", "c": "cut the bread"}, width_of(cache))


def test_a_reader_written_from_the_document_finds_them(cache):
    there = FormatReader(cache).texts("plain")
    assert {uid: (text, vector.tobytes()) for (uid, _), (text, vector) in there.items()} == found(cache)


def test_vectors_are_of_unit_length(cache):
    store = open_reader(cache).texts("plain")
    vectors = store.vectors(store.read(), np.array([0, 1]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert store.vectors(store.read(), np.array([], np.int64)).shape == (0, store.width)


def test_a_text_tower_without_finite_vectors_changes_nothing(tmp_path):
    root = made(tmp_path / "cache")
    with closing(open_writer(root, open_reader(root).identity)) as writer:
        store, clips = writer.texts("plain"), writer.reader().label_set("plain").clips
        texts, _ = extended(ClipTexts(), {("a", "a:0"): "stir"}, clips)
        with pytest.raises(ValueError, match="embeddings that are not finite"):
            store.write(texts, lambda part: np.full((1, store.width), np.nan))
    assert open_reader(root).texts("plain").read() is None


def test_writers_that_share_a_cache_write_no_texts(cache):
    writer = open_writer(cache, open_reader(cache).identity, is_shared=True)
    with closing(writer), pytest.raises(BusyError, match="texts cannot be written"):
        writer.texts("plain")


GOOD = texts_document(ClipTexts(("x", "y"), (VectorFile("0" * 64, 2),), {("a", "1"): 0, ("a", "2"): 1}))


@pytest.mark.parametrize(
    "change",
    [
        {"texts": ["x", "x"]},
        {"texts": ["x", ""]},
        {"texts": ["x"]},
        {"texts": ["x", 1]},
        {"files": [["0" * 64, 1]]},
        {"files": [["0" * 63, 2]]},
        {"files": [["0" * 64, 2], ["0" * 64, 0]]},
        {"files": [["0" * 64, 2.0]]},
        {"clips": [["a", ["1"], [2]]]},
        {"clips": [["a", ["1"], [True]]]},
        {"clips": [["a", ["1"], [-1]]]},
        {"clips": [["a", ["1", "2"], [0]]]},
        {"clips": [["a", ["1", "1"], [0, 1]]]},
        {"clips": [["../a", ["1"], [0]]]},
        {"clips": [["a", [1], [0]]]},
        {"clips": None},
    ],
)
def test_documents_that_contradict_themselves_are_refused(change):
    assert texts_from(GOOD).numbers([ClipLabel("2", "a", 0.0, 1.0, 0, "train")]).tolist() == [1]
    with pytest.raises((ValueError, TypeError)):
        texts_from(GOOD | change)


def test_texts_of_many_clips_are_continued_in_further_files(tmp_path, monkeypatch):
    monkeypatch.setattr(long_documents, "MAX_BYTES", 20)
    root = made(tmp_path / "cache")
    write(root)
    assert (root / "labels" / "plain" / "texts.continued").is_dir()
    assert found(root) == expected(TEXTS, width_of(root)) and problems(root) == []


# -- what looks after a cache ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["bit", "missing", "document"])
def test_damage_is_found_and_repaired_without_touching_anything_else(cache, harm):
    victim = vector_files(cache)[0] if harm != "document" else cache / "labels" / "plain" / "texts.json"
    data = bytearray(victim.read_bytes())
    data[-2 if harm == "bit" else len(data) // 2] ^= 1  # the lowest bit of a value: only the checksum can tell
    victim.unlink() if harm == "missing" else victim.write_bytes(data)
    (problem,) = verify(cache).problems
    assert problem.remedy == Remedy.REDO_TEXTS and victim.name in problem.message
    with pytest.raises(DamagedError, match=victim.name):
        found(cache)
    repaired = repair(cache, None)
    assert [path.name for removal in repaired.removals for path in removal.files] == ["texts.json"]
    assert not verify(cache).problems and found(cache) == {}
    write(cache)
    assert found(cache) == expected(TEXTS, width_of(cache)) and problems(cache) == []


def test_files_that_no_document_lists_mean_nothing_and_go_with_the_next_texts(cache):
    left = cache / "labels" / "plain" / "texts.vectors" / ("0" * 64 + ".safetensors")
    left.write_bytes(b"half")
    assert problems(cache) == [f"extra: {left}"]
    write(cache, {"a": "another"})
    assert not left.exists() and problems(cache) == []


def test_removed_videos_lose_their_texts_and_vectors(cache):
    secret = vector_files(cache)
    remove(cache, videos_removal({"b"}, is_withdrawal=True))
    assert found(cache) == expected({uid: TEXTS[uid] for uid in "ac"}, width_of(cache)) and problems(cache) == []
    assert b"open the box" not in everything_below(cache) and len(vector_files(cache)) == len(secret) - 1
    remove(cache, videos_removal({"a"}, is_withdrawal=False))
    assert found(cache) == expected({"c": TEXTS["c"]}, width_of(cache))  # a text that another clip has stays


def test_vectors_that_a_repair_has_left_go_with_the_next_removed_video(cache):
    """Nothing says any more which of them are of texts of that video."""
    (cache / "labels" / "plain" / "texts.json").write_bytes(b"")
    repair(cache, None)
    assert len(vector_files(cache)) == 2
    remove(cache, videos_removal({"b"}, is_withdrawal=True))
    assert not vector_files(cache) and problems(cache) == []


def test_a_file_of_vectors_that_is_too_long_is_not_read(cache):
    with vector_files(cache)[0].open("r+b") as file:
        file.truncate(clip_texts.READ_BYTES + 1)
    with pytest.raises(DamagedError, match="more than the 16842752 that are allowed"):
        found(cache)


def test_damaged_texts_are_found_before_a_removal_changes_anything(cache):
    vector_files(cache)[0].write_bytes(b"")
    before = everything_below(cache)
    with pytest.raises(DamagedError, match=r"is damaged: the file's SHA-256 is not its name"):
        remove(cache, videos_removal({"b"}, is_withdrawal=True))
    assert everything_below(cache) == before


def test_the_vectors_that_are_kept_are_told_file_by_file():
    texts = ClipTexts(
        ("s", "t", "u", "v"),
        (VectorFile("1" * 64, 3), VectorFile("2" * 64, 1)),
        {("a", "1"): 0, ("b", "1"): 1, ("b", "2"): 2, ("a", "2"): 2},
    )
    left, rows = without_videos(texts, {"b"})
    assert left.texts == ("s", "u") and left.number_of == {("a", "1"): 0, ("a", "2"): 1} and rows == [[0, 2], []]


def test_a_converted_cache_has_the_texts(cache, tmp_path, backend):
    convert(cache, tmp_path / "other", OTHER[backend])
    assert found(tmp_path / "other") == found(cache) and problems(tmp_path / "other") == []


def test_merged_caches_have_the_texts_of_all(tmp_path, backend):
    a = made(tmp_path / "a", {"a": VIDEOS["a"]}, backend=backend)
    b = made(tmp_path / "b", {"b": VIDEOS["b"], "c": VIDEOS["c"]}, backend=backend)
    write(a, {"a": TEXTS["a"]})
    write(b, {"b": TEXTS["b"], "c": TEXTS["c"]})
    into = tmp_path / "into"
    for _ in range(2):  # again: nothing changes
        merge([a, b], into)
        assert found(into) == expected(TEXTS, width_of(into)) and problems(into) == []
    write(made(tmp_path / "d", {"b": VIDEOS["b"]}, backend=backend), {"b": "close the box"})
    before = everything_below(into)
    with pytest.raises(LabelSetError, match=r"other texts: 1 \(b:0\)"):
        merge([tmp_path / "d"], into)
    assert everything_below(into) == before


def test_a_cache_in_an_object_store_has_texts():
    root = ObjectStore.from_url(f"memory://{uuid.uuid4().hex}/cache")
    make_cache(root, VIDEOS, label_sets=(PLAIN,))
    write(root)
    assert found(root) == expected(TEXTS, width_of(root)) and problems(root) == []


# -- power cuts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path) -> Path:
    """The cache of a recorded session, without texts."""
    (tmp_path / "session").mkdir()
    (tmp_path / "scratch").mkdir()
    return made(tmp_path / "session" / "cache")


CHANGED = TEXTS | {"a": "stir"}


def violations(root: Path, script, states: list[dict[str, str]], finish) -> tuple[list[str], Explorer]:
    """What is wrong in any state that a power cut may leave.

    script: recorded, gets the cache and a function that marks which of the states is promised. finish: takes it up
    again, after which the cache is in the last state.
    """
    recorder = Recorder(root.parent)
    known = [expected(texts, width_of(root)) for texts in states]

    def examine(folder: Path) -> tuple[dict, list[str]]:
        try:
            there = found(folder / "cache")
            wrong = [
                problem.message for problem in verify(folder / "cache").problems if "interrupted" not in str(problem)
            ]
            finish(folder / "cache")
            wrong += [] if found(folder / "cache") == known[-1] else ["other texts after resuming"]
            return {"state": known.index(there)}, [*wrong, *problems(folder / "cache")]
        except Exception as error:  # whatever it is: no state may lead to it
            return {}, [f"{type(error).__name__}: {error}"]

    with recorder.recording():
        script(root, partial(recorder.mark, "state"))
    explorer = Explorer(root.parent.parent / "scratch", examine)
    return list(explorer.violations(recorder)), explorer


def write_and_change(root: Path, mark) -> None:
    write(root)
    mark(1)
    mark(IN_FLUX)
    write(root, CHANGED)
    mark(2)


@pytest.mark.crash
def test_every_state_after_a_power_cut_has_the_old_or_the_new_texts(session):
    wrong, explorer = violations(session, write_and_change, [{}, TEXTS, CHANGED], partial(write, texts=CHANGED))
    assert wrong == [] and len(explorer.examined) > 10


@pytest.mark.crash
def test_texts_before_their_vectors_are_noticed(session, monkeypatch):
    replace_file, later = StoredPath.replace, []

    def late(path, data):
        if path.name.endswith(".safetensors"):
            later.append((path, data))
            return
        replace_file(path, data)
        while later:
            replace_file(*later.pop())

    monkeypatch.setattr(StoredPath, "replace", late)
    wrong, _ = violations(session, write_and_change, [{}, TEXTS, CHANGED], partial(write, texts=CHANGED))
    assert any("DamagedError" in text for text in wrong)


@pytest.mark.crash
def test_a_removal_that_is_cut_anywhere_is_finished_by_the_next_writer(session):
    write(session)
    left = {uid: TEXTS[uid] for uid in "ac"}

    def finish(root: Path) -> None:
        with contextlib.suppress(UnknownVideoError):  # it is gone already
            remove(root, videos_removal({"b"}, is_withdrawal=True))

    wrong, explorer = violations(session, lambda root, mark: finish(root), [TEXTS, left], finish)
    assert wrong == [] and len(explorer.examined) > 10
