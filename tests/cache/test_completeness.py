"""A cache is sound only if every file that its documents imply is there and equal; what it holds besides is told."""

import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest

from embedonce.cache import commit, documents
from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import Layout
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.records import record_document, record_from, record_of
from embedonce.cache.repair import purge, repair
from embedonce.cache.schema import MAX_TIME_BASE
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import Remedy, verify
from tests.cache.test_repair import files
from tests.cache.test_verify import SUFFIX, cache, damage, flip, invoke, originals  # noqa: F401  (fixtures)
from tests.conftest import (
    make_batch,
    make_cache_identity,
    make_segment,
    planned_segment,
    planned_video,
    second_backend_slow,
)
from tests.support.crash_session import run_session
from tests.support.stored import on_disk, stored

pytestmark = pytest.mark.usefixtures("forked_workers")

NAME = "zero-shot"
FACTS = QuarantinedVideo("torn.mp4", "no video stream", 1, 2)


@pytest.fixture
def whole(cache):  # noqa: F811
    """A cache with a video in quarantine and a revised label set, and a manifest that says so."""
    writer = open_writer(cache, open_reader(cache).identity)
    writer.quarantine("torn", FACTS)
    clips = [list(part) for part in writer.reader().clip_parts(NAME).values()]
    writer.revise_clips(NAME, clips)
    writer.revise_clips(NAME, clips)
    writer.write_manifest()
    writer.close()
    assert verify(cache).problems == [] and verify(cache).extra == []
    return cache


LOST = {
    "a record": ["records/000001.json"],
    "a record and its shard": ["records/000003.json", "frames/000003.{}"],
    "a record of logits": [f"labels/{NAME}/records/000003.json"],
    "a record of logits and its shard": [f"labels/{NAME}/records/000000.json", f"labels/{NAME}/logits/000000.{{}}"],
    "all logits": [f"labels/{NAME}/{kind}/00000{n}.{end}" for n in range(4) for kind, end in (("records", "json"),)],
    "a clip part": [f"labels/{NAME}/clips/000000.json"],
    "the last revision": [f"labels/{NAME}/revisions/000002.json"],
    "an earlier revision": [f"labels/{NAME}/revisions/000001.json"],
    "the document of a label set": [f"labels/{NAME}/label_set.json"],
    "a label set": [f"labels/{NAME}"],
    "a quarantine document": ["quarantine/*.json"],
}


def lose(root, names: list[str], suffix: str) -> None:
    for name in names:
        paths = list(root.glob(name.format(suffix)))
        assert paths, name
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@second_backend_slow
@pytest.mark.parametrize("what", LOST)
@pytest.mark.integration
def test_missing_files_are_named_and_the_cache_is_not_called_sound(whole, backend, what):
    lose(whole, LOST[what], SUFFIX[backend])
    before = files(whole)
    code, told = invoke("verify-cache", "--cache-dir", whole, "--no-pixels")
    assert code == 4 and "MISSING" in told and "sound" not in told, told
    missing = [problem for problem in verify(whole).problems if problem.remedy == Remedy.MISSING]
    assert missing and all(not problem.path.exists() and str(problem.path) in problem.message for problem in missing)
    if what not in ("a record", "a record and its shard"):  # their logits are computed again
        code, told = invoke("repair-cache", "--cache-dir", whole, "--yes")
        assert code == 4 and "repair-cache changed nothing" in told and files(whole) == before, told


@pytest.mark.parametrize("what", ["a record of logits", "a clip part", "an earlier revision"])
@pytest.mark.integration
def test_files_that_documents_imply_are_missed_without_a_manifest(whole, backend, what):
    (whole / "manifest.json").unlink()
    names = [name.replace("000003", "000001") for name in LOST[what]]
    if what == "a clip part":
        shutil.rmtree(whole / "labels" / NAME / "revisions")
        (whole / "labels" / NAME / "revisions").mkdir()
    lose(whole, names, SUFFIX[backend])
    assert {problem.remedy for problem in verify(whole).problems} == {Remedy.MISSING}


