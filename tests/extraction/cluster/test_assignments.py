"""Handing out work: nothing is lost or done twice, and the video that kills workers is found with few deaths."""

import pytest

from embedonce.pipeline.extraction.cluster.assignments import MAX_LOSSES, Assignments, Cause, Chunk, Trial


def uids(work: Chunk) -> tuple[str, ...]:
    return work.uids


def test_chunks_are_handed_out_in_order_and_once():
    work = Assignments([("a", "b"), ("c",)])
    assert uids(work.take(1)) == ("a", "b") and uids(work.take(2)) == ("c",) and work.take(3) is None
    assert not work.is_complete
    assert uids(work.finish(1)) == ("a", "b") and uids(work.finish(2)) == ("c",)
    assert work.is_complete and work.take(1) is None


@pytest.mark.parametrize("cause", [Cause.NODE, Cause.ERROR])
def test_the_chunk_of_a_lost_worker_is_the_next_that_is_handed_out(cause):
    work = Assignments([("a", "b"), ("c",)])
    work.take(1)
    assert work.lose(1, cause, ["a"]) is None
    assert uids(work.take(2)) == ("a", "b")


def test_after_a_crash_other_work_comes_first():
    work = Assignments([("a", "b"), ("c",)])
    work.take(1)
    assert work.lose(1, Cause.CRASH, ["a"]) is None
    assert uids(work.take(2)) == ("c",) and uids(work.take(3)) == ("a", "b")


def test_nodes_may_leave_as_often_as_they_like():
    work = Assignments([("a",)])
    for worker in range(10 * MAX_LOSSES):
        work.take(worker)
        assert work.lose(worker, Cause.NODE) is None
    work.take("last")
    work.finish("last")
    assert work.is_complete


@pytest.mark.parametrize("cause", [Cause.ERROR, Cause.CRASH])
def test_a_run_ends_when_a_chunk_has_lost_too_many_workers(cause):
    work = Assignments([("a",)])
    lost = []
    for worker in range(MAX_LOSSES):
        work.take(worker)
        lost.append(work.lose(worker, cause))
    assert lost[:-1] == [None] * (MAX_LOSSES - 1) and uids(lost[-1]) == ("a",)


def crashed_twice() -> Assignments:
    """A chunk whose videos b and c may have killed two workers."""
    work = Assignments([("a", "b", "c")])
    for worker in (1, 2):
        work.take(worker)
        work.lose(worker, Cause.CRASH, ["b", "c"])
    return work


def test_after_two_crashes_the_unfinished_videos_are_tried_alone_and_the_chunk_waits():
    work = crashed_twice()
    trials = [work.take(worker) for worker in (3, 4)]
    assert [trial.uid for trial in trials] == ["b", "c"]
    assert work.take(5) is None and not work.is_complete
    work.finish(3)
    assert work.take(6) is None
    work.finish(4)
    assert uids(work.take(6)) == ("a", "b", "c")


def test_a_trial_that_kills_its_worker_is_repeated_until_the_video_is_convicted():
    work = crashed_twice()
    assert work.take(3).uid == "b"
    assert work.lose(3, Cause.CRASH) is None
    assert work.take(4).uid == "c"
    work.finish(4)
    again = work.take(5)
    assert again.uid == "b" and isinstance(again, Trial) and work.take(6) is None
    work.convict(5)
    assert uids(work.take(6)) == ("a", "b", "c")  # its units are completed without b


def test_after_a_conviction_further_culprits_of_the_chunk_are_found_too():
    work = Assignments([tuple("abcdefgh")])
    left = list("bcdefg")
    for worker in range(100):
        taken = work.take(worker)
        if isinstance(taken, Trial) and taken.uid == left[0]:
            work.convict(worker)
            left.pop(0)
        elif isinstance(taken, Trial):
            work.finish(worker)
        elif left:
            assert work.lose(worker, Cause.CRASH, left[:1]) is None
        else:
            work.finish(worker)
            break
    assert work.is_complete and left == []


def test_a_chunk_of_which_every_video_is_innocent_does_not_loop():
    work = crashed_twice()
    for worker in (3, 4):
        work.take(worker)
        work.finish(worker)
    work.take(5)
    assert uids(work.lose(5, Cause.CRASH, ["b", "c"])) == ("a", "b", "c")


def test_a_chunk_with_suspects_of_earlier_runs_is_tried_after_its_first_crash():
    work = Assignments([("a", "b"), ("c",)], suspected=["b"])
    work.take(1)
    work.lose(1, Cause.CRASH, ["a", "b"])
    assert uids(work.take(1)) == ("c",)
    assert [work.take(worker).uid for worker in (2, 3)] == ["a", "b"]


def test_a_crash_before_anything_was_planned_suspects_nobody():
    work = Assignments([("a", "b")])
    for worker in (1, 2):
        assert uids(work.take(worker)) == ("a", "b")
        work.lose(worker, Cause.CRASH, [])
    assert uids(work.take(3)) == ("a", "b")
