"""Small machines and odd values: closed streams, few file handles, little shared memory, no inodes, huge numbers."""

import errno
import os
import resource
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.utils.data import Dataset

from embedonce import cli
from embedonce.cache import commit
from embedonce.cache.errors import StorageError
from embedonce.pipeline.clips import batch_transport
from embedonce.pipeline.clips.loader import batches, in_order
from embedonce.pipeline.engines.engine import EngineOptions, TaskDone
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.settings.ranges import MAX_SEED
from embedonce.pipeline.training.settings import TrainConfig
from tests.support.conformance.engine_tasks import run_named_task
from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 2)


# -- streams ---------------------------------------------------------------------------------------------------------


def shell(script: str, *arguments) -> subprocess.CompletedProcess:
    """Run a bash script.

    PROGRAM stands for `python cli.py`, and RUN for `python cli.py inspect-cache --cache-dir "$1"`.
    """
    program = f"{sys.executable} {ROOT / 'cli.py'}"
    script = script.replace("PROGRAM", program).replace("RUN", f'{program} inspect-cache --cache-dir "$1"')
    return subprocess.run(
        ["bash", "-c", script, "bash", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )


@pytest.mark.parametrize("closed", [">&-", "<&- 2>&- >&-", "2>/dev/full"])
@pytest.mark.integration
def test_a_closed_stream_does_not_stop_a_command(tiny, closed):
    found = shell(f"RUN {closed}", tiny)
    assert found.returncode == 0 and found.stderr == ""
    assert (found.stdout == "") == (">&-" in closed.split())


def test_the_next_opened_file_does_not_take_the_place_of_a_closed_stderr(tmp_path):
    code = (
        "import os, sys\nfrom embedonce.pipeline.console import standard_streams\n"
        "from embedonce.pipeline.processes import interrupts\n"
        "standard_streams.open_standard_descriptors(); interrupts.handle_until_exit()\n"
        "file = open(sys.argv[1], 'wb')\nassert file.fileno() > 2\nos.write(2, b'a library speaks')\n"
    )
    path = tmp_path / "file"
    command = f'{sys.executable} -c "$1" "$2" 2>&- >&- <&-'
    assert subprocess.run(["bash", "-c", command, "bash", code, path], cwd=ROOT).returncode == 0
    assert path.read_bytes() == b""


@pytest.mark.integration
def test_a_pipe_closed_by_its_reader_does_not_change_the_exit_code(tiny, tmp_path):
    assert shell('RUN | true; echo "${PIPESTATUS[0]}"', tiny).stdout == "0\n"
    assert shell('RUN 2>&1 | true; echo "${PIPESTATUS[0]}"', tmp_path / "nowhere").stdout == "4\n"


@pytest.mark.integration
@pytest.mark.parametrize("command", ["RUN", "PROGRAM --help"])
def test_output_that_cannot_be_written_is_an_error(command, tiny):
    found = shell(f"{command} > /dev/full", tiny)
    assert found.returncode == 5
    assert found.stderr.startswith("Error: standard output: No space left on device") and found.stderr.count("\n") == 1


# -- file handles and processes --------------------------------------------------------------------------------------


def test_a_pool_that_cannot_start_a_process_raises_the_reason(monkeypatch):
    """And not an error from the cleanup of the supervisor."""
    import multiprocessing

    def refuse(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(context.Process, "start", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        list(WorkerPool(run_named_task, EngineOptions(2, 30.0)).run([("count_to", 1), ("count_to", 2)]))
    monkeypatch.undo()
    *values, end = WorkerPool(run_named_task, EngineOptions(2, 30.0)).run([("count_to", 2)])
    assert [event.value for event in values] == [0, 1] and end == TaskDone(("count_to", 2))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "raise the limit (ulimit -n)"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "x: No space left on device; make space"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "no more threads can be started"),
    ],
)
def test_errors_of_the_machine_are_one_sentence_with_exit_code_5(monkeypatch, error, message):
    def work(**_):
        raise error

    monkeypatch.setattr(cli.main.commands["verify-cache"], "callback", work)
    result = CliRunner().invoke(cli.main, ["verify-cache"])
    assert result.exit_code == 5 and result.output.startswith("Error: ") and message in result.output


