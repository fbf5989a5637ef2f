"""Ctrl-C and SIGTERM: the first ends a run in order, the second immediately; nothing is lost or left running.

Programs and tests synchronize through files; no test measures time.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.pipeline.engines.engine import EngineOptions, TaskDone, TaskResult, WorkerCrashed
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.processes import interrupts, running_time
from tests.support.waiting_task import task_of_a_worker

ROOT = Path(__file__).parents[2]
AT_MOST_SEC = 120.0  # longest wait of a test, on a busy machine
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from embedonce.pipeline.processes import interrupts
folder = Path(sys.argv[1])
def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.02)
interrupts.handle_until_exit()
"""


def wait_for(path: Path, process: subprocess.Popen | None = None) -> None:
    deadline = time.monotonic() + AT_MOST_SEC
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come"
        assert process is None or process.poll() is None, f"ended with {process.returncode} before {path.name}"
        time.sleep(0.02)


def start(code: str, folder: Path, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, folder], cwd=ROOT, stderr=subprocess.PIPE, text=True, **options
    )


def end_of(process: subprocess.Popen) -> tuple[int, str]:
    try:
        _, told = process.communicate(timeout=AT_MOST_SEC)
    finally:
        process.kill()
    return process.returncode, told


# -- interrupts are never lost -------------------------------------------------------------------------------------

SWALLOWING = {
    "a hook at a fork": """
def hook():
    if not (folder / "hooked").exists():
        (folder / "hooked").touch()
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
os.register_at_fork(before=hook)
""",
    "logging's hook at a fork": """
import logging
class Lock:
    def __init__(self, lock): self.lock = lock
    def acquire(self):
        self.lock.acquire()
        if not (folder / "hooked").exists():
            (folder / "hooked").touch()
            os.kill(os.getpid(), signal.SIGINT)
    def __getattr__(self, name): return getattr(self.lock, name)
logging._lock = Lock(logging._lock)
""",
}


@pytest.mark.parametrize("where", SWALLOWING)
@pytest.mark.integration
def test_an_interrupt_that_python_discards_is_raised_again(tmp_path, where):
    code = SWALLOWING[where] + (
        "try:\n"
        "    if os.fork() == 0:\n"
        "        os._exit(0)\n"
        "    wait_for('never')\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(interrupts.exit_code())\n"
    )
    code, told = end_of(start(code, tmp_path))
    assert code == 130 and "Traceback" not in told and "ignored" not in told


STUCK = {
    "code that swallows everything": "wait_for('never')",
    "a join": "import threading; threading.Thread(target=wait_for, args=('never',), daemon=True).start()\n"
    "        threading.enumerate()[-1].join()",
    "a step that must not be cut": "\n        with interrupts.deferred():\n            wait_for('never')",
}


@pytest.mark.parametrize("where", STUCK)
@pytest.mark.integration
def test_a_second_signal_always_ends_the_process(tmp_path, where):
    code = f"""
while True:
    try:
        (folder / "ready").touch()
        {STUCK[where]}
    except BaseException:
        (folder / "swallowed").touch()
"""
    process = start(code, tmp_path)
    wait_for(tmp_path / "ready", process)
    process.send_signal(signal.SIGINT)
    if where != "a step that must not be cut":
        wait_for(tmp_path / "swallowed", process)
    time.sleep(2 * interrupts.DOUBLE_SEC)  # an earlier one counts as the same Ctrl-C
    process.send_signal(signal.SIGTERM)
    code, told = end_of(process)
    assert (code, told.split()) == (130, ["ended", "at", "once"])


@pytest.mark.integration
def test_a_second_signal_ends_the_workers_too(tmp_path):
    code = """
import multiprocessing, subprocess
process = multiprocessing.get_context("fork").Process(target=wait_for, args=("never",))
process.start()
program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
interrupts.kill_on_second_signal(program)
(folder / "pids.part").write_text(f"{process.pid} {program.pid}")
(folder / "pids.part").rename(folder / "pids")
while True:
    try:
        wait_for("never")
    except BaseException:
        (folder / "swallowed").touch()
"""
    process = start(code, tmp_path)
    wait_for(tmp_path / "pids", process)
    process.send_signal(signal.SIGTERM)
    wait_for(tmp_path / "swallowed", process)
    time.sleep(2 * interrupts.DOUBLE_SEC)
    process.send_signal(signal.SIGINT)
    assert end_of(process)[0] == 143
    wait_until_gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])


def test_a_deferred_interrupt_is_raised_at_the_end_of_the_step(tmp_path):
    code = """
try:
    with interrupts.deferred():
        (folder / "ready").touch()
        while not interrupts.requested():
            time.sleep(0.02)
        (folder / "step").touch()
    (folder / "beyond").touch()
except KeyboardInterrupt:
    sys.exit(interrupts.exit_code())
"""
    process = start(code, tmp_path)
    wait_for(tmp_path / "ready", process)
    process.send_signal(signal.SIGTERM)
    assert end_of(process) == (143, "")
    assert (tmp_path / "step").exists() and not (tmp_path / "beyond").exists()


# -- every command -------------------------------------------------------------------------------------------------

