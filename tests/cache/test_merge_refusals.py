"""What is refused before a merge writes anything: one sentence, and every cache as it was."""

import os
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from embedonce.cache import documents
from embedonce.cache.errors import (
    BusyError,
    CacheError,
    DamagedError,
    IdentityMismatchError,
    LabelSetError,
    NotACacheError,
    StorageError,
)
from embedonce.cache.labels import ClipLabel
from embedonce.cache.layout import Layout
from embedonce.cache.merging.inputs import MergeArgumentError, MergeConflictError
from embedonce.cache.merging.merge import merge, planned_merge
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.removal import label_set_removal, remove, videos_removal
from embedonce.cache.removal_document import Removal, begin_removal
from embedonce.cache.schema import CacheIdentity, FrameBatch, Status
from embedonce.cache.store import open_reader, open_writer
from tests.conftest import make_batch, make_cache_identity
from tests.support.cache_parts import make_cache, plan_part, requests_of, write_label_set
from tests.support.shared_units import LABELS, PLAIN, TENSORS, batch_of, everything_below

A = {"a": range(6), "b": range(2)}
B = {"c": range(1), "d": range(7)}


@pytest.fixture(autouse=True)
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def refused(error: type[CacheError], *words: str, inputs, into, code: int = 4) -> str:
    """The message with which a merge is refused, and a dry run too: nothing is changed."""
    before = [everything_below(root) for root in inputs]
    existed, target = into.exists(), everything_below(into)
    for run in (planned_merge, merge):
        with pytest.raises(error) as caught:
            run(inputs, into)
        message = str(caught.value)
        assert caught.value.exit_code == code and all(word in message for word in words), message
        assert [everything_below(root) for root in inputs] == before
        assert into.exists() == existed and everything_below(into) == target
    return message


@pytest.fixture(params=["new", "existing"])
def into(request, tmp_path):
    """The target; it exists or not."""
    return make_cache(tmp_path / "into", {"z": range(2)}) if request.param == "existing" else tmp_path / "into"


# -- identities --------------------------------------------------------------------------------------------------------


def other_identity(**changes) -> CacheIdentity:
    return replace(make_cache_identity(), **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fps": 4.0}, ["fps: 2.0 -> 4.0"]),
        ({"jpeg_quality": 80, "decoder": "other"}, ["jpeg_quality: 90 -> 80", "decoder: test -> other"]),
        ({"teacher": make_cache_identity(weights="other").teacher}, ["teacher.weights: ", " -> other"]),
    ],
)
def test_other_settings_are_named_with_both_values_and_both_caches(tmp_path, into, changes, words):
    a, b = make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", B, identity=other_identity(**changes))
    first = into if into.exists() else a
    refused(IdentityMismatchError, f"({first} -> {b})", *words, inputs=[a, b], into=into)


def test_the_target_has_the_last_word_on_identity(tmp_path):
    a, into = make_cache(tmp_path / "a", A), make_cache(tmp_path / "into", B, identity=other_identity(view_seed=7))
    refused(IdentityMismatchError, "view_seed: 7 -> 0", str(a), str(into), inputs=[a], into=into)


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_the_target_among_the_inputs(tmp_path):
    a, b = make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", B)
    refused(MergeArgumentError, "the same folder", inputs=[b, a], into=a, code=2)
    (tmp_path / "link").symlink_to(a)
    with pytest.raises(MergeArgumentError, match="the same folder"):
        merge([tmp_path / "link"], a)
    with pytest.raises(MergeArgumentError, match="inside the other"):
        merge([a], a / "frames")
    assert a.exists() and not (a / "frames" / "cache.json").exists()


def test_an_input_given_twice(tmp_path):
    a = make_cache(tmp_path / "a", A)
    (tmp_path / "link").symlink_to(a)
    refused(MergeArgumentError, "given twice", inputs=[a, tmp_path / "link"], into=tmp_path / "into", code=2)


def test_no_cache_and_a_folder_of_other_files(tmp_path):
    a = make_cache(tmp_path / "a", A)
    refused(NotACacheError, str(tmp_path / "none"), inputs=[a, tmp_path / "none"], into=tmp_path / "into")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"mine")
    refused(NotACacheError, "is not empty and not a cache", "mine.jpg", inputs=[a], into=tmp_path / "photos")
    inside = make_cache(tmp_path / "outer", B) / "frames" / "deep"
    refused(NotACacheError, "inside the cache", inputs=[a], into=inside)


