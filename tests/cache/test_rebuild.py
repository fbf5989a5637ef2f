"""Rebuilding a plan: what is lost of it comes back from the records, and nothing that is whole is touched."""

import contextlib
import dataclasses
import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache import commit, documents
from embedonce.cache.convert import convert
from embedonce.cache.errors import BusyError, DamagedError, OtherVersionError, StorageError
from embedonce.cache.plan import PlanPart
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.repair import repair
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.cache.verify import Remedy, verify
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.planning import remaining_requests
from embedonce.pipeline.frames.sampling_times import Requests
from embedonce.pipeline.labeling.label_sets import write_labels
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.sources.source import Clip, Source
from tests.cache.test_repair import failing, files, invoke
from tests.extraction.test_runner import check_same_rows, content, make_source, run
from tests.support.crash_session import FACTS
from tests.support.crash_states import Explorer
from tests.support.planned_cache import (
    LABELS,
    PARTS,
    UNITS,
    batch_of,
    commit_units,
    make_planned_cache,
    plan_videos,
    requests_of,
)
from tests.support.recorded_operations import Recorder
from tests.support.stored import on_disk, stored
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

ROOT = Path(__file__).parents[2]
LOSSES = ("all", "folder", "000000", "000001", "000002", "000001 000002")


@pytest.fixture
def cache(tmp_path) -> Path:
    """The plan and the records know nothing of back ends: one is enough here."""
    return make_planned_cache(tmp_path / "cache")


def lose(cache: Path, what: str) -> None:
    if what == "folder":
        shutil.rmtree(cache / "plan")
        return
    for path in sorted((cache / "plan").iterdir()):
        if what == "all" or path.stem in what:
            path.unlink()


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def writer_of(cache: Path) -> CacheWriter:
    return contextlib.closing(CacheWriter(cache, read_identity(cache)))


def problems(cache: Path) -> list[str]:
    return [problem.message for problem in verify(cache).problems]


def unplanned(*uids: str) -> list[str]:
    """What verifying says of videos that have clips and were forgotten with a lost plan."""
    return [f"label set main has clips of {u}, which is not in the plan: extract-teacher plans it again" for u in uids]


def plan_what_lacks(writer: CacheWriter) -> None:
    """Plan what a rebuilt plan lacks, as an extraction over the same videos does."""
    rows = PARTS[0] | PARTS[1] | PARTS[2]
    lacking = []
    for uid in sorted(writer.incomplete_uids()):
        whole = requests_of(uid, rows[uid])
        wanted = Requests(whole.request_k, whole.request_row, whole.frame_index, whole.pts)
        planned = [s for unit in writer.units for s in unit.segments if s.video_uid == uid]
        lacking.append(remaining_requests(uid, wanted, planned))
    writer.extend_plan([], lacking, 4)
    if new := {uid: count for uid, count in rows.items() if uid not in writer.planned_videos}:
        plan_videos(writer, new)


def go_on(cache: Path) -> None:
    """Do all that an extraction over the same videos does after a rebuild."""
    with writer_of(cache) as writer:
        plan_what_lacks(writer)
        commit_units(writer, [unit.name for unit in writer.units])
        writer.write_manifest()


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_a_cache_that_was_committed_as_planned_is_sound(cache):
    assert problems(cache) == []


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.integration
def test_the_plan_of_committed_units_comes_back_byte_for_byte(cache, lost):
    before = files(cache)
    lose(cache, lost)
    assert rebuild_plan(cache).is_done
    assert files(cache) == before and problems(cache) == []
    assert not rebuild_plan(cache).is_needed and files(cache) == before


@pytest.mark.parametrize("how", ["flipped", "empty", "cut", "no file"])
@pytest.mark.parametrize("name", ["000000", "000001", "000002"])
@pytest.mark.integration
def test_a_damaged_part_is_kept_aside_and_comes_back(cache, name, how):
    before, path = files(cache), cache / "plan" / f"{name}.json"
    data = {"flipped": None, "empty": b"", "cut": path.read_bytes()[:-40]}.get(how)
    if how == "no file":
        path.unlink()
        path.symlink_to(cache / "cache.json")
    elif how == "flipped":
        spoil(path)
    else:
        path.write_bytes(data)
    rebuilt = rebuild_plan(cache)
    assert tuple(map(on_disk, rebuilt.damaged)) == (path,)
    assert on_disk(rebuilt.folder) == cache / "removed" / "000001"
    assert os.path.lexists(cache / "removed" / "000001" / "plan" / path.name)
    shutil.rmtree(cache / "removed")
    assert files(cache) == before and problems(cache) == []


