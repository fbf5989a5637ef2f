"""Removing videos and label sets: nothing of them is left, everything else is unchanged, and no kill leaves a ruin."""

import contextlib
import json
import os
import shutil
import uuid
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import documents, files, inspect, long_documents
from embedonce.cache.convert import convert
from embedonce.cache.errors import BusyError, CacheError, DamagedError, LabelSetError
from embedonce.cache.layout import Layout
from embedonce.cache.records import read_record
from embedonce.cache.removal import UnknownVideoError, label_set_removal, planned, remove, videos_removal
from embedonce.cache.repair import repair
from embedonce.cache.schema import FORMAT_VERSION, FORMAT_VERSION_2
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.stores.local_copies import LocalCopies
from embedonce.cache.stores.object_store import ObjectStore
from embedonce.cache.verify import Remedy, verify
from embedonce.cache.withdrawn import withdrawn_videos
from tests.conftest import planned_segment, planned_video, second_backend_slow
from tests.support.crash_states import Explorer
from tests.support.format_reader import FormatReader
from tests.support.recorded_operations import Killed, Naming, Recorder
from tests.support.shared_units import SECRET, content, everything_below, make_shared_cache, secrets
from tests.support.stored import stored

withdrawal = partial(videos_removal, is_withdrawal=True)


@pytest.fixture
def cache(tmp_path, backend) -> Path:
    return make_shared_cache(tmp_path / "cache", backend)


def complaints(root: Path) -> list[str]:
    report = verify(root)
    return [problem.message for problem in report.problems] + [f"extra: {path}" for path in report.extra]


def left_of_secret(root: Path) -> list[bytes]:
    below = everything_below(root)
    return [secret for secret in secrets() if secret in below]


def invoke(*arguments, **keywords) -> tuple[int, str]:
    ran = CliRunner().invoke(cli.main, list(map(str, arguments)), **keywords)
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.exit_code, ran.output


# -- what is left ------------------------------------------------------------------------------------------------------


def test_nothing_of_a_removed_video_is_left_and_the_rest_is_as_if_it_had_never_been_there(cache, tmp_path, backend):
    assert len(left_of_secret(cache)) == len(secrets())
    summary = remove(cache, withdrawal([SECRET]))
    assert [(v.uid, v.num_rows, v.num_units, v.num_clips) for v in summary.videos] == [(SECRET, 8, 3, 3)]
    assert left_of_secret(cache) == [] and complaints(cache) == []
    never = make_shared_cache(tmp_path / "never", backend, without=SECRET)
    assert content(cache) == content(never) and len(content(cache)) > 30
    assert not Layout.at(cache).removal.exists()


def test_leftovers_of_repairs_and_of_killed_runs_are_removed_too(cache, backend):
    suffix = {"hdf5": "h5", "webdataset": "tar"}[backend]
    bytes_of_secret = (cache / "frames" / f"000001.{suffix}").read_bytes()
    (cache / "frames" / f"000099.{suffix}").write_bytes(bytes_of_secret)
    (cache / "records" / ".tmp-abc").write_bytes(SECRET.encode())
    (cache / "file_fingerprints.json").write_bytes(SECRET.encode())
    (cache / "removed" / "000001" / "frames").mkdir(parents=True)
    (cache / "removed" / "000001" / "frames" / f"000001.{suffix}").write_bytes(bytes_of_secret)
    assert remove(cache, withdrawal([SECRET])).num_moved == 1
    assert left_of_secret(cache) == [] and not (cache / "removed").exists()


@pytest.fixture
def short_files(monkeypatch):
    """Clip lists, revisions and manifests are continued, with about one value in each file."""
    monkeypatch.setattr(long_documents, "MAX_BYTES", 150)


def continuations(root: Path) -> list[Path]:
    return sorted(root.rglob("*.continued/*.json"))