def test_a_target_that_another_process_writes(tmp_path):
    a, into = make_cache(tmp_path / "a", A), make_cache(tmp_path / "into", B)
    with closing(open_writer(into, open_reader(into).identity)), pytest.raises(BusyError):
        merge([a], into)
    with closing(open_writer(into, open_reader(into).identity)):
        assert planned_merge([a], into).num_rows == 8  # takes no lock


def test_a_target_that_is_created_meanwhile(tmp_path):
    a = make_cache(tmp_path / "a", A)
    with pytest.raises(BusyError, match="created by another process"):
        merge([a], tmp_path / "into", lambda found: make_cache(tmp_path / "into", B))


def test_a_target_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    a = make_cache(tmp_path / "a", A)

    def read_only(store) -> None:
        raise StorageError("read-only")

    monkeypatch.setattr("embedonce.cache.stores.local.LocalStore.check_writable", read_only)
    monkeypatch.setattr("embedonce.cache.merging.merge.survey", None)
    with pytest.raises(StorageError, match="read-only"):
        merge([a], tmp_path / "into")
    assert not (tmp_path / "into").exists()


# -- interrupted and damaged inputs ------------------------------------------------------------------------------------


def test_an_input_with_an_interrupted_removal(tmp_path, into):
    a = make_cache(tmp_path / "a", A)
    begin_removal(Layout.at(a), Removal(videos=("a",)))
    refused(CacheError, str(a), "a removal was interrupted", inputs=[a], into=into)


def test_a_target_with_an_interrupted_removal_is_finished_first(tmp_path):
    a, into = make_cache(tmp_path / "a", A), make_cache(tmp_path / "into", B)
    begin_removal(Layout.at(into), Removal(videos=("c", "d"), units=tuple((f"00000{n}", "") for n in range(3))))
    with pytest.raises(CacheError, match="a removal was interrupted"):
        planned_merge([a], into)
    merge([a], into)
    assert open_reader(into).video_uids == ("a", "b") and not Layout.at(into).removal.exists()


@pytest.mark.parametrize(
    "file", ["cache.json", "records/000001.json", "plan/000000.json", "labels/main/label_set.json", "quarantine"]
)
def test_a_damaged_document_of_an_input(tmp_path, into, file):
    a = make_cache(tmp_path / "a", A)
    with closing(open_writer(a, open_reader(a).identity)) as writer:
        writer.quarantine("broken", QuarantinedVideo("broken.mp4", "no video stream", 1, 2))
    path = a / file if file != "quarantine" else next((a / "quarantine").iterdir())
    path.write_bytes(path.read_bytes().replace(b'"', b"'", 1))
    refused(DamagedError, path.name, inputs=[a], into=into)


def test_a_damaged_document_of_a_withdrawn_video(tmp_path, into):
    a = make_cache(tmp_path / "a", A)
    remove(a, videos_removal(["a"], is_withdrawal=True))
    path = next((a / "withdrawn").iterdir())
    renamed = path.rename(path.with_name(f"{'0' * 32}.json"))
    refused(DamagedError, renamed.name, "renamed or copied", inputs=[a], into=into)
    renamed.rename(path)
    path.write_bytes(path.read_bytes()[:-9])
    refused(DamagedError, path.name, inputs=[a], into=into)


def test_a_damaged_shard_of_a_video_that_both_have_is_found_before_anything_is_written(tmp_path, backend):
    a = make_cache(tmp_path / "a", A, backend=backend)
    b = make_cache(tmp_path / "b", {"a": range(6)}, shard_frames=3)
    shard = sorted((a / "frames").iterdir())[0]
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    refused(DamagedError, shard.name, inputs=[a, b], into=tmp_path / "into")


def test_units_that_were_never_planned(tmp_path):
    a = make_cache(tmp_path / "a", A)
    with closing(open_writer(a, open_reader(a).identity)) as writer:
        segment = replace(open_reader(a).records["000001"].segments[0], video_uid="new")
        writer.commit_frames("000009", make_batch(segment), {})
    refused(CacheError, "in no plan (000009)", inputs=[a], into=tmp_path / "into")


# -- different content -------------------------------------------------------------------------------------------------


def described(**changes):
    return lambda video: replace(video, **changes) if video.uid == "a" else video