def test_rows_that_never_came_and_videos_that_were_left_out_are_planned_as_they_were(tmp_path):
    """Records say what was planned, not only what came out of it."""
    root = make_planned_cache(tmp_path / "cache", committed=())
    plan = files(root / "plan")
    with writer_of(root) as writer:
        commit_units(writer, UNITS[:2])
        commit_units(writer, UNITS[6:], without=("d",))
        writer.quarantine("d", FACTS)
        segment = batch_of(writer.units[2]).segments[0]
        fewer = dataclasses.replace(
            segment,
            frame_index=segment.frame_index[:1],
            pts=segment.pts[:1],
            request_status=np.where(segment.request_row > 0, 1, segment.request_status).astype(np.uint8),
            request_row=np.where(segment.request_row > 0, -1, segment.request_row),
        )
        batch = batch_of(writer.units[2])
        rest = batch.segments[1:]
        keep = [0, *range(segment.num_rows, len(batch.jpegs))]
        jpegs = tuple(batch.jpegs[i] for i in keep)
        writer.commit_frames(
            "000002",
            dataclasses.replace(
                batch,
                segments=(fewer, *rest),
                jpegs=jpegs,
                embeddings=batch.embeddings[keep],
                crop_crc32=batch.crop_crc32[keep],
            ),
            {},
        )
        commit_units(writer, UNITS[3:6])
    lose(root, "all")
    rebuild_plan(root)
    assert files(root / "plan") == plan and problems(root) == []


def test_uncommitted_requests_are_planned_again_and_units_keep_their_names(tmp_path):
    root = make_planned_cache(tmp_path / "cache", committed=("000000", "000002", "000004"))
    records = {path.name: path.read_bytes() for path in (root / "records").iterdir()}
    lose(root, "all")
    rebuilt = rebuild_plan(root)
    assert rebuilt.incomplete == ("a", "c")  # of b, d and e nothing is known
    assert problems(root) == unplanned("b", "d", "e")
    with writer_of(root) as writer:
        assert {unit.name for unit in writer.units} == {"000000", "000002", "000004"}
        assert len(writer.plan) == 3 and writer.plan[2] == PlanPart(2, (), ())  # its clips are there
        assert writer.incomplete_uids() == set(rebuilt.incomplete)
        plan_what_lacks(writer)
        assert writer.incomplete_uids() == frozenset() and min(map(int, writer.committed_units())) == 0
        assert all(int(unit.name) > 4 for unit in writer.plan[-1].units)
        plan_videos(writer, {"new": 5})
        commit_units(writer, [unit.name for unit in writer.units])
    assert problems(root) == []
    assert {name: (root / "records" / name).read_bytes() for name in records} == records
    reader = open_reader(root)
    for uid, rows in (PARTS[0] | PARTS[1]).items():
        if uid in rebuilt.incomplete:
            assert reader.timeline(uid).k.tolist() == list(range(rows))
    assert len(set(reader.timeline("a").unit.tolist())) >= 3


def test_a_unit_that_its_intact_part_lacks_is_rebuilt_in_a_new_part(cache):
    """A record was put back from a copy after the plan was rebuilt without it."""
    record = (cache / "records" / "000001.json").read_bytes()
    (cache / "records" / "000001.json").unlink()
    lose(cache, "all")
    assert rebuild_plan(cache).incomplete == ("a",)
    (cache / "records" / "000001.json").write_bytes(record)
    with pytest.raises(DamagedError, match="lacks 1 committed units \\(000001\\)"):
        open_reader(cache)
    assert [part.part for part in rebuild_plan(cache).parts] == [3]
    assert problems(cache) == []
    with writer_of(cache) as writer:
        assert writer.incomplete_uids() == frozenset() and writer.plan[3].continued == ("a",)


