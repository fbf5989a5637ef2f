"""Batches come back in order and none is lost, whichever member embeds them and however members fail."""

import queue
import threading
import time

import numpy as np
import pytest

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.teachers.batches import BatchedTeacher
from embedonce.pipeline.teachers.lanes import Lanes, TeacherProcessError
from tests.support.conformance.engine import wait_until
from tests.support.fake_clock import FakeClock
from tests.support.fake_teacher import SIZE, FakeTeacher

WAIT_SEC = 60.0


class Counting:
    """Embeds batches of one number each as ten times that number; dies with those for which it is told to."""

    ahead = 2

    def __init__(self, deadly=(), restarts=True, name="teacher process 1 (cpu)"):
        self.name, self.deadly, self.restarts = name, list(deadly), restarts
        self.embedded, self.begun, self.most_begun = [], 0, 0

    def begin(self, images):
        self.begun += 1
        self.most_begun = max(self.most_begun, self.begun)
        return lambda: self._finish(int(images[0]))

    def _finish(self, number):
        if number in self.deadly:
            self.deadly.remove(number)
            raise TeacherProcessError("signal SIGKILL")
        self.begun -= 1
        self.embedded.append(number)
        return np.array([10 * number])

    def restart(self):
        self.begun = 0
        if not self.restarts:
            raise TeacherProcessError("its device is gone")

    def kill(self):
        pass


class Slow(Counting):
    def _finish(self, number):
        time.sleep(0.003 * (number % 5))
        return super()._finish(number)


def results(members, count: int) -> list[int]:
    found = []
    with Lanes(members, BusyTime()) as lanes:
        for number in range(count):
            lanes.submit([np.array(number)])
            found += lanes.pop()
        found += lanes.pop(is_last=True)
        assert list(lanes.pop(is_last=True)) == []
    return [int(value) for (value,) in found]


def ten_times(count: int) -> list[int]:
    return [10 * number for number in range(count)]


def test_results_come_in_the_order_of_the_batches():
    members = [Slow(), Slow(), Slow()]
    assert results(members, 100) == ten_times(100)
    assert sorted(number for one in members for number in one.embedded) == list(range(100))
    assert all(one.embedded and one.most_begun == 2 for one in members)


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_member_begins_no_more_batches_than_it_may(ahead):
    member = Slow()
    member.ahead = ahead
    assert results([member], 20) == ten_times(20) and member.most_begun == ahead


def test_batches_beyond_two_for_each_member_and_one_wait_for_the_first_to_be_done():
    """The first of them is done last; the others may be done before."""
    gate, handed_over = threading.Event(), queue.Queue()

    class Waiting(Counting):
        def _finish(self, number):
            handed_over.put(number)
            assert gate.wait(WAIT_SEC)
            return super()._finish(number)

    with Lanes([Waiting(), Waiting()], BusyTime()) as lanes:
        for number in range(5):
            lanes.submit([np.array(number)])
        assert {handed_over.get(timeout=WAIT_SEC) for _ in range(2)} <= set(range(4))
        sixth = threading.Thread(target=lanes.submit, args=([np.array(5)],), daemon=True)
        sixth.start()
        sixth.join(0.3)
        assert sixth.is_alive() and not list(lanes.pop())
        gate.set()
        sixth.join(WAIT_SEC)
        assert [int(value) for (value,) in lanes.pop(is_last=True)] == ten_times(6)


def test_a_batch_in_between_does_not_come_with_the_others():
    with Lanes([Counting()], BusyTime()) as lanes:
        for number in range(3):
            lanes.submit([np.array(number)])
        assert lanes.embed([np.array(7)]).tolist() == [70]
        assert [int(value) for (value,) in lanes.pop(is_last=True)] == ten_times(3)


def test_whoever_leaves_without_the_results_leaves_no_thread_behind():
    def leave():
        with Lanes([Slow(), Slow()], BusyTime()) as lanes:
            for number in range(5):
                lanes.submit([np.array(number)])

    thread = threading.Thread(target=leave, daemon=True)
    thread.start()
    thread.join(WAIT_SEC)
    assert not thread.is_alive()