NEEDED = {
    "add-teacher": ["--name", "second"],
    "completion": ["bash"],
    "convert-cache": ["--output-dir", "o", "--backend", "hdf5"],
    "prepare-energon": ["--output-dir", "o"],
    "export-embeddings": ["--output", "o", "--format", "npy"],
    "merge": ["a", "b"],
    "plan-ego4d": ["--data-dir", "d"],
    "pull-cache": ["ann/kitchen", "--output-dir", "o"],
    "push-cache": ["--repo", "ann/kitchen"],
    "push-student": ["--repo", "ann/student"],
    "relabel": ["--classes", __file__],
    "search-cache": ["--text", "cup"],
    "predict": ["v.mp4"],
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", cli.main.commands)
def test_every_command_ends_with_the_exit_code_of_the_signal_and_a_message(name, number, monkeypatch):
    before = {n: signal.getsignal(n) for n in interrupts.SIGNALS}
    if before[number] == signal.SIG_IGN:
        pytest.skip("ignored by the process that started the tests, and so by us")

    def work(**_):
        signal.raise_signal(number)
        raise AssertionError("the signal did nothing")

    monkeypatch.setattr(cli.main.commands[name], "callback", work)
    result = CliRunner().invoke(cli.main, [name, *NEEDED.get(name, [])])
    assert result.exit_code == 128 + number, result.output
    assert "interrupted: what was committed is safe" in result.output and "Traceback" not in result.output
    assert {n: signal.getsignal(n) for n in interrupts.SIGNALS} == before


def test_an_error_while_a_run_stops_is_reported_and_the_exit_code_stays(monkeypatch):
    def work(**_):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise OSError(28, "No space left on device", "state") from None

    monkeypatch.setattr(cli.main.commands["train-student"], "callback", work)
    result = CliRunner().invoke(cli.main, ["train-student"])
    assert result.exit_code == 143 and "during the shutdown: state: No space left" in result.output


def test_ignored_signals_stay_ignored(tmp_path):
    """As with nohup, and in background jobs of a shell without job control."""
    code = "(folder / 'ready').touch(); wait_for('go'); sys.exit(7)"
    ignore = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", ignore, sys.executable, "-c", PROGRAM + code, tmp_path]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "ready", process)
    process.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    assert end_of(process) == (7, "")


def test_under_torchrun_sigterm_keeps_its_default(tmp_path):
    """Its processes wait for each other in calls that handlers cannot interrupt."""
    code = "sys.exit(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and callable(signal.getsignal(signal.SIGINT)))"
    for size, is_default in (("2", 1), ("1", 0)):
        assert end_of(start(code, tmp_path, env={**os.environ, "WORLD_SIZE": size})) == (is_default, "")


# -- workers -------------------------------------------------------------------------------------------------------


def wait_until_gone(pids) -> None:
    """Zombies count as gone: the process that inherits them may be slow to reap them."""
    deadline = time.monotonic() + AT_MOST_SEC
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"{left} are left"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


POOL = """
from embedonce.pipeline.engines.engine import EngineOptions
from embedonce.pipeline.engines.process_pool import WorkerPool
from tests.support.waiting_task import task_of_a_worker
if __name__ == "__main__":
    try:
        pool = WorkerPool(task_of_a_worker, EngineOptions(2, 600.0))
        for event in pool.run([(str(folder), "a"), (str(folder), "b")]):
            print(type(event).__name__, file=sys.stderr)
    except KeyboardInterrupt:
        sys.exit(interrupts.exit_code())
"""


@pytest.mark.parametrize("strike", ["SIGTERM to all", "SIGKILL to the parent"])
@pytest.mark.integration
def test_workers_neither_outlive_a_run_nor_count_as_crashed(tmp_path, strike):
    process = start(POOL, tmp_path, start_new_session=True)
    wait_for(tmp_path / "a", process)
    wait_for(tmp_path / "b", process)
    pids = [int((tmp_path / name).read_text()) for name in "ab"]
    if strike == "SIGKILL to the parent":
        process.kill()
    else:
        os.killpg(process.pid, getattr(signal, strike.split()[0]))
    code, told = end_of(process)
    wait_until_gone(pids)
    assert code == {"SIGTERM": 143, "SIGKILL": -9}[strike.split()[0]]
    assert "WorkerCrashed" not in told and "TaskFailed" not in told and "Traceback" not in told


@pytest.mark.integration
def test_a_run_suspended_for_an_hour_charges_no_attempt(tmp_path, monkeypatch):
    """As after SIGSTOP and SIGCONT, or a closed laptop: the clock advanced while the process did not run."""
    jump, real = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + jump[0])
    events = []
    for event in WorkerPool(task_of_a_worker, EngineOptions(1, 60.0)).run([(str(tmp_path), "a")]):
        events.append(event)
        if isinstance(event, TaskResult) and event.value == 1:
            time.sleep(2 * running_time.LOOK_SEC)  # by now the supervisor waits for the next message
            jump[0] += 3600
            time.sleep(2 * running_time.LOOK_SEC)
            (tmp_path / "go").touch()
    assert not [event for event in events if isinstance(event, WorkerCrashed)] and isinstance(events[-1], TaskDone)


def test_running_time_excludes_time_in_which_the_process_is_suspended(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    passed = running_time.RunningTime()
    for seconds in (0.25, 0.5, 3600.0, 0.25):
        now[0] += seconds
        total = passed.seconds()
    assert total == 0.25 + 0.5 + 2 * running_time.LOOK_SEC + 0.25


def test_a_very_long_timeout_works(tmp_path):
    (tmp_path / "go").touch()
    *_, last = WorkerPool(task_of_a_worker, EngineOptions(1, 1e10)).run([(str(tmp_path), "a")])
    assert isinstance(last, TaskDone)