@pytest.mark.integration
def test_a_plan_that_is_older_than_the_clips_gets_parts_that_keep_their_numbers(tmp_path):
    root = make_planned_cache(tmp_path / "cache", committed=UNITS[:6])
    lose(root, "000002")  # of which nothing was committed
    assert any("older than its label sets" in text for text in problems(root))
    with pytest.raises(DamagedError, match=r"lacks part 000002.*--rebuild-plan"):
        open_reader(root)
    with writer_of(root) as writer, pytest.raises(DamagedError, match="lacks part 000002"):
        plan_videos(writer, {"new": 1})
    assert [part.videos for part in rebuild_plan(root).parts] == [()]
    with writer_of(root) as writer:
        plan_videos(writer, {"new": 1})
        assert writer.plan[-1].part == 3
    assert problems(root) == unplanned("d", "e")
    go_on(root)
    assert problems(root) == []


def test_a_converted_cache_has_a_plan_that_can_be_rebuilt(cache, tmp_path):
    convert(cache, tmp_path / "other", "webdataset")
    plan = files(tmp_path / "other" / "plan")
    lose(tmp_path / "other", "all")
    rebuild_plan(tmp_path / "other")
    assert files(tmp_path / "other" / "plan") == plan == files(cache / "plan")


def test_damage_is_repaired_after_a_lost_plan_was_rebuilt(cache):
    """What the damaged record knew is gone; its video is asked for again."""
    spoil(cache / "records" / "000001.json")
    lose(cache, "all")
    rebuilt = rebuild_plan(cache)
    assert rebuilt.unreadable == ("000001",) and rebuilt.incomplete == ("a",)
    repaired = repair(cache, None)
    assert len(repaired.removals) == 1 and problems(cache) == []


# -- extraction after it -----------------------------------------------------------------------------------------------


@pytest.mark.numeric
@pytest.mark.integration
def test_an_extraction_continues_after_the_plan_was_lost_half_way(tmp_path):
    """Same rows, times and clips as if nothing had happened; what is committed keeps its unit, and nothing is twice."""
    for number, name in enumerate("abc"):
        write_video(tmp_path / f"{name}.mp4", 60 + 30 * number)
    source = make_source(tmp_path, "abc")
    whole, root = tmp_path / "whole", tmp_path / "cache"
    run(source, whole, views=1, shard_frames=4)
    shutil.copytree(whole, root)
    reader = open_reader(whole)
    kept = sorted(reader.records)[::2]
    for unit in set(reader.records) - set(kept):
        for path in (root / "records" / f"{unit}.json", root / "frames" / f"{unit}.h5"):
            path.unlink()
    before = files(root / "records")
    lose(root, "all")
    rebuild_plan(root)
    result, found, _ = run(source, root, views=1, shard_frames=4)
    assert (result.committed, result.pending) == (3, 0) and problems(root) == []
    check_same_rows(content(root), content(whole))
    assert before.items() <= files(root / "records").items()
    for uid in "abc":
        assert found.timeline(uid).t_sec.tolist() == reader.timeline(uid).t_sec.tolist()
    again, _, teacher = run(source, root, views=1, shard_frames=4)
    assert again.committed == 3 and teacher.images_seen <= 16  # the probes


def test_clips_of_replanned_videos_move_with_them(tmp_path, caplog):
    """A label set knew videos that a rebuilt plan forgot: their clips are there once, over the part they are in now."""
    root = make_planned_cache(tmp_path / "cache", committed=UNITS[:3])  # nothing of b, c, d and e
    before = open_reader(root).label_set("main").clips
    lose(root, "all")
    rebuild_plan(root)
    clips = tuple(Clip(c.clip_id, c.video_uid, c.start_sec, c.end_sec, c.label, c.split) for c in before)
    source = Source(tmp_path, "annotations", (), clips, ("cut", "stir"), uids_from_paths=False, has_fixed_clips=True)
    with writer_of(root) as writer:
        plan_videos(writer, {"b": 3, "c": 6})
        commit_units(writer, [unit.name for unit in writer.units])
        write_labels(writer, LabelSetRequest(source, LABELS), 0)
    assert "clips of 2 videos move to a later plan part with them" in caplog.text
    parts = open_reader(root).clip_parts("main")
    found = {part: sorted(clip.video_uid for clip in clips) for part, clips in parts.items() if clips}
    assert found == {0: ["a"], 3: ["b", "c"]} and problems(root) == []