def test_nothing_of_a_removed_video_is_left_in_continued_documents(tmp_path, backend, short_files):
    root = make_shared_cache(tmp_path / "cache", backend)
    with_secret = [path for path in continuations(root) if SECRET.encode() in path.read_bytes()]
    places = {str(path.parent.relative_to(root)) for path in with_secret}
    labels = [f"labels/{name}" for name in ("main", "computed", "plain")]
    clips = [f"{place}/clips/000000.continued" for place in labels]
    revisions = [f"{place}/revisions/00000{number}.continued" for place in labels for number in (1, 2)]
    assert places == {"manifest.continued", *clips, *revisions}
    summary = remove(root, withdrawal([SECRET]))
    assert summary.videos[0].num_clips == 3
    assert left_of_secret(root) == [] and complaints(root) == []
    assert content(root) == content(make_shared_cache(tmp_path / "never", backend, without=SECRET))
    assert {path.parent.relative_to(root).as_posix() for path in continuations(root)} >= places


def test_continuations_that_no_document_lists_are_removed_too(tmp_path, short_files):
    root = make_shared_cache(tmp_path / "cache", "hdf5")
    clips = root / "labels" / "main" / "clips"
    found = next(path for path in continuations(clips) if SECRET.encode() in path.read_bytes())
    unlisted = clips / "000001.continued", clips / "000009.continued", clips.with_name("revisions") / "000003.continued"
    for folder in unlisted:
        folder.mkdir(exist_ok=True)
        (folder / f"{'1' * 64}.json").write_bytes(found.read_bytes())
        (folder / ".tmp-abc").write_bytes(found.read_bytes())
    (clips / "notes.continued").mkdir()
    (clips / "notes.continued" / "mine.json").write_text("not of the cache")
    remove(root, withdrawal([SECRET]))
    assert left_of_secret(root) == [] and complaints(root) == [f"extra: {clips / 'notes.continued'}"]
    assert (clips / "notes.continued" / "mine.json").exists()


def test_documents_that_become_short_are_one_file_of_version_1(tmp_path, short_files, monkeypatch):
    root = make_shared_cache(tmp_path / "cache", "hdf5")
    monkeypatch.setattr(long_documents, "MAX_BYTES", 1 << 20)
    remove(root, withdrawal([SECRET]))
    paths = [root / "labels" / "plain" / name for name in ("clips/000000.json", "revisions/000002.json")]
    assert {json.loads(path.read_bytes())["format_version"] for path in paths} == {FORMAT_VERSION}
    assert left_of_secret(root) == [] and complaints(root) == []


def test_readers_of_version_1_refuse_units_that_replace_others(cache):
    remove(cache, withdrawal([SECRET]))
    found = [json.loads(path.read_bytes()) for path in (cache / "records").iterdir()]
    versions = {document["unit"]: document["format_version"] for document in found if "replaces" in document}
    assert len(versions) == 2 and set(versions.values()) == {FORMAT_VERSION_2}
    document = next(document for document in found if "replaces" in document)
    del document["checksum"]
    path = cache / "records" / f"{document['unit']}.json"
    path.write_bytes(documents.serialize_with_checksum(document | {"format_version": FORMAT_VERSION}))
    with pytest.raises(DamagedError, match="another format version"):
        read_record(stored(path))


@pytest.mark.parametrize("pending", [2, 5])
def test_units_that_are_not_committed_lose_the_video_too(tmp_path, pending):
    root = make_shared_cache(tmp_path / "cache", "hdf5", pending=pending)
    before = content(root, leave_out=SECRET)
    remove(root, withdrawal([SECRET]))
    assert left_of_secret(root) == [] and content(root) == before and complaints(root) == []
    planned_rows = {s.video_uid: len(s.pts) for p in open_reader(root).plan() for u in p.units for s in u.segments}
    assert planned_rows == {"a": 3, "b": 2, "c": 1, "d": 3, "e": 2}


def test_a_video_in_quarantine_is_removed(cache):
    assert b"broken" in everything_below(cache)
    remove(cache, withdrawal(["broken"]))
    assert b"broken" not in everything_below(cache) and complaints(cache) == []


