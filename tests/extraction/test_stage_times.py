"""At its end, an extraction says how busy its stages were, what would help on this machine, and how fast it was."""

import dataclasses

import pytest

from embedonce.pipeline.extraction import stage_times
from embedonce.pipeline.extraction.stage_times import StageClock, StageTimes
from tests.extraction.test_runner import StoppingTeacher, make_source, run
from tests.support.fake_clock import FakeClock
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

USUAL = StageTimes(
    decode=0.97, teacher=0.61, commit=0.04, cores=0.8, wall_sec=50, run_sec=72, video_sec=5400, workers=1, tasks=9,
    num_cores=2, device="cpu",
)  # fmt: skip
MORE_WORKERS = "decode-bound; more --decode-workers would help"
TEACHER_BOUND = {"decode": 0.5, "teacher": 0.9}


def test_the_lines_of_a_run():
    assert USUAL.lines == [
        "busy: decode 97 %, teacher 61 %, commit 4 %: " + MORE_WORKERS,
        "speed: 1.50 hours of video in 72 s, 1,800 video-hours per day",
    ]


SLOW_READING = "the cores are not, so the decode processes wait for what they read: a faster disk or network would help"


@pytest.mark.parametrize(
    "changes, conclusion",
    [
        ({}, MORE_WORKERS),
        ({"cores": 0.95}, "decode-bound; all 2 cores are busy, so only more cores or a lower --fps would help"),
        ({"tasks": 1}, "there were no further videos or pieces of videos, so more --decode-workers would not help"),
        ({"workers": 2}, SLOW_READING),
        (
            {"workers": 2, "decode": 0.87, "teacher": 0.16, "cores": 0.85},
            "the last videos or pieces of videos took longer than the others, so more --decode-workers would not help",
        ),
        (
            {"workers": 2, "decode": 0.87, "teacher": 0.16, "cores": 0.65},
            SLOW_READING,
        ),
        (TEACHER_BOUND, "teacher-bound; a GPU, a smaller teacher or fewer --views would help"),
        (TEACHER_BOUND | {"threads": 1}, "teacher-bound; a higher OMP_NUM_THREADS would help"),
        (TEACHER_BOUND | {"threads": 2}, "teacher-bound; a GPU, a smaller teacher or fewer --views would help"),
        (TEACHER_BOUND | {"threads": 1, "cores": 0.95}, "a GPU, a smaller teacher or fewer --views would help"),
        (TEACHER_BOUND | {"device": "cuda:0", "is_batch_given": True}, "teacher-bound; a larger --batch-size may help"),
        (TEACHER_BOUND | {"device": "cuda:0"}, "more or faster GPUs, a smaller teacher or fewer --views would help"),
        ({"decode": 0.2, "commit": 0.9}, "commit-bound; a faster disk or network for --cache-dir would help"),
        ({"decode": 0.7}, "no stage was busy all the time"),
        ({"decode": 0.7, "cores": 0.95}, "all 2 cores are busy, so only more cores would help"),
    ],
)
def test_the_advice_is_what_helps_on_this_machine(changes, conclusion):
    assert dataclasses.replace(USUAL, **changes).lines[0].endswith(conclusion)


def test_a_short_run_gives_no_advice():
    assert dataclasses.replace(USUAL, wall_sec=4.9).lines[0] == "busy: decode 97 %, teacher 61 %, commit 4 %"


def test_shares_are_of_the_time_since_decoding_began(monkeypatch):
    monkeypatch.setattr(stage_times, "usable_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    now, processor = FakeClock(), FakeClock()
    clock = StageClock(now, processor)
    processor.advance(30)
    now.advance(20)  # scanning, and loading the teacher
    clock.start()
    with clock.teacher.working():
        now.advance(6)
    now.advance(4)
    processor.advance(24)
    clock.decode_sec, clock.video_sec = 15, 60
    times = clock.stop(workers=2, tasks=5, commit_sec=1, device="cpu")
    assert (times.decode, times.teacher, times.commit, times.cores) == (0.75, 0.6, 0.1, 0.6)
    assert (times.wall_sec, times.run_sec, times.video_sec) == (10, 30, 60)
    assert (times.workers, times.tasks, times.num_cores, times.device, times.threads) == (2, 5, 4, "cpu", 3)
    assert clock.stop(workers=8, tasks=1, commit_sec=1, device="").decode == 1.5  # one process ran
    times = clock.stop(workers=2, tasks=5, commit_sec=1, device="cpu", teachers=2, teachers_cpu_sec=8)
    assert (times.teacher, times.cores) == (0.3, 0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    write_video(root / "a.mp4", 60)
    write_video(root / "b.mp4", 90)
    (root / "bad.mp4").write_bytes(b"no video")
    return root


@pytest.mark.integration
def test_an_extraction_measures_its_stages(folder, tmp_path, caplog):
    with caplog.at_level("INFO"):
        result, *_ = run(make_source(folder, ["a", "b", "bad"]), tmp_path / "c", decode_workers=1)
    times = result.times
    assert 0 < times.decode <= 1 and 0 < times.teacher <= 1 and 0 < times.commit <= 1
    assert (times.workers, times.tasks, times.video_sec) == (1, 2, pytest.approx(2 + 3, abs=0.05))
    assert times.run_sec >= times.wall_sec > 0 and set(times.lines) <= set(caplog.messages)
    result, *_ = run(make_source(folder, ["a", "b", "bad"]), tmp_path / "c")
    assert result.times is None  # nothing was left to do


@pytest.mark.integration
def test_a_run_that_continues_counts_only_what_it_does(folder, tmp_path):
    source = make_source(folder, ["a"])
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "c", teacher=StoppingTeacher(), fps=30.0, decode_workers=1)
    result, *_ = run(source, tmp_path / "c", fps=30.0, decode_workers=1)
    assert result.times.video_sec == pytest.approx(2 * 50 / 60, abs=0.05)  # 10 of 60 rows were committed