def test_a_label_set_without_its_document_is_missed_without_a_manifest(whole):
    (whole / "manifest.json").unlink()
    (whole / "labels" / NAME / "label_set.json").unlink()
    (problem,) = verify(whole).problems
    assert problem.remedy == Remedy.MISSING and problem.label_set == NAME


def test_parts_of_the_plan_are_missed(tmp_path, backend):
    run_session(tmp_path / "c", backend)
    with_labels, bare = tmp_path / "c", tmp_path / "bare"
    for root in (with_labels, bare):
        writer = open_writer(root, make_cache_identity(backend))
        for uid in ("x", "y"):
            writer.extend_plan([planned_video(uid)], [planned_segment(uid, 2)], 4)
        writer.write_manifest()
        writer.close()
        last = max((root / "plan").iterdir())
        last.unlink()  # nothing of it is committed
        assert [on_disk(p.path) for p in verify(root).problems if p.remedy == Remedy.MISSING] == [last]


def test_a_quarantine_that_a_unit_was_finished_without_is_missed(tmp_path, backend):
    writer = open_writer(tmp_path / "c", make_cache_identity(backend))
    videos = [planned_video(uid, end_sec=30.0, num_frames=900) for uid in ("a", "b")]
    writer.extend_plan(videos, [planned_segment("a", 2), planned_segment("b", 2)], 8)
    writer.commit_frames("000000", make_batch(make_segment("a", 0)), {})
    writer.quarantine("b", FACTS)
    writer.close()
    assert not [p for p in verify(tmp_path / "c").problems if p.remedy == Remedy.MISSING]
    (path,) = (tmp_path / "c" / "quarantine").iterdir()
    path.unlink()
    (problem,) = [p for p in verify(tmp_path / "c").problems if p.remedy == Remedy.MISSING]
    assert on_disk(problem.path) == path and "unit 000000 was committed without b" in problem.message


@pytest.mark.integration
def test_nothing_is_reported_missing_after_a_repair_or_a_purge(whole, backend):
    flip(whole / "frames" / f"000001.{SUFFIX[backend]}")
    flip(whole / "labels" / NAME / "logits" / f"000002.{SUFFIX[backend]}")
    flip(next((whole / "quarantine").iterdir()))
    repair(whole, None)
    assert verify(whole).problems == []
    purge(whole)
    report = verify(whole)
    assert report.problems == [] and report.extra == [] and report.num_pending == 1
    assert report.unfinished == {NAME: (1, 0)}
    told = invoke("verify-cache", "--cache-dir", whole, "--no-pixels")[1]
    assert (
        f"label set {NAME} is not finished: 1 units without logits" in told
        and "sound: everything written so far is" in told
    )
    (whole / "records" / "000000.json").unlink()
    assert Remedy.MISSING in {problem.remedy for problem in verify(whole).problems}  # the manifest still knows the rest


def test_an_interrupted_run_misses_nothing(tmp_path, backend):
    writer = open_writer(tmp_path / "c", make_cache_identity(backend))
    writer.extend_plan([planned_video("a", num_frames=900, end_sec=30.0)], [planned_segment("a", 8)], 4)
    writer.write_manifest()
    writer.close()
    report = verify(tmp_path / "c")
    assert (report.problems, report.num_pending) == ([], 2)


@pytest.mark.parametrize("content", [None, b"{}", b"[1]", "older", "elsewhere"])
@pytest.mark.integration
def test_a_manifest_of_another_form_is_ignored(whole, content):
    path = whole / "manifest.json"
    document = documents.read(stored(path))
    if content == "older":
        content = documents.serialize_with_checksum(
            {key: value for key, value in document.items() if key not in ("labels", "plan_parts")}
        )
    elif content == "elsewhere":
        content = documents.serialize_with_checksum(document | {"labels": {"../../etc": document["labels"][NAME]}})
    path.unlink() if content is None else path.write_bytes(content)
    (next((whole / "quarantine").iterdir())).unlink()
    assert verify(whole).problems == []


