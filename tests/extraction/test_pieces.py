"""Long videos in pieces: the cuts, and results that do not depend on how many processes decode them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.engines.registry import ENGINES
from embedonce.pipeline.extraction import frame_pipeline, pieces
from embedonce.pipeline.extraction.decode_tasks import DecodeTask
from embedonce.pipeline.extraction.pieces import Costs, PieceEnds, borders, cut
from embedonce.pipeline.extraction.plan_tasks import PlanTask
from embedonce.pipeline.extraction.runner import extract
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.video_tasks import work_on_video
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import Source, union
from embedonce.pipeline.video.container import VideoError
from embedonce.pipeline.video.entry_points import EntryPoints
from embedonce.pipeline.video.skipping import FeedPlan, PackedPlan
from tests.extraction.test_runner import check_same_rows, content, make_source
from tests.support.fake_teacher import FakeTeacher
from tests.support.image_files import write_frames
from tests.support.mixed_engine import CrashError, MixedEngine
from tests.support.videos import write_video

FRAMES = 120
PACKETS = [range(0, 25), range(25, 60), range(60, 90), range(90, 120)]


# -- where to cut --------------------------------------------------------------------------------------------------


def costs(begins, ends) -> Costs:
    return Costs(np.array(begins), np.array(ends))


def even(count: int, length: int) -> Costs:
    """Segments of the same cost, which share no group of pictures."""
    return costs(np.arange(count) * length, np.arange(1, count + 1) * length)


def test_pieces_cost_about_the_same_and_enough():
    assert pieces.PIECE_PACKETS == 3_000
    assert borders(even(8, 1_500)) == [0, 2, 4, 6]  # 3,000 packets each
    assert borders(even(8, 740)) == [0]  # 5,920 packets are not enough for two
    assert borders(even(3, 30_000)) == [0, 1, 2]  # no unit is cut
    assert len(borders(even(1000, 1_500))) == pieces.MAX_PIECES
    assert borders(costs([0, 9_000, 9_300], [9_000, 9_300, 9_600])) == [0, 1]


def test_a_cut_where_fewer_packets_are_decoded_twice_is_preferred():
    ends = np.arange(1, 9) * 750
    begins = np.append(0, ends[:-1] - 60)
    assert borders(Costs(begins, ends)) == [0, 4]
    begins[3] += 45
    assert borders(Costs(begins, ends)) == [0, 3]
    begins[1] += 60
    assert borders(Costs(begins, ends)) == [0, 3], "too uneven"


def plan_of(rows: int, gop: int, feed_per_row: int = 1) -> PackedPlan:
    """Of a video of which every packet is decoded and every one shows a requested frame."""
    n = rows * feed_per_row
    starts = np.arange(0, n, gop)
    entries = np.stack([starts] * 4, axis=1)
    plan = FeedPlan(np.ones(n, bool), np.zeros(n, bool), None)
    pts = np.arange(rows) * feed_per_row
    return PackedPlan.of(plan, EntryPoints(pts, pts, entries))


def test_costs_are_counted_from_the_entry_point_to_the_last_row():
    found = Costs.of(plan_of(100, gop=30), np.array([40, 60, 100]))
    assert found.begins.tolist() == [0, 30, 60] and found.ends.tolist() == [40, 60, 100]


def test_only_whole_segments_of_known_plans_are_cut(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_PACKETS", 20)
    plan = plan_of(100, gop=10)
    pts = plan.entry_points.pts
    assert cut(plan, pts, [50, 50]) == [0, 1]
    assert cut(plan, pts, [0, 50, 0, 50, 0]) == [0, 3]
    assert cut(None, pts, [50, 50]) == cut(plan, pts, [100]) == cut(plan, pts[:50], [25, 25]) == [0]
    assert cut(PackedPlan.of(FeedPlan(plan.unpacked().feed, plan.unpacked().run_start, None)), pts, [50, 50]) == [0]


# -- how pieces end ------------------------------------------------------------------------------------------------


def test_a_video_fails_with_the_first_of_its_pieces_that_fails():
    ends = PieceEnds(4)
    ends.failed(2, "late", False)
    assert ends.has_failed and ends.failure is None
    ends.done(0)
    ends.failed(1, "early", True)
    assert ends.failure == ("early", True) and ends.complete == [0]
    assert not ends.are_all
    ends.done(3)
    assert ends.are_all and ends.failure == ("early", True)


def test_the_complaint_is_that_of_the_first_piece_that_has_one():
    ends = PieceEnds(3)
    ends.complaints |= {2: "c", 1: "b", 0: None}
    assert ends.complaint == "b" and PieceEnds(1).complaint is None


# -- whole extractions ---------------------------------------------------------------------------------------------


@pytest.fixture
def cut_short(monkeypatch) -> Callable[[int], None]:
    """Cut videos into pieces of about so many packets to decode."""
    return lambda packets: monkeypatch.setattr(pieces, "PIECE_PACKETS", packets)


@pytest.fixture
def tasks(monkeypatch) -> list[DecodeTask]:
    """The decode tasks of the extractions of this test, in order."""
    begun = []

    def work(task):
        begun.extend([task] if isinstance(task, DecodeTask) else [])
        yield from work_on_video(task)

    monkeypatch.setattr(frame_pipeline, "work_on_video", work)
    return begun


@pytest.fixture
def run(monkeypatch, tmp_path) -> Callable[..., dict]:
    """Extract with so many processes, whose events are mixed by this seed; returns all that the cache says."""

    def extracted(source: Source, name: str, workers: int = 1, seed: int = 0, teacher=None, **changes) -> dict:
        monkeypatch.setitem(ENGINES, "local", partial(MixedEngine, seed=seed, workers=workers))
        settings = {"backend": "hdf5", "shard_frames": 5, "batch_size": 4, "decode_workers": 2, "fps": 5.0, "views": 0}
        config = ExtractConfig(source.root, False, tmp_path / name, **(settings | changes))
        writer, _, result = extract(config, source, lambda: teacher or FakeTeacher())
        attempts = writer.attempts()
        writer.close()
        assert not attempts and result.listed == result.committed + len(result.quarantined) + result.pending
        return {"result": result, **account(tmp_path / name)}

    return extracted


def account(cache_dir: Path) -> dict:
    """The rows, and for each unit the statuses and how its videos were decoded."""
    reader = open_reader(cache_dir)
    statuses = {
        (unit, segment.video_uid): (segment.request_k.tolist(), segment.request_status.tolist())
        for unit, record in reader.records.items()
        for segment in record.segments
    }
    told = {
        unit: (record.provenance["decoding"], record.provenance["remarks"]) for unit, record in reader.records.items()
    }
    return {"rows": content(cache_dir), "statuses": statuses, "told": told}


def check_same(found: dict, expected: dict, told: bool = True) -> None:
    check_same_rows(found["rows"], expected["rows"])
    assert found["statuses"] == expected["statuses"] and found["result"] == expected["result"]
    assert not told or found["told"] == expected["told"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pieces")
    write_video(root / "long.mp4", FRAMES, gop=10)
    write_video(root / "open.mkv", FRAMES, gop=15).rename(root / "open.mp4")
    write_video(root / "short.mp4", 12)
    return root


@pytest.mark.parametrize("seed", range(4))
def test_pieces_give_what_the_whole_video_gives_in_any_order(folder, run, cut_short, tasks, seed):
    source = make_source(folder, ["long", "short"])
    whole = run(source, "whole")
    assert [task.pieces for task in tasks] == [1, 1]
    cut_short(15)
    tasks.clear()
    check_same(run(source, "pieces", workers=4, seed=seed), whole)
    assert sorted(task.piece for task in tasks if task.uid == "long") == [0, 1, 2, 3]
    assert sum(len(task.pts) for task in tasks if task.uid == "long") == len(whole["rows"]) - 2


def test_folders_of_frames_are_cut_as_other_videos_are(run, cut_short, tasks, tmp_path):
    (tmp_path / "data").mkdir()
    write_frames(tmp_path / "data" / "long", [*range(1, 40), *range(41, 61)])
    source = union(open_sources(tmp_path / "data", SimpleNamespace(frames_rate=30.0)))
    whole = run(source, "whole", fps=30.0)
    cut_short(15)
    tasks.clear()
    check_same(run(source, "pieces", workers=4, fps=30.0), whole)
    assert sorted((task.piece, task.pieces) for task in tasks) == [(0, 3), (1, 3), (2, 3)]
    assert sum(len(task.pts) for task in tasks) == len(whole["rows"]) == 59
    with pytest.raises(KeyboardInterrupt):
        run(source, "resumed", fps=30.0, teacher=Interrupting(16))
    assert 0 < len(content(tmp_path / "resumed")) < 59
    tasks.clear()
    check_same(run(source, "resumed", workers=4, fps=30.0), whole)
    assert any(task.pieces > 1 for task in tasks), "what is left is planned and cut"


@pytest.mark.slow
def test_real_videos_give_the_same_rows_in_pieces(real_videos, run, cut_short, tasks):
    """All of them, usable or not, in the order in which four processes deliver them."""
    source = union(open_sources(real_videos))
    whole = run(source, "whole", fps=10.0, shard_frames=8)
    cut_short(6)
    tasks.clear()
    check_same(run(source, "pieces", workers=4, fps=10.0, shard_frames=8), whole)
    assert len({task.uid for task in tasks if task.pieces > 1}) > 8
    assert len(whole["result"].quarantined) > 3


def damage(path: Path, to: Path, packets) -> Path:
    """A copy of a video in which the data of these packets is zeros, but for the headers of their slices."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for n in packets:
        position, size = places[n]
        data[position + size // 2 : position + size] = bytes(size - size // 2)
    to.write_bytes(data)
    return to


@pytest.mark.parametrize("damaged", [[0], [1], [0, 1, 2, 3], [3]])
def test_a_piece_without_a_decodable_frame_is_corrupt_unless_all_are(folder, tmp_path, run, cut_short, damaged):
    """Pieces of 30 packets, in which the slices of every frame are gone."""
    path = damage(folder / "long.mp4", tmp_path / "d.mp4", [n for piece in damaged for n in PACKETS[piece]])
    source = make_source(tmp_path, ["d"])
    whole = run(source, "whole")
    cut_short(15)
    found = run(source, "pieces", workers=3, seed=5)
    check_same(found, whole, told=False)
    assert (len(damaged) == 4) == bool(found["result"].quarantined), path


def test_rows_before_the_first_failure_are_committed_once_and_the_video_is_quarantined_once(
    folder, run, cut_short, monkeypatch
):
    """Pieces 1 and 3 fail; the reason is that of piece 1 in any order, and piece 0 is committed as always."""
    cut_short(15)

    def work(task):
        for message in work_on_video(task):
            if getattr(task, "piece", 0) in (1, 3) and isinstance(message, list):
                raise VideoError(f"piece {task.piece} is bad")
            yield message

    monkeypatch.setattr(frame_pipeline, "work_on_video", work)
    source = make_source(folder, ["long", "short"])
    for seed in range(6):
        found = run(source, str(seed), workers=4, seed=seed)
        assert found["result"].quarantined == {"long.mp4": "piece 1 is bad"} and found["result"].committed == 1
        rows = {int(key.rpartition("_")[2]) // 6 for key in found["rows"] if key.startswith("long")}
        assert set(range(5)) <= rows and not rows & {*range(5, 10), *range(15, 20)}


@pytest.mark.parametrize("seed", range(3))
def test_a_piece_that_kills_its_worker_twice_quarantines_the_video_once(folder, run, cut_short, monkeypatch, seed):
    cut_short(15)
    crashes = []

    def work(task):
        for message in work_on_video(task):
            if getattr(task, "piece", 0) == 2 and isinstance(message, list):
                crashes.append(task.piece)
                raise CrashError("signal SIGKILL")
            yield message

    monkeypatch.setattr(frame_pipeline, "work_on_video", work)
    found = run(make_source(folder, ["long", "short"]), "c", workers=4, seed=seed)
    assert len(crashes) == 2 and found["result"].quarantined == {"long.mp4": "2 attempts"}
    assert {key.rpartition("_")[0] for key in found["rows"]} == {"long", "short"}


def test_one_event_that_kills_the_workers_of_several_pieces_is_one_attempt(folder, run, cut_short, monkeypatch):
    cut_short(15)
    crashes = []

    def work(task):
        for message in work_on_video(task):
            if getattr(task, "piece", 0) in (0, 3) and task.piece not in crashes and isinstance(message, list):
                crashes.append(task.piece)
                raise CrashError("signal SIGKILL")
            yield message

    monkeypatch.setattr(frame_pipeline, "work_on_video", work)
    found = run(make_source(folder, ["long"]), "c", workers=4)
    assert sorted(crashes) == [0, 3] and found["result"].quarantined == {} and found["result"].pending == 0
    check_same(found, run(make_source(folder, ["long"]), "whole", workers=1))


def test_a_piece_that_kills_its_worker_once_changes_nothing(folder, run, cut_short, monkeypatch):
    source = make_source(folder, ["long", "short"])
    whole = run(source, "whole")
    cut_short(15)
    crashes = []

    def work(task):
        for message in work_on_video(task):
            if getattr(task, "piece", 0) == 1 and not crashes and isinstance(message, list):
                crashes.append(task.piece)
                raise CrashError("signal SIGKILL")
            yield message

    monkeypatch.setattr(frame_pipeline, "work_on_video", work)
    check_same(run(source, "pieces", workers=4), whole)
    assert crashes == [1]


class Blind(FakeTeacher):
    """Cannot embed frames from number 64 on, whose leftmost bar in view is white."""

    def embed(self, crops):
        vectors = super().embed(crops)
        vectors[crops[:, 16, 4, 1] > 200] = np.nan
        return vectors


class Interrupting(FakeTeacher):
    """Interrupts the run after so many images."""

    def __init__(self, images: int):
        super().__init__()
        self._images = images

    def embed(self, crops):
        if self.images_seen >= self._images:
            raise KeyboardInterrupt
        return super().embed(crops)


def test_frames_that_the_teacher_cannot_embed_are_named_by_the_first_one(folder, run, cut_short):
    source = make_source(folder, ["long", "short"])
    expected = run(source, "whole", teacher=Blind())["result"]
    (reason,) = expected.quarantined.values()
    assert "embedding of frame 66 of long is NaN" in reason
    cut_short(15)
    for seed in range(4):
        found = run(source, f"pieces{seed}", workers=4, seed=seed, teacher=Blind())
        assert found["result"].quarantined == expected.quarantined and found["result"].committed == 1


@pytest.mark.parametrize("seed", range(3))
def test_an_interrupted_run_is_resumed_to_the_same_rows(folder, run, cut_short, tmp_path, tasks, seed):
    source = make_source(folder, ["long", "open", "short"])
    whole = run(source, "whole")
    cut_short(15)
    with pytest.raises(KeyboardInterrupt):
        run(source, "pieces", workers=4, seed=seed, teacher=Interrupting(24))
    assert 0 < len(content(tmp_path / "pieces")) < len(whole["rows"])
    tasks.clear()
    check_same(run(source, "pieces", workers=4, seed=seed), whole)
    assert any(task.pieces > 1 for task in tasks), "long videos are cut again"


@pytest.mark.parametrize("ending", [VideoError("no index"), CrashError("signal SIGKILL")])
def test_a_planned_video_whose_packets_cannot_be_read_is_decoded_by_one_task(
    folder, run, cut_short, tmp_path, tasks, monkeypatch, ending
):
    source = make_source(folder, ["long"])
    whole = run(source, "whole")
    with pytest.raises(KeyboardInterrupt):
        run(source, "c", teacher=Interrupting(8))
    cut_short(15)
    ways = []

    def work(task):
        if isinstance(task, PlanTask) and (not ways or isinstance(ending, VideoError)):
            ways.append(task)
            raise ending
        tasks.extend([task] if isinstance(task, DecodeTask) else [])
        yield from work_on_video(task)

    monkeypatch.setattr(frame_pipeline, "work_on_video", work)
    tasks.clear()
    check_same(run(source, "c", workers=4), whole)
    assert len(ways) == 1 and {task.pieces > 1 for task in tasks} == {isinstance(ending, CrashError)}