# -- what nothing is done about ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("name", ["records/000001.json", "plan/000001.json", "cache.json"])
@pytest.mark.integration
def test_a_read_error_ends_the_rebuild(cache, monkeypatch, name, code):
    lose(cache, "000000")
    before = files(cache)
    failing(monkeypatch, "open", cache / name, code)
    with pytest.raises(StorageError, match=re.escape(os.strerror(code))):
        rebuild_plan(cache)
    monkeypatch.undo()
    assert files(cache) == before


@pytest.mark.parametrize("name", ["records", "plan", "labels", "labels/main/clips"])
@pytest.mark.integration
def test_a_folder_that_cannot_be_listed_ends_it(cache, monkeypatch, name):
    lose(cache, "000000")
    before = files(cache)
    failing(monkeypatch, "scandir", cache / name, errno.EACCES)
    with pytest.raises(StorageError, match="cannot be listed"):
        rebuild_plan(cache)
    monkeypatch.undo()
    assert files(cache) == before


@pytest.mark.integration
def test_a_plan_of_other_videos_is_not_called_older(cache, tmp_path):
    """A whole plan with other content for a committed unit: which of them is wrong, nobody knows."""
    other = make_planned_cache(tmp_path / "other", parts=({"a": 9, "b": 4}, *PARTS[1:]))
    shutil.copy(other / "plan" / "000000.json", cache / "plan" / "000000.json")
    before = files(cache)
    assert any("planned with other times" in text for text in problems(cache))
    with pytest.raises(DamagedError, match=r"disagree about the contents|describes video a differently"):
        rebuild_plan(cache)
    assert files(cache) == before


def test_an_older_part_of_the_same_number_is_recognized(cache, tmp_path):
    """The plan that was put back has the files, and not all units."""
    lose(cache, "000002")
    older = make_planned_cache(tmp_path / "older", parts=({"a": 10, "b": 3}, {"f": 3}), committed=())
    shutil.copy(older / "plan" / "000001.json", cache / "plan" / "000001.json")
    with pytest.raises(DamagedError, match="--rebuild-plan"):
        open_reader(cache)


def test_an_intact_part_with_another_name_is_not_called_damaged(cache):
    lose(cache, "000000")
    (cache / "plan" / "000002.json").rename(cache / "plan" / "000009.json")
    before = files(cache)
    with pytest.raises(DamagedError, match="rename it to"):
        rebuild_plan(cache)
    assert files(cache) == before


@pytest.mark.parametrize("name", ["plan/000001.json", "records/000001.json"])
def test_a_document_of_another_version_ends_it(cache, name):
    lose(cache, "000000")
    body = documents.to_json(documents.parse((cache / name).read_bytes(), "it") | {"format_version": 999})
    (cache / name).write_bytes(body[:-1] + documents._checksum_field(body))
    before = files(cache)
    with pytest.raises(OtherVersionError):
        rebuild_plan(cache)
    assert files(cache) == before


def test_units_that_were_never_planned_need_no_plan(tmp_path):
    root = make_tiny_cache(tmp_path / "tiny")
    before = files(root)
    assert open_reader(root).num_rows
    with pytest.raises(DamagedError, match="do not include their part of the plan"):
        rebuild_plan(root)
    assert files(root) == before


def test_rebuilding_is_refused_while_a_writer_is_open(cache):
    lose(cache, "all")
    with writer_of(cache), pytest.raises(BusyError):
        rebuild_plan(cache)


@pytest.mark.parametrize(
    "change",
    [
        {"part": 10**9},
        {"part": -1},
        {"part": "0"},
        {"videos": []},
        {"segments": []},
        {"videos": None},
    ],
)
@pytest.mark.integration
def test_a_record_with_a_plan_that_makes_no_sense_is_damaged(cache, change):
    path = cache / "records" / "000001.json"
    document = documents.read(stored(path))
    document["planned"] |= change
    path.write_bytes(documents.serialize_with_checksum(document))
    assert any("000001.json is damaged" in text for text in problems(cache))
    lose(cache, "all")
    assert rebuild_plan(cache).unreadable == ("000001",)