# -- files besides -------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_files_that_nothing_refers_to_are_listed_and_left_unchanged(whole, backend):
    names = ["notes.txt", "plan/old.txt", f"frames/000009.{SUFFIX[backend]}", "records/.tmp-1-00000000", "labels/x/y"]
    names += [f"labels/{NAME}/head.pt", f"labels/{NAME}/logits/000009.{SUFFIX[backend]}", "quarantine/a.txt"]
    names += [f"labels/{NAME}/clips/a.bak", "attempts/b", "frames/more/shard"]
    for name in names:
        (whole / name).parent.mkdir(exist_ok=True)
        (whole / name).write_text("mine")
    expected = {whole / name for name in names} - {whole / "labels/x/y", whole / "frames/more/shard"}
    before, report = files(whole), verify(whole)
    assert set(map(on_disk, report.extra)) == expected | {whole / "labels/x", whole / "frames/more"}
    assert report.problems == []
    code, told = invoke("verify-cache", "--cache-dir", whole, "--no-pixels")
    assert code == 0 and told.count("extra: ") == len(names) and "sound: everything" in told
    assert invoke("repair-cache", "--cache-dir", whole, "--yes")[0] == 0 and files(whole) == before


# -- absurd values under right checksums ---------------------------------------------------------------------------


def reseal(path, change) -> None:
    document = documents.parse(path.read_bytes(), "it")
    change(document)
    del document["format_version"]
    path.write_bytes(documents.serialize_with_checksum(document))


def first_segment(field, value):
    return lambda document: document["segments"][0].update({field: value})


def first_video(field, value):
    return lambda document: document["videos"][0].update({field: value})


def planned(field, value):
    return lambda document: document["units"][0]["segments"][0].update({field: value})


ABSURD = {
    "time base of a record": ("records/000000.json", first_segment("time_base", [2**62, 1])),
    "small time base of a record": ("records/000000.json", first_segment("time_base", [1, 2**62])),
    "another time base than the plan": ("records/000000.json", first_segment("time_base", [1, 15361])),
    "another beginning than the plan": ("records/000000.json", first_segment("first_pts", -(2**40))),
    "time base of the plan": ("plan/000000.json", first_video("time_base", [1, 2**62])),
    "size of a file": ("plan/000000.json", first_video("num_bytes", -1)),
    "number of frames": ("plan/000000.json", first_video("num_frames", -5)),
    "too few frames": ("plan/000000.json", first_video("num_frames", 2)),
    "end before the beginning": ("plan/000000.json", first_video("end_sec", -1e9)),
    "times after the end": ("plan/000000.json", first_video("end_sec", 0.25)),
    "a view outside": ("plan/000000.json", first_video("views", [[0, 0, 5000, 5000, 0, 3]] * 2)),
    "too few views": ("plan/000000.json", first_video("views", [[0, 0, 10, 10, 0, 3]])),
    "a time before the beginning": ("plan/000000.json", planned("request_k", [-5, 0, 1, 2, 3])),
    "frames per second": ("cache.json", lambda document: document.update(fps=5e-324)),
    "many frames per second": ("cache.json", lambda document: document.update(fps=1e12)),
    "quality": ("cache.json", lambda document: document.update(jpeg_quality=-1)),
    "short side": ("cache.json", lambda document: document.update(canonical_short_side=-256)),
    "deviation": ("cache.json", lambda document: document["teacher"].update(std=[0.0, 0.1, 0.1])),
    "mean": ("cache.json", lambda document: document["teacher"].update(mean=[0.1])),
    "parameters": ("cache.json", lambda document: document["teacher"].update(parameters_total=-1)),
    "resizing": ("cache.json", lambda document: document["teacher"].update(resize_mode="longest")),
}


