"""Extraction by Ray actors on this machine: started once for all tests. Each run equals one of the local engine."""

import multiprocessing
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from embedonce.cache.state import read_state
from embedonce.cache.store import open_writer, read_identity
from embedonce.pipeline.extraction.cluster.ray_session import RaySession
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.support.cluster_runs import check_equal, extract, extracted_by_one, make_videos
from tests.support.numpy_teacher import write_teacher

ray = pytest.importorskip("ray", reason="ray is an extra: pip install 'embedonce[ray]'")
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return make_videos(tmp_path_factory.mktemp("ray") / "videos")


@pytest.fixture(scope="module")
def whole(videos) -> Path:
    return extracted_by_one(videos, videos.parent)


@pytest.fixture(scope="module", autouse=True)
def session(videos):
    """Ray, as the first run would start it. Later ones find it."""
    handler = signal.getsignal(signal.SIGTERM)
    opened = RaySession(ExtractConfig(videos, False, videos.parent / "c", engine="ray", ray_workers=2))
    opened.open()
    assert signal.getsignal(signal.SIGTERM) is handler
    yield opened
    opened.close()
    assert not ray.is_initialized() and signal.getsignal(signal.SIGTERM) is handler


def run(videos: Path, cache: Path, teacher: Path, *options, code: int = 3) -> str:
    return extract(videos, cache, teacher, "--engine", "ray", "--ray-workers", "2", *options, code=code)


def test_actors_make_the_cache_of_the_local_engine(videos, whole, tmp_path, capfd):
    told = run(videos, tmp_path / "c", write_teacher(tmp_path))
    check_equal(tmp_path / "c", whole)
    assert "listed 8 videos = 7 committed + 1 quarantined + 0 pending" in told
    assert capfd.readouterr().out == ""  # of Ray and of the actors


def test_a_killed_actor_loses_nothing_and_a_video_that_kills_every_one_is_quarantined(videos, whole, tmp_path, capfd):
    told = run(videos, tmp_path / "c", write_teacher(tmp_path, times=99, bright=True))
    check_equal(tmp_path / "c", whole, without="white")
    assert "white.mp4: extracting it alone killed its worker: its process was killed or crashed" in told
    assert len((tmp_path / "deaths.txt").read_text().split()) in (2, 3)
    assert "lost a worker on " in told
    assert capfd.readouterr().out == ""
    with_attempts = open_writer(tmp_path / "c", read_identity(tmp_path / "c"))
    with_attempts.close()
    assert with_attempts.attempts() == {}


def test_an_interrupted_run_ends_its_actors_and_is_continued(videos, whole, tmp_path, caplog):
    cache, other = tmp_path / "c", threading.Event()

    def interrupt() -> None:
        while not (cache / "records").is_dir() or not list((cache / "records").iterdir()):
            other.wait(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    told = run(videos, cache, write_teacher(tmp_path, seconds=0.2), code=128 + signal.SIGTERM)
    assert "interrupted: what was committed is safe" in told and "listed 8 videos = " in caplog.text
    open_writer(cache, read_identity(cache)).close()  # nobody holds it
    state = read_state(cache)
    assert 0 < len(state.reader.records) < len(read_state(whole).reader.records)
    run(videos, cache, write_teacher(tmp_path))
    check_equal(cache, whole)
    assert not multiprocessing.active_children()


def test_the_program_of_decode_processes_does_not_load_ray(session, tmp_path):
    """They import the main module of the process that starts them."""
    from embedonce.pipeline.extraction.cluster.node import NodeWorker

    class Asked(NodeWorker):
        def modules(self) -> bool:
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                return pool.apply(eval, ("'ray' in __import__('sys').modules",))

    worker = ray.remote(Asked).options(num_cpus=1).remote(replace(session.config), os.getcwd, str(tmp_path))
    assert ray.get(worker.modules.remote()) is False
    ray.kill(worker)