def test_all_versions_of_a_file_are_removed_together(tmp_path):

    root = make_shared_cache(tmp_path / "cache", "hdf5")
    with_writer = open_writer(root, open_reader(root).identity)
    newer = planned_video(f"{SECRET}__12345678", replaces=SECRET)
    with_writer.extend_plan([newer], [planned_segment(newer.uid, 2)], 4)
    with_writer.close()
    summary = planned(root, withdrawal([newer.uid]))
    assert {video.uid for video in summary.videos} == {SECRET, newer.uid}
    remove(root, withdrawal([newer.uid]))
    assert left_of_secret(root) == []


def test_two_removals_one_after_the_other_and_all_videos(cache):
    remove(cache, withdrawal(["a"]))
    remove(cache, withdrawal([SECRET, "c"]))
    assert open_reader(cache).video_uids == ("b", "d", "e") and complaints(cache) == []
    remove(cache, withdrawal(["b", "d", "e"]))
    assert open_reader(cache).records == {} and complaints(cache) == [] and left_of_secret(cache) == []


def test_a_label_set_is_removed_and_the_other_one_stays(cache, tmp_path):
    before = content(cache)
    summary = remove(cache, label_set_removal("main"))
    assert summary.label_sets == (("main", 5),)
    assert content(cache) == {key: value for key, value in before.items() if not key.startswith("main ")}
    assert complaints(cache) == [] and not (cache / "labels" / "main").exists()
    with pytest.raises(LabelSetError, match="no label set 'main'"):
        remove(cache, label_set_removal("main"))


def test_a_cache_in_an_object_store_loses_the_video_in_the_same_way(tmp_path):
    store = ObjectStore.from_url(f"memory://{uuid.uuid4().hex}/cache")
    make_shared_cache(store, "hdf5")
    assert SECRET.encode() in bytes_of_objects(store)
    remove(store, withdrawal([SECRET]))
    never = make_shared_cache(tmp_path / "never", "hdf5", without=SECRET)
    left = bytes_of_objects(store)
    assert not [secret for secret in secrets() if secret in left]
    assert content(store) == content(never) and complaints(store) == []


def test_local_copies_of_removed_shards_are_removed_from_this_machine(tmp_path):
    url = f"memory://{uuid.uuid4().hex}/cache"
    make_shared_cache(ObjectStore.from_url(url), "webdataset")
    store = ObjectStore.from_url(url, LocalCopies.create(tmp_path / "copies", 10**9))
    names = store.list("frames")
    for name in names:
        store.open(name).copy()
    jpegs = [secret for secret in secrets() if secret.startswith(b"\xff\xd8")]
    kept = everything_below(tmp_path / "copies")
    assert len(jpegs) == 8 and all(jpeg in kept for jpeg in jpegs)
    remove(store, withdrawal([SECRET]))
    left = everything_below(tmp_path / "copies")
    assert [jpeg for jpeg in jpegs if jpeg in left] == []
    assert len(list((tmp_path / "copies").iterdir())) >= len(names) - 3


def bytes_of_objects(store: ObjectStore, folder: str = "") -> bytes:
    """The names and bytes of all objects in a folder."""
    names = store.list(folder)
    inner = [bytes_of_objects(store, name) if store.is_folder(name) else store.get(name) for name in names]
    return b"\n".join([*map(str.encode, names), *inner])


@pytest.mark.parametrize("swaps", [1, 3])
def test_a_folder_is_not_listed_without_a_file_and_without_the_one_that_replaces_it(tmp_path, monkeypatch, swaps):
    for name in ("kept.json", *(f"old{n}.json" for n in range(swaps))):
        (tmp_path / name).touch()
    list_all, left = os.scandir, list(range(swaps))

    def scandir(folder):
        """Each time, an old file is gone before it is reached, and the new one comes where it was passed."""
        if not left:
            return list_all(folder)
        number = left.pop()
        with list_all(folder) as entries:
            torn = [entry for entry in entries if entry.name != f"old{number}.json"]
        (tmp_path / f"new{number}.json").touch()
        (tmp_path / f"old{number}.json").unlink()
        return contextlib.nullcontext(torn)

    monkeypatch.setattr(files.os, "scandir", scandir)
    assert files.list_names(tmp_path, ".json") == ["kept.json", *(f"new{n}.json" for n in range(swaps))]