class Numbers(Dataset):
    """Items of 60 kB whose values are all equal to their index."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        return {"frames": torch.full((3, 100, 200), index, dtype=torch.uint8), "label": torch.tensor(index)}


def check_numbers(num_workers: int) -> None:
    found = list(batches(Numbers(), in_order(8, 2), num_workers))
    assert [batch["label"].tolist() for batch in found] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    for batch in found:
        assert batch["frames"].shape == (2, 3, 100, 200) and batch["frames"].dtype == torch.uint8
        assert torch.equal(batch["frames"][:, 0, 0, 0].long(), batch["label"])


def test_batches_are_loaded_without_shared_memory(monkeypatch):
    """As in a container whose /dev/shm has 64 MB, or does not exist."""
    shared = []
    real = torch.utils.data.default_collate
    monkeypatch.setattr(batch_transport, "default_collate", lambda items: shared.append(1) or real(items))
    monkeypatch.setattr(batch_transport, "get_worker_info", lambda: "a worker")
    items = [Numbers()[0], Numbers()[1]]
    for room, is_shared in ((10**9, True), (1000, False), (None, False)):
        monkeypatch.setattr(batch_transport, "SHARED_MEMORY", "/dev/shm" if room is not None else "/nowhere")
        monkeypatch.setattr(os, "statvfs", statvfs(room)) if room is not None else None
        shared.clear()
        batch = batch_transport.Collate(num_workers=2)(items)
        assert bool(shared) == is_shared and isinstance(batch["frames"], torch.Tensor if is_shared else np.ndarray)
        assert torch.equal(batch_transport.as_tensors(batch)["frames"], torch.stack([item["frames"] for item in items]))
    monkeypatch.undo()
    monkeypatch.setattr(batch_transport, "SHARED_MEMORY", "/nowhere")
    check_numbers(2)


def test_arrays_and_numbers_go_through_a_pipe_like_tensors(monkeypatch):
    """As in the training of the demo teacher."""
    monkeypatch.setattr(batch_transport, "get_worker_info", lambda: "a worker")
    items = [{"crop": np.full((2, 3), n, np.uint8), "frame": n} for n in range(3)]
    for place in ("/dev/shm", "/nowhere"):
        monkeypatch.setattr(batch_transport, "SHARED_MEMORY", place)
        batch = batch_transport.as_tensors(batch_transport.Collate(num_workers=2)(items))
        assert batch["frame"].tolist() == [0, 1, 2] and batch["frame"].dtype == torch.int64
        assert batch["crop"].shape == (3, 2, 3) and batch["crop"].dtype == torch.uint8


def statvfs(room: int):
    """A replacement of os.statvfs for a file system with this many bytes free."""
    fields = namedtuple("fields", "f_bavail f_frsize")
    return lambda path: fields(room, 1)


def test_few_file_handles_are_enough_for_training(monkeypatch, caplog):
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (32, 32))
    assert batch_transport.usable_workers(4) == 0 and not batch_transport.Collate(2)._has_descriptors
    check_numbers(2)
    assert "too few files may be open at once (raise ulimit -n)" in caplog.text
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (1024, 4096))
    assert batch_transport.usable_workers(4) == 4 and batch_transport.Collate(4)._has_descriptors


def test_batches_are_loaded_in_this_process_if_no_worker_can_be_started(monkeypatch, caplog):
    def refuse(*_, **__):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(torch.multiprocessing.get_context("fork").Process, "start", refuse)
    monkeypatch.setattr(torch.multiprocessing.Process, "start", refuse)
    check_numbers(2)
    assert "no loader processes can be started" in caplog.text


def test_a_file_system_without_free_inodes_is_reported_as_such(tmp_path, monkeypatch):
    real = os.statvfs(tmp_path)
    fields = namedtuple("found", "f_files f_favail f_bavail f_frsize")
    monkeypatch.setattr(os, "statvfs", lambda path: fields(1000, 0, real.f_bavail, real.f_frsize))

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(commit, "open", refuse, raising=False)
    with pytest.raises(StorageError, match=r"can hold no more files \(df -i: no inodes are left\).*committed is safe"):
        commit.publish(tmp_path / "name", b"data")


# -- options ---------------------------------------------------------------------------------------------------------

ABSURD = {
    "extract-teacher": [
        *(("--seed", value, "--seed must be") for value in ("-1", str(MAX_SEED + 1), "1" + 300 * "0")),
        *(("--fps", value, "--fps must be") for value in ("1e300", "5e-324", "-1e300", "inf", "-inf")),
        *(("--video-timeout", value, "--video-timeout must be") for value in ("inf", "nan", "-1", "0", "1e-300")),
        *(("--batch-size", value, "--batch-size must be") for value in ("0", "-1", "1" + 30 * "0")),
        ("--batch-size", "automatic", "'automatic' is not a valid integer or auto"),
        ("--decode-workers", "100000", "--decode-workers must be at most 256, got 100000"),
        ("--shard-frames", "1" + 30 * "0", "--shard-frames must be at most"),
        ("--num-samples", "1" + 400 * "0", "--num-samples must be at most"),
        ("--jpeg-quality", "1" + 400 * "0", "--jpeg-quality must be from 90 to 100"),
    ],
    "train-student": [
        *(("--temperature", value, "--temperature must be") for value in ("1e300", "1e-300", "0", "-1", "nan", "inf")),
        *(("--seed", value, "--seed must be") for value in ("-1", str(MAX_SEED + 1))),
        *(("--lr", value, "--lr must be") for value in ("1e300", "-1", "nan")),
        *((f"--{name}", "1e300", f"--{name} must be at most") for name in ("alpha", "beta", "gamma", "weight-decay")),
        ("--num-workers", "100000", "--num-workers must be at most 256, got 100000"),
        ("--frames-per-clip", "1" + 12 * "0", "--frames-per-clip must be at most 256"),
        ("--epochs", "1" + 400 * "0", "--epochs must be at most"),
        ("--accumulate-steps", "1" + 400 * "0", "--accumulate-steps must be at most"),
    ],
    "evaluate": [
        *(("--seed", value, "--seed must be") for value in ("-1", str(MAX_SEED + 1))),
        ("--num-workers", "100000", "--num-workers must be at most 256"),
        ("--num-samples", "-1", "--num-samples must be greater than 0"),
    ],
    "compare": [("--seed", str(MAX_SEED + 1), "--seed must be"), ("--num-workers", "257", "--num-workers must be")],
    "export-student": [("--seed", str(MAX_SEED + 1), "--seed must be"), ("--seed", "-1", "--seed must be 0 or more")],
    "relabel": [("--seed", str(MAX_SEED + 1), "--seed must be"), ("--seed", "-1", "--seed must be 0 or more")],
    "verify-cache": [("--seed", str(MAX_SEED + 1), "'--seed'"), ("--seed", "-1", "'--seed'")],
    "inspect-cache": [("--frames", "1" + 12 * "0", "'--frames'")],
    "download-ego4d": [
        *(("--seed", value, "'--seed'") for value in ("-1", str(MAX_SEED + 1))),
        *(("--max-gb", value, "'--max-gb'") for value in ("nan", "inf", "0", "1e300")),
        *(("--max-hours", value, "'--max-hours'") for value in ("nan", "inf", "-1")),
    ],
    "search-cache": [
        ("--top", "1" + 12 * "0", "--top must be at most"),
        *(("--min-gap", value, "--min-gap must be") for value in ("nan", "inf", "-1")),
        ("--threshold", "nan", "--threshold must be"),
    ],
    "plan-ego4d": [("--fps", "1e300", "--fps must be at most 1000"), ("--fps", "1e-300", "--fps must be at least")],
}
GIVEN = {
    "plan-ego4d": ["--data-dir", "d"],
    "search-cache": ["--text", "cup"],
    "relabel": ["--classes", __file__],
    "compare": ["a", "b"],
}


@pytest.mark.parametrize(
    ("name", "option", "value", "message"), [(name, *row) for name, rows in ABSURD.items() for row in rows]
)
def test_numbers_out_of_range_are_refused_before_any_work(name, option, value, message):
    result = CliRunner().invoke(cli.main, [name, *GIVEN.get(name, []), option, value])
    assert result.exit_code == 2 and message in result.output, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_ranges_are_checked_in_settings_made_in_code():
    assert ExtractConfig(Path("v"), False, Path("c"), video_timeout=1e10).video_timeout == 1e10
    with pytest.raises(ValueError, match="--temperature must be at most 1000, got 1e"):
        TrainConfig(Path("c"), Path("o"), temperature=1e300)
    with pytest.raises(ValueError, match="--seed must be 0 or more, got -3"):
        TrainConfig(Path("c"), Path("o"), seed=-3)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("extract-teacher", "--config"),
        ("extract-teacher", "--classes"),
        ("extract-teacher", "--class-names"),
        ("extract-teacher", "--data-dir"),
        ("extract-teacher", "--teacher-model"),
        ("extract-teacher", "--teacher-weights"),
        ("evaluate", "--student-checkpoint"),
        ("relabel", "--class-names"),
        ("inspect-cache", "--html"),
        ("plan-ego4d", "--json"),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device"])
def test_pipes_and_devices_are_refused_and_not_read(tmp_path, name, option, kind):
    path = tmp_path / "special"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = "/dev/zero"
    else:
        path.symlink_to("/dev/zero")
    needed = ["--data-dir", "d"] if name == "plan-ego4d" else []
    result = CliRunner().invoke(cli.main, [name, *needed, option, str(path)])
    assert result.exit_code == 2 and "is a pipe, a socket or a device" in result.output, result.output
