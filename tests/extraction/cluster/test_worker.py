"""A worker in this process: what it reports, how it is stopped, and errors that another process must understand."""

import logging
import threading
from pathlib import Path

import pytest

from embedonce.cache.errors import DamagedError
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster import worker as worker_module
from embedonce.pipeline.extraction.cluster.jobs import (
    Extended,
    ExtractVideos,
    JobDone,
    JobFailed,
    LoadTeacher,
    Noted,
    TryVideo,
    Updated,
)
from embedonce.pipeline.extraction.cluster.worker import ChunkWorker, portable
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.progress import Progress
from embedonce.pipeline.sources.source import Source
from tests.support.fake_teacher import FakeTeacher
from tests.support.small_memory import SmallGpu

NOTHING = Source(Path("videos"), "folder", (), (), ())


class Writer:
    def close(self) -> None:
        pass


@pytest.fixture
def made(tmp_path) -> ChunkWorker:
    return ChunkWorker(ExtractConfig(tmp_path, False, tmp_path / "c", engine="ray"), lambda config: FakeTeacher())


def done(worker: ChunkWorker, job) -> list:
    """Everything that a worker reports about a job."""
    worker.begin(job)
    worker._thread.join(30)
    return worker.reports(1.0)


def test_frames_remarks_and_warnings_are_reported_but_not_how_a_chunk_was_counted(made, monkeypatch):
    def extract(config, source, load_teacher, chosen=None):
        with Progress(3, "scanning", "videos") as progress:
            progress.update(3)
        with Progress(5, "extracting frames", "frames") as progress:
            progress.update(2)
            progress.note("one remark")
        logging.getLogger("embedonce.pipeline.x").warning("a %s", "warning")
        logging.getLogger("embedonce.pipeline.x").info("nothing")
        logging.getLogger(extract.__module__).warning("listed 1 videos")
        return Writer(), load_teacher(), None

    extract.__module__ = "embedonce.pipeline.extraction.runner"
    monkeypatch.setattr(worker_module, "extract", extract)
    assert done(made, LoadTeacher()) == [JobDone()]
    told = [Extended(5), Updated(2), Noted("one remark"), Noted("a warning"), JobDone()]
    assert done(made, ExtractVideos(NOTHING)) == told


def test_all_chunks_have_the_same_teacher_whose_batch_size_is_found_once(tmp_path, monkeypatch):
    teachers = []

    def extract(config, source, load_teacher, chosen=None):
        teachers.append(load_teacher())
        teachers[-1].choose_batch_size()
        return Writer(), None, None

    monkeypatch.setattr(worker_module, "extract", extract)
    gpu = SmallGpu(limit=9)
    worker = ChunkWorker(ExtractConfig(tmp_path, False, tmp_path / "c", engine="ray"), lambda config: gpu)
    for job in (LoadTeacher(), ExtractVideos(NOTHING), ExtractVideos(NOTHING)):
        assert done(worker, job)[-1] == JobDone()
    assert teachers[0] is teachers[1] and teachers[0].batch_size == 8 and gpu.sizes.count(16) == 1


def test_a_trial_goes_to_a_folder_that_is_removed_and_its_errors_do_not_matter(made, monkeypatch, tmp_path):
    folders = []

    def extract(config, source, load_teacher, chosen=None):
        folders.append(config.cache_dir)
        config.cache_dir.mkdir()
        raise PipelineError("it cannot be decoded")

    monkeypatch.setattr(worker_module, "extract", extract)
    done(made, LoadTeacher())
    assert done(made, TryVideo(NOTHING)) == [JobDone()]
    assert folders[0] != tmp_path / "c" and not folders[0].parent.exists()


def test_a_worker_stops_at_its_next_sign_of_life_and_reports_nothing_more(made, monkeypatch):
    began, closed = threading.Event(), []

    def extract(config, source, load_teacher, chosen=None):
        try:
            with Progress(0, "extracting frames", "frames") as progress:
                while True:
                    began.set()
                    progress.update()
        finally:
            closed.append(True)

    monkeypatch.setattr(worker_module, "extract", extract)
    done(made, LoadTeacher())
    made.begin(ExtractVideos(NOTHING))
    began.wait(30)
    assert made.stop(30.0) and closed == [True]
    assert not any(isinstance(report, JobDone | JobFailed) for report in made.reports(0.1))


def test_a_worker_without_a_job_stops_at_once(made):
    assert made.stop(0.0)


def test_errors_keep_their_type_and_text_if_they_can_be_sent():
    damaged = portable(DamagedError("a bad shard", has_advice=True))
    assert type(damaged) is DamagedError and str(damaged) == "a bad shard" and damaged.has_advice
    assert portable(PipelineError("x").with_details(["y"])).details == ("y",)


class UnsendableError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize("error", [UnsendableError("two", "parts"), Exception(threading.Lock()), SystemExit(3)])
def test_other_errors_become_their_text(error):
    found = portable(error)
    assert type(found) is PipelineError and str(found) == f"{type(error).__name__}: {error}"
