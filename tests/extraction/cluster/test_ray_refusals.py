"""What is wrong before any work of a run on Ray: one sentence, with the exit code of its class. Starts no Ray."""

import dataclasses
import os
import socket
import subprocess
import sys
from fractions import Fraction

import pytest

from embedonce.cache.errors import StorageError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster import node, ray_session
from embedonce.pipeline.extraction.cluster.cluster import WorkerSetup
from embedonce.pipeline.extraction.cluster.node import Greeting, NodeWorker, Visibility, program_digest
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.source import Video
from tests.commands.test_cli import error_of
from tests.support.image_files import write_frames


def test_without_ray_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_session, "find_spec", lambda name: None)
    told = error_of("extract-teacher", "--data-dir", tmp_path, "--cache-dir", tmp_path / "c", "--engine", "ray")
    assert told == "--engine ray needs Ray: pip install 'embedonce[ray]'"
    assert not (tmp_path / "c").exists()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine at which nothing answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_at_which_nothing_answers_is_refused_at_once(tmp_path, closed_port, scheme):
    address = f"{scheme}127.0.0.1:{closed_port}"
    words = ["--data-dir", tmp_path, "--cache-dir", tmp_path / "c", "--engine", "ray", "--ray-address", address]
    told = error_of("extract-teacher", *words, code=5)
    assert told.startswith(f"no Ray cluster answers at {address} (") and told.endswith("check --ray-address")


@pytest.mark.parametrize("address", ["host:port", "127.0.0.1:99999", ":"])
def test_an_address_that_is_none_is_refused(address):
    config = ExtractConfig("videos", False, "c", engine="ray", ray_address=address)
    with pytest.raises(PipelineError, match="no Ray cluster answers at"):
        ray_session.check(config)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ray-workers", "2"], "--ray-workers requires --engine ray"),
        (["--ray-address", "auto"], "--ray-address requires --engine ray"),
        (["--engine", "ray", "--part", "1/2"], "--part cannot be used with --engine ray"),
        (["--engine", "ray", "--ray-workers", "0"], "--ray-workers"),
        (["--engine", "ray", "--device", "cuda:0,2"], "--engine ray gives each worker one GPU"),
        (["--engine", "ray", "--teacher-processes", "2"], "--engine ray gives each worker one GPU"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, options, told):
    assert told in error_of("extract-teacher", "--data-dir", tmp_path, "--cache-dir", tmp_path / "c", *options)


def test_neither_help_nor_wrong_options_load_ray():
    code = "import sys; from embedonce import cli; import embedonce.pipeline.extraction.extract_teacher; "
    code += "sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- what workers see ----------------------------------------------------------------------------------------------


@pytest.fixture
def setup(tmp_path) -> WorkerSetup:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"a video")
    config = ExtractConfig(tmp_path / "videos", False, tmp_path / "c", engine="ray")
    return WorkerSetup(config, os.getcwd, Video("a", tmp_path / "videos" / "a.mp4", "a.mp4"))


HERE = Greeting("node", "far", 1, program_digest())


def sees(path: str, num_bytes: int) -> bool:
    return NodeWorker.sees(None, path, num_bytes)


def test_a_worker_that_sees_everything_is_welcome_and_nothing_is_left_behind(setup, tmp_path):
    visibility = Visibility(setup)
    visibility.check(HERE, sees)
    visibility.close()
    assert list((tmp_path / "c").iterdir()) == []


def test_a_probe_that_another_worker_deleted_is_written_again(setup):
    asked = []

    def sees_later(path: str, num_bytes: int) -> bool:
        asked.append(path)
        return len(asked) > 1 and sees(path, num_bytes)

    Visibility(setup).check(HERE, sees_later)
    assert len(asked) == 3


def test_a_cache_folder_that_a_machine_does_not_see_is_refused(setup, tmp_path):
    def sees_other_files(path: str, num_bytes: int) -> bool:
        return "probe" not in path

    with pytest.raises(StorageError, match=f"far does not see the cache folder {tmp_path / 'c'} of this machine"):
        Visibility(setup).check(HERE, sees_other_files)


def test_videos_that_a_machine_does_not_see_are_refused(setup, tmp_path):
    def sees_the_cache(path: str, num_bytes: int) -> bool:
        return "probe" in path

    with pytest.raises(StorageError, match=f"far does not see the videos in {tmp_path / 'videos'}"):
        Visibility(setup).check(HERE, sees_the_cache)


def test_frames_that_a_machine_does_not_see_are_refused(setup, tmp_path):
    folder = write_frames(tmp_path / "frames" / "clip", [1, 2])
    setup = dataclasses.replace(setup, example=Video("a", ImageSequence(folder, Fraction(30)), "clip"))
    seen = []

    def sees_the_cache(path: str, num_bytes: int) -> bool:
        seen.append((path, num_bytes))
        return "probe" in path

    Visibility(setup).check(HERE, sees)
    with pytest.raises(StorageError, match="far does not see the videos in"):
        Visibility(setup).check(HERE, sees_the_cache)
    assert seen[-1] == (str(folder / "img_00001.jpg"), (folder / "img_00001.jpg").stat().st_size)


def test_another_program_is_refused(setup):
    with pytest.raises(PipelineError, match="the embedonce on far is not the one that started this run"):
        Visibility(setup).check(Greeting("node", "far", 1, "other"), sees)


def test_the_digest_of_the_program_changes_with_its_code(monkeypatch, tmp_path):
    for room in node.ROOMS:
        (tmp_path / room).mkdir()
    (tmp_path / "cache" / "a.py").write_text("1")
    monkeypatch.setattr(node.embedonce, "__file__", str(tmp_path / "__init__.py"))
    before = program_digest()
    assert before == program_digest()
    (tmp_path / "cache" / "a.py").write_text("2")
    assert program_digest() != before


class FakeRay:
    """A cluster of two machines, one with GPUs."""

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def nodes() -> list[dict]:
        large, small = {"CPU": 16.0, "GPU": 4.0, "memory": 1e9}, {"CPU": 2.0}
        return [{"Alive": True, "Resources": resources} for resources in (large, small)] + [
            {"Alive": False, "Resources": {"CPU": 100.0}}
        ]


@pytest.mark.parametrize(
    ("options", "workers", "cores", "device", "decode_workers"),
    [
        ({}, 4, 4, "cuda", 4),
        ({"ray_workers": 3, "decode_workers": 7}, 3, 4, "cuda", 7),
        ({"ray_workers": 3, "device": "cpu"}, 3, 5, "cpu", 5),
    ],
)
def test_workers_get_their_share_of_the_cluster(monkeypatch, tmp_path, options, workers, cores, device, decode_workers):
    monkeypatch.setattr(ray_session.RaySession, "ray", FakeRay)
    session = ray_session.RaySession(ExtractConfig(tmp_path, False, tmp_path / "c", engine="ray", **options))
    session.open()
    assert (session.share.workers, session.share.cpus) == (workers, cores)
    assert (session.config.device, session.config.decode_workers) == (device, decode_workers)


def test_a_folder_whose_name_is_too_long_for_sockets_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 20)))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(ray_session, "SHORT_FOLDER", tmp_path)
    (folder,) = ray_session._folder().values()
    assert os.path.isdir(folder)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert ray_session._folder() == {}