def changed(batch: FrameBatch, what: str) -> FrameBatch:
    """The batch with other rows of video a."""
    if not any(segment.video_uid == "a" for segment in batch.segments):
        return batch
    embeddings, crop_crc32 = batch.embeddings.copy(), batch.crop_crc32.copy()
    segments = list(batch.segments)
    if what == "embeddings":
        embeddings[0, 1] = embeddings[-1, 0]
    elif what == "pixels":
        crop_crc32[0, 1] ^= 1
    elif what == "outcome":
        status = segments[0].request_status.copy()
        status[-1] = Status.CORRUPT
        row = np.where(status == Status.OK, segments[0].request_row, -1)
        columns = {name: getattr(segments[0], name)[:-1] for name in ("frame_index", "pts")}
        segments[0] = replace(segments[0], request_status=status, request_row=row, **columns)
        kept = [row for row in range(len(batch.jpegs)) if row != len(status) - 1]
        jpegs = tuple(batch.jpegs[row] for row in kept)
        return FrameBatch(tuple(segments), jpegs, embeddings[kept], crop_crc32[kept])
    return FrameBatch(tuple(segments), batch.jpegs, embeddings, crop_crc32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"describe": described(fingerprint=64 * "e")}, "other files (their fingerprints differ)"),
        (
            {"describe": described(views=np.array([[0, 0, 256, 256, 0, 3], [1, 1, 9, 9, 0, 3]], np.int32))},
            "other views",
        ),
        ({"describe": described(rotation=90)}, "rotation is 0 and 90"),
        ({"describe": described(fingerprint="", canonical_size=(256, 256))}, "canonical_size is"),
        ({"change": partial(changed, what="embeddings")}, "the embeddings differ (cosine"),
        ({"change": partial(changed, what="pixels")}, "the teacher saw other pixels"),
        ({"change": partial(changed, what="outcome")}, "the same requests have another outcome"),
    ],
    ids=["fingerprint", "views", "rotation", "size", "embeddings", "pixels", "outcome"],
)
@pytest.mark.parametrize("where", ["two inputs", "input and target"])
def test_different_content_under_the_same_uid_is_refused_with_the_names(tmp_path, backend, changes, words, where):
    a = make_cache(tmp_path / "a", A, backend=backend)
    b = make_cache(tmp_path / "b", {"a": range(6), "d": range(3)}, **changes)
    inputs, into = ([a, b], tmp_path / "into") if where == "two inputs" else ([b], a)
    message = refused(MergeConflictError, words, "different content: 1 (a: ", str(a), str(b), inputs=inputs, into=into)
    assert "refresh --video" in message and "b:" not in message


def test_times_that_the_target_has_planned_with_other_frames_are_refused(tmp_path):
    a, into = make_cache(tmp_path / "a", A), tmp_path / "into"
    planned = requests_of("a", range(6))
    with closing(open_writer(into, open_reader(a).identity)) as writer:
        video = open_reader(a).plan()[0].videos[0]
        writer.extend_plan([video], [replace(planned, frame_index=planned.frame_index + 1)], 4)
    refused(MergeConflictError, "answered by other frames", inputs=[a], into=into)


def test_a_video_of_the_target_that_an_input_has_withdrawn(tmp_path):
    a, into = make_cache(tmp_path / "a", A), make_cache(tmp_path / "into", A | B)
    remove(a, videos_removal(["a"], is_withdrawal=True))
    refused(MergeConflictError, "for good: 1 (a)", "remove --video", str(into), inputs=[a], into=into)
    remove(into, videos_removal(["a"], is_withdrawal=True))
    merge([a], into)


def test_an_entry_in_quarantine_of_the_target_that_an_input_has_withdrawn(tmp_path):
    a, into = make_cache(tmp_path / "a", A), make_cache(tmp_path / "into", B)
    with closing(open_writer(into, open_reader(into).identity)) as writer:
        writer.quarantine("a", QuarantinedVideo("a.mp4", "damaged", 1, 2))
    remove(a, videos_removal(["a"], is_withdrawal=True))
    refused(MergeConflictError, "for good: 1 (a)", inputs=[a], into=into)


# -- label sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ("cut", "peel")}, ["2 zero-shot classes (cut, stir)", "2 zero-shot classes (cut, peel)"]),
        ({"classes": ("stir", "cut"), "prompts": (("b",), ("a",))}, ["(stir, cut)"]),
        ({"prompts": (("a",), ("other",))}, ["other prompts"]),
        ({"kind": "fitted", "prompts": (), "logit_scale": None}, ["2 fitted classes"]),
    ],
    ids=["classes", "order", "prompts", "kind"],
)
def test_label_sets_that_differ_are_described(tmp_path, into, changes, words):
    a = make_cache(tmp_path / "a", A, label_sets=(LABELS,))
    b = make_cache(tmp_path / "b", B, label_sets=(replace(LABELS, **changes),))
    refused(LabelSetError, "label set 'main'", "relabel --label-set", str(b), *words, inputs=[a, b], into=into)


