"""A pool that survives what videos do to decoders."""

import os
import signal
import threading
import time

from embedonce.pipeline.engines.process_pool import TaskDone, TaskFailed, TaskResult, WorkerCrashed, WorkerPool
from embedonce.pipeline.video.container import PassingError


def work(task):
    """What a test task does, by its name."""
    name, argument = task
    if name == "count":
        yield from range(argument)
    elif name == "fail":
        yield 1
        raise ValueError(argument)
    elif name == "pass":
        raise PassingError(argument)
    elif name == "crash":
        yield 1
        os.kill(os.getpid(), signal.SIGSEGV)
    elif name == "crash and tell":
        with open(argument, "ab") as file:
            file.write(b"x")
        os._exit(7)
    elif name == "hang":
        yield 1
        time.sleep(60)
    elif name == "crash once":
        yield "first"
        try:
            os.close(os.open(argument, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            yield "second"
        else:
            os._exit(7)
    elif name == "signs":  # more signs of life in the first attempt than in the second
        is_first = not os.path.exists(argument)
        yield from [[]] * (5 if is_first else 0)
        yield "first"
        if is_first:
            os.close(os.open(argument, os.O_CREAT | os.O_EXCL))
            os._exit(7)
        yield from ("second", "third")
    elif name == "pid":
        yield os.getpid()
    elif name in ("crash in a message", "hang in a message"):
        stop = signal.SIGKILL if name == "crash in a message" else signal.SIGSTOP
        threading.Timer(0.5, os.kill, (os.getpid(), stop)).start()
        while True:
            yield bytes(50_000_000)


def outcome(tasks, workers=2, silence_sec=30.0, spent=lambda task: 0, losses=None) -> dict:
    """task -> (values, how it ended). losses: how many processes each task cost are counted here."""
    values, ends, losses = {task: [] for task in tasks}, {}, {} if losses is None else losses
    for event in WorkerPool(work, workers, silence_sec, spent).run(tasks):
        assert event.task not in ends
        if isinstance(event, TaskResult):
            values[event.task].append(event.value)
        elif isinstance(event, WorkerCrashed):
            losses[event.task] = losses.get(event.task, 0) + 1
        else:
            ends[event.task] = "done" if isinstance(event, TaskDone) else event.reason
            assert isinstance(event, TaskDone | TaskFailed)
    return {task: (values[task], ends[task]) for task in tasks}


def test_every_task_ends_and_values_keep_their_order():
    tasks = [("count", n) for n in (0, 5, 40, 3)]
    assert outcome(tasks) == {task: (list(range(task[1])), "done") for task in tasks}
    assert outcome([]) == {}


def test_a_failure_a_crash_and_a_hang_take_nothing_else_with_them(tmp_path):
    tasks = [("count", 3), ("fail", "bad header"), ("crash", 0), ("hang", 0), ("count", 4)]
    tasks.append(("crash once", str(tmp_path / "once")))
    result = outcome(tasks, silence_sec=1.5)
    assert result["count", 3] == ([0, 1, 2], "done") and result["count", 4] == ([0, 1, 2, 3], "done")
    assert result["fail", "bad header"] == ([1], "bad header")
    assert result["crash", 0] == ([1], "decoding it ended the process with signal SIGSEGV (2 attempts)")
    assert result["hang", 0] == ([1], "decoding it showed no progress for 1.5 s (2 attempts)")
    assert result[tasks[-1]] == (["first", "second"], "done")  # "first" was not delivered twice


def test_a_second_attempt_loses_nothing_where_the_first_gave_more_signs_of_life(tmp_path):
    task = ("signs", str(tmp_path / "once"))
    values, end = outcome([task])[task]
    assert [value for value in values if value] == ["first", "second", "third"] and end == "done"


def test_what_may_pass_is_told_apart_from_what_will_not():
    tasks = [("pass", "not now"), ("fail", "never")]
    events = [event for event in WorkerPool(work, 1, 30.0).run(tasks) if isinstance(event, TaskFailed)]
    assert events == [TaskFailed(tasks[0], "not now", is_passing=True), TaskFailed(tasks[1], "never")]


def test_attempts_of_earlier_runs_count(tmp_path):
    tasks = [("crash", 0), ("crash", 1), ("crash once", str(tmp_path / "once"))]
    losses = {}
    result = outcome(tasks, spent=lambda task: {("crash", 1): 1}.get(task, 0), losses=losses)
    assert all("(2 attempts)" in result[task][1] for task in tasks[:2]) and result[tasks[2]][1] == "done"
    assert losses == {("crash", 0): 2, ("crash", 1): 1, tasks[2]: 1}
    spoilt = outcome([("count", 3)], spent=lambda task: 2)
    assert spoilt == {("count", 3): ([], "decoding it cost 2 processes in earlier runs")}


def test_nothing_is_tried_again_before_the_loss_is_counted(tmp_path):
    """A run that ends while it counts one attempt has not spent another one."""
    tasks, counter = [("crash and tell", str(tmp_path / "counter"))], tmp_path / "counter"
    spent = []
    for event in WorkerPool(work, 1, 30.0).run(tasks):
        if isinstance(event, WorkerCrashed):
            time.sleep(1.0)  # more than a process takes to start and to crash
            spent.append(counter.stat().st_size)
    assert spent == [1, 2] and isinstance(event, TaskFailed)
    left_early = WorkerPool(work, 1, 30.0).run(tasks)
    assert isinstance(next(left_early), WorkerCrashed)
    left_early.close()
    assert counter.stat().st_size == 3


def test_a_process_that_ends_or_stops_in_the_middle_of_a_message_is_lost_alone():
    ends = {}
    tasks = [("crash in a message", 0), ("hang in a message", 0), ("count", 3)]
    for event in WorkerPool(work, 2, 3.0).run(tasks):
        if isinstance(event, TaskDone | TaskFailed):
            ends[event.task] = getattr(event, "reason", "done")
    assert ends[tasks[0]] == "decoding it ended the process with signal SIGKILL (2 attempts)"
    assert ends[tasks[1]] == "decoding it showed no progress for 3 s (2 attempts)"
    assert ends[tasks[2]] == "done"


class _Stillborn:
    """A function that ends the process which is given it, before that takes any task."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_process_that_never_takes_its_task_is_lost_alone():
    task = "x" * 1_000_000  # more than a pipe holds
    *losses, event = WorkerPool(_Stillborn(), 1, 5.0).run([task])
    assert losses == [WorkerCrashed(task, "decoding it ended the process with exit code 9")] * 2
    assert event == TaskFailed(task, "decoding it ended the process with exit code 9 (2 attempts)")


def test_processes_are_gone_when_the_run_is_left_early():
    pids = []
    for event in WorkerPool(work, 2, 30.0).run([("pid", n) for n in range(3)] + [("hang", n) for n in range(2)]):
        if isinstance(event, TaskResult) and event.value != 1:
            pids.append(event.value)
        if len(pids) == 3:
            break
    deadline = time.monotonic() + 100
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