def test_verifying_while_videos_are_removed_calls_nothing_damaged(cache):
    removed = []

    def remove_once(num_shards: int) -> None:
        if not removed:
            removed.append(remove(cache, withdrawal([SECRET])))

    with pytest.raises(BusyError, match="another process removes videos"):
        verify(cache, on_progress=remove_once)
    assert complaints(cache) == []


def test_damage_is_reported_beside_an_interrupted_removal(cache):
    (cache / "removal.json").write_text("{}")
    assert any("removal.json" in complaint for complaint in complaints(cache))


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_withdrawn_videos_are_known_by_name_and_content_and_converted_with_the_cache(cache, tmp_path, backend):
    fingerprint = next(v.fingerprint for p in open_reader(cache).plan() for v in p.videos if v.uid == SECRET)
    remove(cache, withdrawal([SECRET]))
    convert(cache, tmp_path / "other", {"hdf5": "webdataset", "webdataset": "hdf5"}[backend])
    for root in (cache, tmp_path / "other"):
        found = withdrawn_videos(Layout.at(root))
        assert found.has_name(SECRET) and found.has_content(fingerprint) and not found.has_name("a")
        assert complaints(root) == []
        assert inspect.summary(root)[-1] == "withdrawn videos: 1, left out of every extraction"
    assert planned(cache, withdrawal([SECRET])).gone == (SECRET,)


def test_a_refreshed_video_is_not_withdrawn_any_more(cache):
    remove(cache, withdrawal([SECRET]))
    remove(cache, videos_removal([SECRET, "a"], is_withdrawal=False))
    assert not withdrawn_videos(Layout.at(cache)).names and "withdrawn" not in "".join(inspect.summary(cache))
    assert open_reader(cache).video_uids == ("c", "d", "b", "e")  # in order of units


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_an_unknown_video_is_named_and_nothing_is_changed(cache):
    before = everything_below(cache)
    with pytest.raises(UnknownVideoError, match="no video 'nobody'"):
        remove(cache, withdrawal([SECRET, "nobody"]))
    assert everything_below(cache) == before


def test_a_damaged_shard_is_found_before_anything_is_changed(cache, backend):
    shard = cache / "frames" / f"000001.{ {'hdf5': 'h5', 'webdataset': 'tar'}[backend] }"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    before = everything_below(cache)
    with pytest.raises(DamagedError, match="000001"):
        remove(cache, withdrawal([SECRET]))
    assert everything_below(cache) == before
    repair(cache, None)
    remove(cache, withdrawal([SECRET]))
    assert left_of_secret(cache) == [] and complaints(cache) == []


def test_a_damaged_earlier_revision_is_found_before_anything_is_changed(cache):
    path = cache / "labels" / "main" / "revisions" / "000001.json"
    path.write_bytes(path.read_bytes().replace(b"train", b"vocal", 1))
    before = everything_below(cache)
    with pytest.raises(DamagedError, match="000001"):
        remove(cache, withdrawal([SECRET]))
    assert everything_below(cache) == before


def test_a_label_set_that_was_not_published_yet_does_not_matter(cache):
    for inner in ("clips", "revisions", "logits", "records"):
        (cache / "labels" / "begun" / inner).mkdir(parents=True)
    remove(cache, withdrawal([SECRET]))
    assert left_of_secret(cache) == [] and (cache / "labels" / "begun").exists()


def test_removal_waits_for_no_other_writer(cache):
    writer = open_writer(cache, open_reader(cache).identity)
    with pytest.raises(BusyError):
        remove(cache, withdrawal([SECRET]))
    writer.close()


# -- the commands ------------------------------------------------------------------------------------------------------