@pytest.mark.parametrize("what", ["values", "scale", "none"])
def test_label_sets_with_other_heads(tmp_path, into, what):
    tensors = {
        "values": {**TENSORS, "class_text": TENSORS["class_text"][::-1].copy()},
        "scale": {**TENSORS, "logit_scale": np.array([4.0], np.float32)},
        "none": {},
    }[what]
    a = make_cache(tmp_path / "a", A, label_sets=(LABELS,))
    b = make_cache(tmp_path / "b", B, label_sets=(LABELS,), tensors=tensors)
    if into.exists():
        remove_label_sets(into)
    refused(LabelSetError, "different heads", str(a), str(b), inputs=[a, b], into=into)


def remove_label_sets(root) -> None:
    for name in open_reader(root).label_sets():
        remove(root, label_set_removal(name))


@pytest.mark.parametrize(
    "clip",
    [
        ClipLabel("a:0", "a", 0.0, 3.0, 1, "train"),
        ClipLabel("a:0", "a", 0.0, 3.0, 0, "val"),
        ClipLabel("a:0", "a", 0.0, 2.5, 0, "train"),
    ],
    ids=["label", "split", "times"],
)
@pytest.mark.parametrize("where", ["two inputs", "input and target"])
def test_clips_of_one_id_that_differ(tmp_path, clip, where):
    a, b = make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", {"a": range(6)}, label_sets=())
    with closing(open_writer(b, open_reader(b).identity)) as writer:
        write_label_set(writer, PLAIN, lambda part: [clip])
    inputs, into = ([a, b], tmp_path / "into") if where == "two inputs" else ([b], a)
    refused(LabelSetError, "label set 'plain'", f"a:0 in {a} and {b}", inputs=inputs, into=into)


def test_a_label_set_of_an_input_that_is_not_finished(tmp_path, into):
    a = make_cache(tmp_path / "a", A)
    with closing(open_writer(a, open_reader(a).identity)) as writer:
        plan_part(writer, B)
        for unit in writer.units[2:]:
            writer.commit_frames(unit.name, batch_of(unit), {})
    refused(LabelSetError, "'computed'", "not finished", "1 parts", str(a), inputs=[a], into=into)


def test_a_label_set_of_the_target_that_is_not_finished(tmp_path):
    into, b = make_cache(tmp_path / "into", A), make_cache(tmp_path / "b", B)
    with closing(open_writer(into, open_reader(into).identity)) as writer:
        plan_part(writer, {"z": range(2)})
    refused(LabelSetError, "'computed'", "not finished", "1 parts", str(into), inputs=[b], into=into)


@pytest.mark.parametrize(
    ("where", "changes", "words"),
    [
        ("plan", {"num_frames": 3}, "part 0 of the plan: unit 000000: a has 3 frames, but no frame 3"),
        ("records", {"views": [[0, 10, 256, 256, 0, 3], [1, 2, 200, 200, 1, 3]]}, "the views of a are not those"),
        ("records", {"fingerprint": 64 * "e"}, "the rows of a come from another file"),
        ("records", {"request_k": [0, 1, 2, 4]}, "the requests of a are not those of the plan"),
    ],
    ids=["plan", "views", "fingerprint", "requests"],
)
def test_documents_that_contradict_each_other_although_their_checksums_are_right(tmp_path, into, where, changes, words):
    a = make_cache(tmp_path / "a", A)
    path = a / where / "000000.json"
    document = documents.parse(path.read_bytes(), path.name)
    entries = document["videos"] if where == "plan" else document["segments"]
    entries[0] |= changes
    path.write_bytes(documents.serialize_with_checksum(document))
    refused(DamagedError, str(a), words, inputs=[a], into=into)


def test_settings_are_compared_before_anything_else_is_read(tmp_path, monkeypatch):
    a, b = make_cache(tmp_path / "a", A), make_cache(tmp_path / "b", B, identity=other_identity(fps=4.0))
    monkeypatch.setattr("embedonce.cache.merging.merge.open_input", None)
    refused(IdentityMismatchError, "fps", inputs=[a, b], into=tmp_path / "into")