def test_a_record_cannot_ask_for_a_million_parts(cache):
    path = cache / "records" / "000006.json"
    document = documents.read(stored(path))
    document["planned"] |= {"part": 999_999}
    path.write_bytes(documents.serialize_with_checksum(document))
    lose(cache, "all")
    with pytest.raises(DamagedError, match="empty parts"):
        rebuild_plan(cache)


# -- who recognizes it, and what a user is told ------------------------------------------------------------------------


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.integration
def test_opening_a_cache_with_an_older_plan_names_the_command(cache, lost):
    lose(cache, lost)
    for call in (lambda: open_reader(cache), lambda: writer_and_plan(cache)):
        with pytest.raises(DamagedError, match=f"repair-cache --cache-dir {cache} --rebuild-plan"):
            call()


def writer_and_plan(cache: Path) -> None:
    with contextlib.closing(open_writer(cache, read_identity(cache))) as writer:
        writer.check_plan()


COMMANDS = {
    "inspect-cache": (),
    "verify-cache": ("--no-pixels",),
    "convert-cache": ("--backend", "hdf5", "--output-dir", "OTHER"),
    "extract-teacher": ("--data-dir", "VIDEOS"),
    "relabel": ("--classes", "NAMES"),
    "remove": ("--video", "a", "--yes"),
    "train-student": ("--output-dir", "OTHER"),
    "search-cache": ("--video", "a", "--time", "0", "--index-dir", "OTHER"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.integration
def test_every_command_that_opens_a_cache_names_the_command_that_helps(tmp_path, name):
    root = make_planned_cache(tmp_path / "cache")
    lose(root, "000001 000002")
    before = files(root)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "x.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (tmp_path / "names.txt").write_text("cut\nstir\n")
    places = {"OTHER": tmp_path / "other", "VIDEOS": tmp_path / "videos", "NAMES": tmp_path / "names.txt"}
    arguments = [str(places.get(word, word)) for word in COMMANDS[name]]
    code, text = invoke(name, "--cache-dir", root, *arguments)
    assert code == 4 and f"repair-cache --cache-dir {root} --rebuild-plan" in text, text
    assert files(root) == before and not (tmp_path / "other").exists()


def test_no_command_opens_a_cache_past_the_door_that_looks_at_its_plan():
    inside = {"cache/store.py", "cache/writer.py", "cache/verify.py", "cache/rebuild.py"}
    inside |= {"cache/removal.py", "cache/removal_steps.py", "cache/adoption.py"}
    paths = [path for folder in ("cache", "pipeline") for path in (ROOT / folder).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in paths if re.search(r"\bCacheReader\(", path.read_text())}
    assert found - {"cache/reader.py"} == inside


def test_rebuilding_prints_its_changes_and_asks_for_confirmation(tmp_path, monkeypatch):
    root = make_planned_cache(tmp_path / "cache", committed=UNITS[:2])
    spoil(root / "plan" / "000000.json")
    before = files(root)
    code, text = invoke("repair-cache", "--cache-dir", root, "--rebuild-plan")
    assert code == 2 and "no terminal to ask on" in text and files(root) == before
    assert "plan/000000.json, which cannot be read" in text
    assert "part 000000 of the plan, 2 committed units, 1 new videos" in text
    assert "1 videos have units that were not committed yet (a)" in text
    monkeypatch.setattr("embedonce.pipeline.commands.verification._is_terminal", lambda: True)
    code, text = invoke("repair-cache", "--cache-dir", root, "--rebuild-plan", input="n\n")
    assert code == 0 and "nothing was changed" in text and files(root) == before
    code, text = invoke("repair-cache", "--cache-dir", root, "--rebuild-plan", "--yes")
    assert code == 0 and "the plan was rebuilt" in text and "removed/000001" in text
    assert "verify-cache" in text and problems(root) == unplanned("b")
    code, text = invoke("verify-cache", "--cache-dir", root, "--no-pixels")
    assert code == 4 and unplanned("b")[0] in text
    before = files(root)
    assert {problem.remedy for problem in repair(root, None).report.problems} == {Remedy.MISSING}
    assert files(root) == before
    code, text = invoke("repair-cache", "--cache-dir", root, "--rebuild-plan", "--yes")
    assert code == 0 and "nothing was changed" in text
    go_on(root)
    assert problems(root) == []


def test_rebuilding_and_purging_are_two_commands(cache):
    ran = CliRunner().invoke(cli.main, ["repair-cache", "--cache-dir", str(cache), "--rebuild-plan", "--purge"])
    assert ran.exit_code == 2 and "exclude each other" in ran.output


# -- power cuts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["all", "folder", "damaged", "000001 000002"])
@pytest.mark.slow
def test_a_power_cut_while_a_plan_is_rebuilt_loses_nothing_and_is_recognized(tmp_path, monkeypatch, lost):
    """In every state all that was whole is there, and the plan is either told to be incomplete or it is whole.

    Once it is rebuilt, only videos of which nothing was committed are named, until an extraction has gone on.
    """
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    (tmp_path / "recorded").mkdir()
    (tmp_path / "scratch").mkdir()
    root = make_planned_cache(tmp_path / "recorded" / "cache", committed=("000000", "000002", "000004"))
    if lost == "damaged":
        spoil(root / "plan" / "000001.json")
    else:
        lose(root, lost)
    whole = set(files(root).values())
    recorder = Recorder(tmp_path / "recorded")
    with recorder.recording():
        rebuild_plan(root)
    expected = plan_of(root)
    forgotten = unplanned(*{"damaged": "", "000001 000002": "de"}.get(lost, "bde"))

    def examine(folder: Path) -> tuple[dict, list[str]]:
        state, complaints = folder / "cache", []
        if whole - set(files(state).values()):
            complaints.append("what was whole is gone")
        if not is_recognized(state) and plan_of(state) != expected:
            complaints.append("another plan was taken for the whole one")
        rebuild_plan(state)
        complaints += ["another plan was rebuilt"] * (plan_of(state) != expected)
        complaints += ["other problems were told"] * (problems(state) != forgotten)
        complaints += ["lost later"] * bool(whole - set(files(state).values()))
        go_on(state)
        return {}, complaints + problems(state)

    explorer = Explorer(tmp_path / "scratch", examine)
    assert list(dict.fromkeys(explorer.violations(recorder))) == []
    assert len(recorder.operations) > 10 and len(explorer.examined) > 5


def plan_of(cache: Path) -> dict:
    """The parts of the plan by name; temporary files of a killed process are none."""
    return {name: data for name, data in files(cache / "plan").items() if not name.startswith(commit.TEMP_PREFIX)}


def is_recognized(cache: Path) -> bool:
    """Whether verifying tells that the plan must be rebuilt; a reader does where a part or a unit lacks."""
    needs_plan = verify(cache).needs_plan
    try:
        open_reader(cache)
    except DamagedError as error:
        return needs_plan and "--rebuild-plan" in str(error)
    return needs_plan


def test_the_explorer_notices_parts_that_are_written_from_the_first_on(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    (tmp_path / "recorded").mkdir()
    (tmp_path / "scratch").mkdir()
    root = make_planned_cache(tmp_path / "recorded" / "cache", committed=UNITS[:4])
    for path in (root / "labels" / "main" / "clips").iterdir():
        path.unlink()
    with writer_of(root) as writer:
        writer.revise_clips("main", [[], [], []])  # three parts, which no name in clips/ tells of
    lose(root, "all")
    recorder = Recorder(tmp_path / "recorded")
    with recorder.recording(), pytest.MonkeyPatch.context() as patch:
        publish, waiting = commit.publish, []

        def reversed_order(path, data):
            waiting.append((path, data))
            if len(waiting) == 3:
                for pair in reversed(waiting):
                    publish(*pair)

        patch.setattr(commit, "publish", reversed_order)
        rebuild_plan(root)
    expected = plan_of(root)

    def examine(folder: Path) -> tuple[dict, list[str]]:
        is_taken = not is_recognized(folder / "cache") and plan_of(folder / "cache") != expected
        return {}, ["taken for whole"] * is_taken

    assert any(Explorer(tmp_path / "scratch", examine).violations(recorder))