def test_the_command_shows_asks_and_removes(tmp_path, monkeypatch):
    root = make_shared_cache(tmp_path / "cache", "hdf5")
    before = everything_below(root)
    arguments = ("remove", "--cache-dir", root, "--video", SECRET)
    for extra, code, text in (
        ((), 2, "no terminal to ask on"),
        (("--dry-run",), 0, "dry run: nothing was changed"),
        (("--video", "nobody", "--yes"), 2, "no video 'nobody'"),
        (("--label-set", "main"), 2, "give --video or --videos, or else --label-set"),
    ):
        found = invoke(*arguments, *extra)
        assert found[0] == code and text in found[1], found
        assert everything_below(root) == before
    monkeypatch.setattr("embedonce.pipeline.commands.verification._is_terminal", lambda: True)
    assert "nothing was changed" in invoke(*arguments, input="n\n")[1] and everything_below(root) == before
    listed = tmp_path / "uids.txt"
    listed.write_text(f"# withdrawn\n\n a \n{SECRET}\n")
    code, text = invoke("remove", "--cache-dir", root, "--videos", listed, "--yes")
    assert code == 0 and "2 videos with 11 frames were removed" in text
    assert f"video {SECRET} ({SECRET}.mp4): 8 frames in 3 shards, 3 clips" in text
    assert left_of_secret(root) == []
    code, text = invoke("remove", "--cache-dir", root, "--label-set", "plain", "--yes")
    assert code == 0 and "label set plain was removed" in text
    code, text = invoke(*arguments, "--yes")
    assert code == 0 and "was removed from this cache before" in text
    assert complaints(root) == []


def test_refreshing_shows_asks_and_takes_out(tmp_path):
    root = make_shared_cache(tmp_path / "cache", "hdf5")
    before = everything_below(root)
    assert invoke("refresh", "--cache-dir", root)[0] == 2
    code, text = invoke("refresh", "--cache-dir", root, "--video", "b")
    assert code == 2 and "no terminal to ask on" in text and everything_below(root) == before
    code, text = invoke("refresh", "--cache-dir", root, "--video", "b", "--dry-run")
    assert code == 0 and "nothing was changed" in text and everything_below(root) == before
    listed = tmp_path / "uids.txt"
    listed.write_text("b\n")
    code, text = invoke("refresh", "--cache-dir", root, "--videos", listed, "--yes")
    assert code == 0 and "1 videos were taken out" in text and complaints(root) == []
    assert "b" not in open_reader(root).video_uids and not (root / "withdrawn").exists()


# -- kills and power cuts ----------------------------------------------------------------------------------------------


@pytest.fixture
def no_real_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def shown(expected: list[dict], folder: Path) -> tuple[dict, list[str]]:
    """What is wrong with a state: its content must be that of before or after, unit by unit, and be finished later."""
    root, wrong = folder / "cache", []
    before, after = expected
    try:
        found = content(root)
        partly = f"timeline {SECRET}"  # its units go one after the other
        wrong += [f"{key} is another one" for key, value in found.items() if before.get(key) != value and key != partly]
        wrong += [f"{key} is missing" for key in after if key not in found]
        pending = [p for p in verify(root).problems if p.path != Layout.at(root).removal]
        wrong += [problem.message for problem in pending]
        open_writer(root, open_reader(root).identity).close()
        is_begun = content(root) != before
        if is_begun:
            wrong += [] if content(root) == after else ["it is not finished by the next writer"]
            wrong += [f"{secret!r} is left" for secret in left_of_secret(root)] if SECRET not in str(after) else []
            wrong += complaints(root)
    except CacheError as error:
        wrong.append(f"{type(error).__name__}: {error}")
    return {}, wrong


def recorded(folder: Path, backend: str, prepare, dies_after=float("inf")) -> Recorder:
    folder.mkdir()
    make_shared_cache(folder / "cache", backend)
    recorder = Recorder(folder, dies_after)
    try:
        with recorder.recording():
            remove(folder / "cache", prepare)
    except Killed:
        pass
    return recorder


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.parametrize("what", ["video", "refreshed video", "label set"])
def test_every_state_after_a_power_cut_is_readable_and_finished_by_the_next_writer(
    tmp_path, backend, what, no_real_fsync
):
    prepare = {
        "video": withdrawal([SECRET]),
        "refreshed video": videos_removal([SECRET], is_withdrawal=False),
        "label set": label_set_removal("main"),
    }[what]
    before = content(make_shared_cache(tmp_path / "before", backend))
    done = make_shared_cache(tmp_path / "after", backend)
    remove(done, prepare)
    (tmp_path / "scratch").mkdir()
    explorer = Explorer(tmp_path / "scratch", partial(shown, [before, content(done)]))
    recorder = recorded(tmp_path / "recorded", backend, prepare)
    assert list(dict.fromkeys(explorer.violations(recorder)))[:5] == []
    assert len(explorer.examined) > 20


