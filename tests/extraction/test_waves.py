"""Many videos are scanned in waves, while the frames of earlier ones are extracted: nothing else changes."""

import dataclasses
from types import SimpleNamespace
from typing import ClassVar

import pytest

from embedonce.cache.errors import StorageError
from embedonce.cache.layout import Layout
from embedonce.cache.plan import Unit
from embedonce.cache.rebuild import rebuild_plan
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.engines.engine import TaskDone
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.engines.registry import ENGINES
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import planning, runner, waves
from embedonce.pipeline.extraction.preflight import run_preflight
from embedonce.pipeline.extraction.scan_tasks import ScanTask
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.shard_builder import ShardBuilder
from embedonce.pipeline.extraction.waves import cut_waves, mixed
from tests.conftest import planned_segment, planned_video
from tests.extraction.test_runner import check_same_rows, content, make_source, run
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

NAMES = ["a", "b", "broken", "c", "d", "e", "f"]


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(NAMES):
        write_video(tmp_path / f"{name}.mp4", 30 + 15 * number)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    return tmp_path


@pytest.fixture
def small_waves(monkeypatch):
    monkeypatch.setattr(waves, "FIRST_WAVE", 2)
    monkeypatch.setattr(waves, "LARGEST_WAVE", 3)


class RecordedPool(WorkerPool):
    """Records the ends of tasks in the order in which they are received."""

    ended: ClassVar[list] = []

    def run(self, tasks):
        for event in super().run(tasks):
            if isinstance(event, TaskDone):
                self.ended.append((type(event.task), event.task.uid))
            yield event


def names(cut) -> list[str]:
    return ["".join(video.uid for video in wave) for wave in cut]


def test_waves_double_up_to_a_limit_and_keep_the_order(small_waves):
    videos = listed("abcdefghij")
    assert names(cut_waves(videos)) == ["ab", "cde", "fgh", "ij"]
    assert names(cut_waves(videos, frozenset("ghj"))) == ["ghj", "abc", "def", "i"]
    assert names(cut_waves(videos, frozenset("fghij"))) == ["fghij", "abcde"]
    assert cut_waves([]) == ()


def listed(uids: str, copied_share: float = 0.0) -> list:
    """Videos of which each takes this part of the space for copies."""
    return [SimpleNamespace(uid=uid, copied_share=copied_share) for uid in uids]


def test_waves_of_remote_videos_leave_room_for_the_copies_of_two(small_waves, monkeypatch):
    monkeypatch.setattr(waves, "LARGEST_WAVE", 100)
    assert names(cut_waves(listed("abcdefghijkl", 0.1))) == ["ab", "cdef", "ghijk", "l"]
    assert names(cut_waves([*listed("a", 0.4), *listed("bcd"), *listed("ef", 0.3)])) == ["ab", "cde", "f"]
    assert names(cut_waves(listed("abc", 7.0))) == ["a", "b", "c"]


def test_waves_have_a_video_for_each_process_and_those_that_must_be_first(small_waves):
    assert names(cut_waves(listed("abcdef", 0.3), least=2)) == ["ab", "cd", "ef"]
    assert names(cut_waves(listed("abcdef", 0.3), frozenset("def"))) == ["def", "a", "b", "c"]


def test_two_sequences_are_spread_over_each_other():
    assert "".join(mixed("ab", "ABCD")) == "ABaCDb" or "".join(mixed("ab", "ABCD")) == "AaBCbD"
    assert "".join(mixed("", "AB")) == "AB" and "".join(mixed("ab", "")) == "ab"


def test_a_cache_of_many_waves_has_the_rows_of_one_wave(folder, tmp_path, small_waves, monkeypatch):
    source = make_source(folder, NAMES)
    in_waves, cut, _ = run(source, tmp_path / "waves", shard_frames=4)
    monkeypatch.setattr(waves, "FIRST_WAVE", 64)
    at_once, whole, _ = run(source, tmp_path / "whole", shard_frames=4)
    check_same_rows(content(tmp_path / "waves"), content(tmp_path / "whole"))
    assert len(cut.plan()) == 3 and len(whole.plan()) == 1
    assert in_waves == at_once and in_waves.listed == 7 and list(in_waves.quarantined) == ["broken.mp4"]
    assert verify(tmp_path / "waves").problems == []


def test_the_next_wave_is_scanned_while_the_one_before_is_decoded(folder, tmp_path, small_waves, monkeypatch):
    monkeypatch.setitem(ENGINES, "local", RecordedPool)
    monkeypatch.setattr(RecordedPool, "ended", [])
    run(make_source(folder, NAMES), tmp_path / "c", decode_workers=1)
    kinds = [(kind is ScanTask, uid) for kind, uid in RecordedPool.ended]
    assert kinds[:2] == [(True, "a"), (True, "b")]
    assert kinds.index((True, "c")) < kinds.index((False, "a")) < kinds.index((True, "f"))
    assert kinds.index((False, "b")) < kinds.index((True, "d"))  # it is longer than a