# -- deaths --------------------------------------------------------------------------------------------------------


def test_batches_of_a_member_that_dies_are_embedded_once_more():
    members = [Slow([7, 8]), Slow()]
    assert results(members, 50) == ten_times(50)
    assert sorted(number for one in members for number in one.embedded) == list(range(50))


def test_a_member_that_dies_twice_is_given_up_and_the_others_go_on(caplog):
    members = [Slow([0, 1, 2], restarts=False), Slow(name="teacher process 2 (cpu)")]
    first_died, real = threading.Event(), members[1].begin
    members[0].restart = lambda: first_died.set() or Counting.restart(members[0])
    members[1].begin = lambda images: first_died.wait(WAIT_SEC) and real(images)
    assert results(members, 50) == ten_times(50) and members[0].embedded == []
    assert caplog.messages == [
        "teacher process 1 (cpu) ended (signal SIGKILL): it is started again, and its batch is embedded once more",
        "teacher process 1 (cpu) ended 2 times, now with: its device is gone; the others go on without it",
    ]


def test_when_the_last_member_is_given_up_the_run_ends():
    with pytest.raises(PipelineError, match=r"process 1 \(cpu\) ended 2 times, now with: its device is gone; what was"):
        results([Counting([3], restarts=False)], 50)


def test_a_batch_with_which_two_members_die_ends_the_run():
    members = [Counting([3, 3]), Counting([3, 3])]
    with pytest.raises(
        PipelineError, match="a batch of images ended 2 teacher processes, the last one with: signal SI"
    ):
        results(members, 50)


# -- errors and interrupts -----------------------------------------------------------------------------------------


class Stubborn(FakeTeacher):
    """Works until it is interrupted."""

    def __init__(self):
        super().__init__()
        self.works = False

    def begin(self, crops):
        return lambda: self.embed(crops)

    def embed(self, crops):
        self.works = True
        while True:
            time.sleep(0.001)


def test_an_error_of_a_teacher_is_raised_where_its_result_is_asked_for():
    class Failing(Counting):
        def _finish(self, number):
            if number == 3:
                raise ValueError("wrong")
            return super()._finish(number)

    with pytest.raises(ValueError, match="wrong"):
        results([Failing()], 50)


def test_a_single_teacher_that_does_not_overlap_works_in_the_callers_thread():
    class Told(FakeTeacher):
        def embed(self, crops):
            threads.append(threading.current_thread())
            return super().embed(crops)

    threads, busy = [], BusyTime()
    crops = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3)).astype(np.uint8)
    with Lanes(BatchedTeacher(Told(), 4).members, busy) as lanes:
        lanes.submit(list(crops[:4]))
        lanes.submit(list(crops[4:]))
        found = np.concatenate(list(lanes.pop()))
        assert lanes.embed(list(crops)).shape == found.shape
    np.testing.assert_allclose(found, FakeTeacher().embed(crops), rtol=0, atol=1e-6)
    assert set(threads) == {threading.current_thread()} and busy.seconds > 0


def test_an_interrupt_ends_a_teacher_in_this_process_in_the_middle_of_a_batch():
    teacher = Stubborn()
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Lanes(BatchedTeacher(teacher, 4).members, BusyTime()) as lanes:
        lanes.submit([np.zeros((SIZE, SIZE, 3), np.uint8)])
        wait_until(lambda: teacher.works)
        raise KeyboardInterrupt
    assert threading.active_count() == before


def test_waiting_for_batches_is_not_time_of_the_teacher():
    clock = FakeClock()

    class Working(Counting):
        def _finish(self, number):
            clock.advance(5)
            return super()._finish(number)

    busy = BusyTime(clock)
    with Lanes([Working()], busy) as lanes:
        for number in range(3):
            clock.advance(100)
            lanes.submit([np.array(number)])
            assert len(list(lanes.pop(is_last=True))) == 1
            wait_until(lambda done=5 * (number + 1): busy.seconds == done)