@pytest.mark.parametrize("what", ABSURD)
@pytest.mark.integration
def test_absurd_values_under_right_checksums_are_found(cache, what):  # noqa: F811
    name, change = ABSURD[what]
    reseal(cache / name, change)
    before = files(cache)
    code, told = invoke("verify-cache", "--cache-dir", cache, "--no-pixels")
    assert code == 4 and "sound" not in told and "Traceback" not in told
    plain = files(cache)
    assert plain == before


def test_frames_of_later_times_are_no_answers(cache):  # noqa: F811
    def swapped(batch):
        segment = batch.segments[0]
        return dataclasses.replace(
            batch, segments=(dataclasses.replace(segment, request_row=segment.request_row[::-1]),)
        )

    damage(cache, "000000", swapped)
    messages = [problem.message for problem in verify(cache).problems]
    assert any("answered by a frame that is shown later" in message for message in messages)
    assert any("in another order" in message for message in messages)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.integration
def test_logits_that_are_not_finite_are_found(tmp_path, backend, value):
    """No writer commits them: the shard is made by the back end itself, and its record vouches for it."""
    root = tmp_path / "c"
    run_session(root, backend)
    with contextlib.closing(open_reader(root)) as reader:
        keys = reader.records["000000"].keys
    back_end, (shards, records) = BACKENDS[backend], Layout.at(root).logit_paths("main")
    made = back_end.encode_logits(keys, np.full((len(keys), 2, 2), value, np.float32))
    on_disk(shards / f"000000{back_end.suffix}").write_bytes(made.data)
    facts = {"num_bytes": len(made.data), "sha256": commit.sha256(made.data), "index": made.index}
    reseal(on_disk(records / "000000.json"), lambda document: document.update(facts))
    (root / "labels" / "main" / "tensors.safetensors").unlink()
    reseal(root / "labels" / "main" / "label_set.json", lambda document: document.update(tensors_sha256=None))
    told = [problem for problem in verify(root).problems if "not finite" in problem.message]
    assert [(problem.unit, problem.remedy) for problem in told] == [("000000", Remedy.REDO_LOGITS)]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(name="other"),
        lambda document: document.update(num_bytes=-1),
        lambda document: document.pop("reason"),
    ],
)
@pytest.mark.integration
def test_an_impossible_quarantine_document_is_moved(whole, change):
    (path,) = (whole / "quarantine").iterdir()
    reseal(path, change)
    assert Remedy.FORGET in {problem.remedy for problem in verify(whole).problems}
    repair(whole, None)
    assert not path.exists() and verify(whole).problems == []


def test_clips_of_videos_that_were_never_planned_are_found(whole):
    path = max((whole / "labels" / NAME / "revisions").iterdir())
    reseal(path, lambda document: document["parts"][0][0].update(video_uid="nobody"))
    assert any("clips of nobody" in problem.message for problem in verify(whole).problems)


def test_the_time_base_is_bounded_where_it_is_written():
    batch = make_batch(make_segment("v", 1))
    for base, is_right in (((1, MAX_TIME_BASE), True), ((MAX_TIME_BASE, 1), True), ((1, MAX_TIME_BASE + 1), False)):
        segments = (dataclasses.replace(batch.segments[0], time_base=base),)
        record = record_of("000000", BACKENDS["hdf5"].encode_frames(batch), "0" * 64, segments, 1, {})
        document = json.loads(json.dumps(record_document(record)))
        if is_right:
            assert record_from(document, "it").segments[0].time_base == base
        else:
            with pytest.raises(DamagedError, match="time base of v"):
                record_from(document, "it")


def test_places_of_the_manifest_are_those_of_the_layout(whole):
    manifest = documents.read(Layout.at(whole).manifest)
    assert manifest["plan_parts"] == 1 and set(manifest["labels"]) == {NAME}
    assert manifest["labels"][NAME] == {
        "clips": ["000000"],
        "revisions": ["000001", "000002"],
        "records": ["000000", "000001", "000002", "000003"],
    }
    commit.remove(whole / "manifest.json")
    assert verify(whole).problems == []