def test_a_run_that_fails_counts_the_videos_that_were_not_planned_yet(
    folder, tmp_path, small_waves, monkeypatch, caplog
):
    plan_new = planning.plan_new

    def plan_once(writer, *arguments, **options):
        if writer.plan:
            raise StorageError("the disk is full")
        return plan_new(writer, *arguments, **options)

    monkeypatch.setattr(runner, "plan_new", plan_once)
    source = make_source(folder, NAMES)
    with pytest.raises(StorageError, match="the disk is full"):
        run(source, tmp_path / "c")
    assert "listed 7 videos = " in caplog.text and "0 quarantined" in caplog.text
    committed = len(open_reader(tmp_path / "c").video_uids)
    assert f"= {committed} committed + 0 quarantined + {7 - committed} pending" in caplog.text
    monkeypatch.undo()
    result, reader, _ = run(source, tmp_path / "c")
    assert len(reader.video_uids) == 6 and result.pending == 0 and list(result.quarantined) == ["broken.mp4"]


def test_waves_are_scanned_until_a_video_can_be_used(tmp_path, small_waves):
    for name in "abcdefg":
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    config = ExtractConfig(tmp_path, False, tmp_path / "c", decode_workers=1)
    source = make_source(tmp_path, list("abcdefg"))
    with pytest.raises(InputError, match="none of the 7 videos"):
        run_preflight(config, source, in_waves=True)
    write_video(tmp_path / "d.mp4", 30)
    report = run_preflight(config, source, in_waves=True)
    assert set(report.scanned.scans) == {"d"} and names(report.unscanned) == ["fg"]


def test_the_frames_of_videos_that_are_not_scanned_are_estimated_from_their_sizes(folder, tmp_path, small_waves):
    source = make_source(folder, NAMES)
    config = ExtractConfig(folder, False, tmp_path / "c", fps=30.0)
    report = run_preflight(config, source, in_waves=True)
    scanned = sum(len(scan.requests.frame_index) for scan in report.scanned.scans.values())
    sizes = {name: (folder / f"{name}.mp4").stat().st_size for name in NAMES}
    assert scanned == 30 + 45
    assert report.estimate.frames == round(scanned * sum(sizes.values()) / (sizes["a"] + sizes["b"]))
    assert run_preflight(config, source).unscanned == ()


def test_copies_in_two_classes_are_refused_before_anything_is_extracted(folder, tmp_path, small_waves):
    """Also if they are in a late wave."""
    (folder / "z.mp4").write_bytes((folder / "f.mp4").read_bytes())
    source = make_source(folder, [*NAMES, "z"])
    clips = tuple(dataclasses.replace(clip, label=int(clip.video_uid == "z")) for clip in source.clips)
    with pytest.raises(InputError, match=r"f\.mp4 and z\.mp4 are the same video"):
        run(dataclasses.replace(source, clips=clips), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_video_of_which_only_a_part_is_planned_is_completed(folder, tmp_path, small_waves, monkeypatch):
    """Although it would be in a late wave: its last frames are still pending in a unit that is planned."""
    source, settings = make_source(folder, NAMES), {"shard_frames": 7, "fps": 10.0}
    run(source, tmp_path / "whole", **settings)
    run(source, tmp_path / "c", **settings)
    layout, records = Layout.at(tmp_path / "c"), open_reader(tmp_path / "c").records

    def forget(unit: str) -> None:
        (layout.frame_paths().records / f"{unit}.json").delete()
        (layout.frame_paths().shards / f"{unit}.h5").delete()

    units = [unit for unit, record in records.items() if "f" in {s.video_uid for s in record.segments}]
    assert len(units) == 6 and records[units[0]].num_rows != records[units[-1]].num_rows
    for path in layout.plan.list():
        path.delete()
    for unit in units[1:3]:
        forget(unit)
    rebuild_plan(tmp_path / "c")
    assert "f" in read_state(tmp_path / "c").incomplete_uids()
    forget(units[-1])  # planned, and pending again
    monkeypatch.setattr(waves, "FIRST_WAVE", 1)
    for name in ("g", "h", "i"):  # new videos, which come first
        write_video(folder / f"{name}.mp4", 30)
    result, _, _ = run(make_source(folder, ["g", "h", "i", *NAMES]), tmp_path / "c", **settings)
    assert result.pending == 0 and "corrupt" not in {name for name, count in result.statuses.items() if count}
    found = {key: row for key, row in content(tmp_path / "c").items() if key[0] not in "ghi"}
    check_same_rows(found, content(tmp_path / "whole"))


def test_units_that_continue_a_begun_video_are_refused():
    """Their rows could not be told from those of the earlier units."""
    first, second = (Unit(name, (planned_segment("a", 3),)) for name in ("000000", "000001"))
    builder = ShardBuilder([first], {"a": planned_video("a")}, (1, 8))
    with pytest.raises(ValueError, match="unit 000001 continues videos that are being extracted"):
        builder.add_units([second])
