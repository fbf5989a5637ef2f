"""Several teacher processes make the same cache as one teacher, also when some of them are killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction import extract_teacher
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.commands.test_cli import error_of
from tests.extraction.test_runner import check_same_rows, content
from tests.support import fake_teacher_module
from tests.support.conformance.engine import wait_until
from tests.support.held_files import held_files, named_memory
from tests.support.videos import write_video
from tests.teachers.test_group import numbers

ROOT = Path(__file__).parents[2]
LOGIT_TOLERANCE = 0.2  # at a scale of 100: the embeddings are stored in float16

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for number, name in enumerate(("cut/a", "cut/b", "stir/c", "stir/d")):
        (root / name).parent.mkdir(exist_ok=True)
        write_video(root / f"{name}.mp4", 60 + 30 * number)
    return root


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "told").mkdir()
    return tmp_path / "told"


def config_of(videos: Path, cache_dir: Path, folder: Path, processes: int, **changes) -> ExtractConfig:
    settings = {"shard_frames": 8, "batch_size": 4, "decode_workers": 1, "fps": 5.0, "views": 2, "device": "cpu"}
    teacher = {"teacher_module": Path(fake_teacher_module.__file__), "teacher_model": f"told:{folder}"}
    return ExtractConfig(videos, False, cache_dir, teacher_processes=processes, **(settings | teacher | changes))


def check_same(found: Path, expected: Path) -> None:
    """Two caches have the same rows, label sets and, up to rounding, embeddings and logits."""
    check_same_rows(content(found), content(expected))
    ours, theirs = open_reader(found), open_reader(expected)
    assert ours.records.keys() == theirs.records.keys() and ours.identity == theirs.identity
    labels = ours.label_set()
    assert labels.clips == theirs.label_set().clips and labels.prompts == theirs.label_set().prompts
    for unit in ours.records:
        pair = [reader.all_logits(labels.name, unit) for reader in (ours, theirs)]
        np.testing.assert_allclose(*pair, rtol=0, atol=LOGIT_TOLERANCE)


def provenance_of(cache_dir: Path) -> list[dict]:
    return [record.provenance for record in open_reader(cache_dir).records.values()]


@pytest.mark.numeric
def test_two_processes_make_the_same_cache_as_one_teacher(videos, folder, tmp_path):
    extract_teacher.run(config_of(videos, tmp_path / "one", folder, 1))
    assert len(numbers(folder, "loaded")) == 1
    result = extract_teacher.run(config_of(videos, tmp_path / "two", folder, 2))
    assert result.extraction.committed == 4 and len(numbers(folder, "embedded")) == 3
    check_same(tmp_path / "two", tmp_path / "one")
    assert numbers(folder, "loaded") >= {str(os.getpid())} and len(numbers(folder, "loaded")) == 3
    assert all("teacher_processes" not in one for one in provenance_of(tmp_path / "one"))
    assert all(one["teacher_processes"] == 2 and one["device"] == "cpu" for one in provenance_of(tmp_path / "two"))
    assert not [number for number in numbers(folder, "loaded") - {str(os.getpid())} if is_running(number)]


def is_running(number: str) -> bool:
    return os.path.exists(f"/proc/{number}")


@pytest.mark.integration
def test_a_killed_teacher_process_changes_nothing_in_the_cache(videos, folder, tmp_path, caplog):
    extract_teacher.run(config_of(videos, tmp_path / "one", folder, 1))
    (folder / "kill-1").touch()
    extract_teacher.run(config_of(videos, tmp_path / "two", folder, 2))
    check_same(tmp_path / "two", tmp_path / "one")
    assert sum("ended (signal SIGKILL): it is started again" in line for line in caplog.messages) == 1


@pytest.mark.integration
def test_a_run_whose_teacher_processes_all_die_keeps_what_it_committed_and_continues(videos, folder, tmp_path):
    extract_teacher.run(config_of(videos, tmp_path / "one", folder, 1))
    for number in range(4):
        (folder / f"kill-{number}").touch()
    with pytest.raises(PipelineError, match=r"ended 2 t.*; what was committed is kept"):
        extract_teacher.run(config_of(videos, tmp_path / "two", folder, 2))
    for path in folder.glob("kill-*"):
        path.unlink()
    extract_teacher.run(config_of(videos, tmp_path / "two", folder, 2))
    check_same(tmp_path / "two", tmp_path / "one")


PROGRAM = """
import sys
from pathlib import Path
from embedonce.pipeline.extraction import extract_teacher
from tests.extraction.test_teacher_processes import config_of
extract_teacher.run(config_of(*map(Path, sys.argv[1:]), 2))
"""


@pytest.mark.integration
def test_a_killed_run_leaves_neither_teacher_processes_nor_memory(videos, folder, tmp_path):
    """Memory without a name cannot be left. Only its own processes are looked at: other tests use /dev/shm, too."""
    (folder / "slow").touch()
    words = [sys.executable, "-c", PROGRAM, videos, tmp_path / "c", folder]
    program = subprocess.Popen(words, cwd=ROOT, start_new_session=True)
    try:
        wait_until(lambda: len(numbers(folder, "embedded")) == 2)
        held = held_files(program.pid)
        assert any("memfd:embedonce" in path for path in held) and not named_memory(held)
        os.kill(program.pid, signal.SIGKILL)
    finally:
        program.kill()
        program.wait()
    wait_until(lambda: not [number for number in numbers(folder, "loaded") if is_running(number)])


@pytest.mark.numeric
@pytest.mark.slow
def test_two_processes_of_the_demo_teacher_make_the_same_cache_as_one(videos, tmp_path):
    usual = {"device": "cpu", "teacher_size": "demo", "batch_size": 8, "fps": 1.0, "decode_workers": 1, "views": 1}
    for name, processes in (("one", 1), ("two", 2)):
        extract_teacher.run(ExtractConfig(videos, False, tmp_path / name, teacher_processes=processes, **usual))
    check_same(tmp_path / "two", tmp_path / "one")
    assert provenance_of(tmp_path / "two")[0]["device"] == "cpu"


# -- devices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0,", "cpu:0", "cuda 1", "", "cuda:0,cuda:1"]
)
def test_what_is_no_device_is_refused_in_one_sentence(videos, device):
    with pytest.raises(ValueError, match=r"--device must be auto, cpu, mps, cuda .*cuda:N.* got ") as error:
        ExtractConfig(videos, False, device=device)
    assert repr(device) in str(error.value)


def test_contradicting_devices_are_refused_in_one_sentence(videos):
    with pytest.raises(ValueError, match=r"--device cuda:0,2,0 names cuda:0 twice; .*--teacher-processes"):
        ExtractConfig(videos, False, device="cuda:0,2,0")
    with pytest.raises(ValueError, match="--teacher-processes 1 is fewer than the 2 devices of --device cuda:0,2"):
        ExtractConfig(videos, False, device="cuda:0,2", teacher_processes=1)
    told = error_of("extract-teacher", "--data-dir", videos, "--device", "cuda:0:1", code=2)
    assert "--device must be" in told


@pytest.mark.parametrize("command", ["train-student", "evaluate", "relabel"])
def test_several_devices_are_for_extraction_only(command):
    told = error_of(command, "--device", "cuda:0,1", code=2)
    assert "'cuda:0,1' is not one of" in told.replace("\n", " ")


def test_a_device_that_is_not_there_is_refused_before_anything_is_scanned(videos, folder, tmp_path, monkeypatch):
    def scanned(*_):
        raise AssertionError("the videos were looked for first")

    monkeypatch.setattr(extract_teacher, "find_sources", scanned)
    for device in ("cuda:7", "cuda:0,7"):
        with pytest.raises(
            ModelOptionError, match=rf"--device {device[:4]}.* is not available on this machine; it has "
        ):
            extract_teacher.run(config_of(videos, tmp_path / "c", folder, 2, device=device))