@second_backend_slow
@pytest.mark.crash
@pytest.mark.parametrize(
    ("kills", "max_bytes"),
    [
        (4, long_documents.MAX_BYTES),
        (2, 150),
        pytest.param(1000, long_documents.MAX_BYTES, marks=pytest.mark.slow),
        pytest.param(1000, 150, marks=pytest.mark.slow),
    ],
)
def test_a_removal_that_is_killed_anywhere_is_finished_when_it_is_run_again(
    tmp_path, backend, kills, max_bytes, no_real_fsync, monkeypatch
):
    monkeypatch.setattr(long_documents, "MAX_BYTES", max_bytes)
    done = make_shared_cache(tmp_path / "after", backend)
    remove(done, withdrawal([SECRET]))
    whole = recorded(tmp_path / "whole", backend, withdrawal([SECRET]))
    after = content(done)
    moments = [i for i, step in enumerate(whole.operations, 1) if isinstance(step, Naming)]
    assert len(moments) > 30
    for moment in moments[:: max(1, len(moments) // kills)]:
        folder = tmp_path / f"killed-{moment}"
        recorded(folder, backend, withdrawal([SECRET]), dies_after=moment)
        root = folder / "cache"
        remove(root, withdrawal([SECRET]))
        assert content(root) == after and left_of_secret(root) == [] and complaints(root) == [], moment
        shutil.rmtree(folder)


def test_an_interrupted_removal_is_told_by_verification_and_refused_by_conversion(tmp_path, no_real_fsync):
    recorder = recorded(tmp_path / "killed", "hdf5", withdrawal([SECRET]), dies_after=60)
    root = recorder.folder / "cache"
    report = verify(root)
    assert [problem.remedy for problem in report.problems] == [Remedy.KEEP]
    assert "was interrupted: finish it" in report.problems[0].message
    assert planned(root, withdrawal([SECRET])).interrupted is not None
    with pytest.raises(CacheError, match="interrupted"):
        convert(root, tmp_path / "other", "webdataset")
    assert not (tmp_path / "other").exists()


def test_a_reader_written_from_the_document_skips_units_that_were_replaced(tmp_path, no_real_fsync):
    whole = recorded(tmp_path / "whole", "hdf5", withdrawal([SECRET]))
    named = [i for i, step in enumerate(whole.operations) if isinstance(step, Naming) and "000005.json" in step.names]
    moment = named[-1] + 1  # the logits of the new unit are committed before
    root = recorded(tmp_path / "killed", "hdf5", withdrawal([SECRET]), dies_after=moment).folder / "cache"
    mine, theirs = FormatReader(root), open_reader(root)
    assert set(mine.records) == set(theirs.records)
    assert {path.stem for path in (root / "records").glob("*.json")} - set(mine.records) == {"000002"}


def test_a_reader_from_before_sees_the_past_or_fails_clearly(cache):
    reader = open_reader(cache)
    reader.batch("000000")
    remove(cache, withdrawal([SECRET]))
    with pytest.raises(DamagedError, match="000001"):
        reader.batch("000001")
    assert reader.batch("000003").keys  # of other videos only: unchanged


def test_a_state_that_is_read_during_a_removal_is_not_taken_for_damage(cache, monkeypatch):
    def open_and_remove(where):
        reader = open_reader(where)
        remove(where, withdrawal([SECRET]))
        return reader

    monkeypatch.setattr("embedonce.cache.state.open_reader", open_and_remove)
    with pytest.raises(BusyError, match="another process removes videos"):
        read_state(cache)
