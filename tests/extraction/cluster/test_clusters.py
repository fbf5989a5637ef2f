"""Extraction by several worker processes, some of which die: the cache is that of one process.

The cluster is one of processes without Ray; everything else is real.
"""

import signal
import threading
from pathlib import Path

import pytest

from embedonce.cache.layout import Layout
from embedonce.cache.state import read_state
from embedonce.cache.store import open_reader, open_writer, read_identity
from embedonce.pipeline.engines.registry import RAY
from embedonce.pipeline.extraction.cluster import chunks
from embedonce.pipeline.extraction.cluster.dispatcher import MAX_CRASHES
from embedonce.pipeline.extraction.cluster.registry import CLUSTERS
from tests.support.cluster_runs import check_equal, extract, extracted_by_one, make_videos
from tests.support.numpy_teacher import write_teacher
from tests.support.process_cluster import ProcessCluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return make_videos(tmp_path_factory.mktemp("cluster") / "videos")


@pytest.fixture(scope="module")
def whole(videos) -> Path:
    return extracted_by_one(videos, videos.parent)


@pytest.fixture(autouse=True)
def cluster(monkeypatch) -> type[ProcessCluster]:
    """The kind of cluster that --engine ray uses here."""

    class Cluster(ProcessCluster):
        pass

    monkeypatch.setitem(CLUSTERS, RAY, Cluster)
    return Cluster


def run(videos: Path, cache: Path, teacher: Path, *options, code: int = 3) -> str:
    return extract(videos, cache, teacher, "--engine", "ray", *options, code=code)


def attempts(cache: Path) -> dict[str, int]:
    writer = open_writer(cache, read_identity(cache))
    writer.close()
    return {name: entry.attempts for name, entry in writer.attempts().items()}


def test_workers_make_the_cache_of_one_process(videos, whole, tmp_path):
    told = run(videos, tmp_path / "c", write_teacher(tmp_path))
    check_equal(tmp_path / "c", whole)
    assert "listed 8 videos = 7 committed + 1 quarantined + 0 pending" in told
    assert "engine: ray" in (tmp_path / "c" / "extract_config.yaml").read_text()
    again = run(videos, tmp_path / "c", write_teacher(tmp_path))
    assert "listed 8 videos = 7 committed + 1 quarantined + 0 pending" in again
    check_equal(tmp_path / "c", whole)


@pytest.mark.slow
def test_a_worker_that_is_killed_once_loses_and_counts_nothing(videos, whole, tmp_path):
    told = run(videos, tmp_path / "c", write_teacher(tmp_path, times=1))
    assert len((tmp_path / "deaths.txt").read_text().split()) == 1
    assert "lost a worker on machine" in told
    check_equal(tmp_path / "c", whole)
    assert attempts(tmp_path / "c") == {}


@pytest.mark.slow
@pytest.mark.parametrize(("together", "deaths"), [(False, 2), (True, 3)])
def test_a_video_that_kills_every_worker_is_quarantined_alone(videos, whole, tmp_path, monkeypatch, together, deaths):
    """With others in its chunk, it kills one more before it is tried alone."""
    if not together:
        monkeypatch.setattr(chunks, "SMALLEST_BYTES", 0)
    told = run(videos, tmp_path / "c", write_teacher(tmp_path, times=99, bright=True))
    check_equal(tmp_path / "c", whole, without="white")
    assert "listed 8 videos = 6 committed + 2 quarantined + 0 pending" in told
    assert "white.mp4: extracting it alone killed its worker" in told
    assert len((tmp_path / "deaths.txt").read_text().split()) == deaths
    assert attempts(tmp_path / "c") == {}


@pytest.mark.slow
def test_the_death_of_a_machine_is_no_videos_fault(videos, whole, tmp_path, cluster):
    cluster.leaves = frozenset(range(100))
    run(videos, tmp_path / "c", write_teacher(tmp_path, times=5))
    check_equal(tmp_path / "c", whole)
    assert not Layout.at(tmp_path / "c").attempts.list()


@pytest.mark.slow
def test_workers_that_always_die_end_the_run_and_no_video_is_blamed(videos, whole, tmp_path, caplog):
    told = run(videos, tmp_path / "c", write_teacher(tmp_path, times=99), code=5)
    assert f"{MAX_CRASHES} workers died, and meanwhile none has extracted a video" in told
    assert "= 0 committed + 1 quarantined + 7 pending" in caplog.text  # the one that is no video
    assert not any("killed" in record.reason for record in open_reader(tmp_path / "c").quarantined().values())
    assert set(attempts(tmp_path / "c").values()) == {1}
    run(videos, tmp_path / "c", write_teacher(tmp_path))  # with a teacher that works
    check_equal(tmp_path / "c", whole)


@pytest.mark.slow
def test_what_a_run_that_was_killed_had_planned_is_extracted(videos, whole, tmp_path):
    """Units that several videos share, of an ordinary run."""
    extract(videos, tmp_path / "c", write_teacher(tmp_path))
    layout = Layout.at(tmp_path / "c")
    for path in (*layout.frame_paths().records.list(), *layout.frame_paths().shards.list())[::2]:
        path.delete()
    assert len(open_reader(tmp_path / "c").records) < len(open_reader(whole).records)
    run(videos, tmp_path / "c", write_teacher(tmp_path))
    check_equal(tmp_path / "c", whole)


def test_an_error_that_concerns_all_workers_ends_the_run_with_its_exit_code(videos, tmp_path):
    run(videos, tmp_path / "c", write_teacher(tmp_path))
    told = run(videos, tmp_path / "c", write_teacher(tmp_path), "--jpeg-quality", "95", code=4)
    assert "was made with other settings" in told


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_was_committed_and_is_continued(videos, whole, tmp_path, caplog):
    cache = tmp_path / "c"

    def interrupt() -> None:
        while not (cache / "records").is_dir() or len(list((cache / "records").iterdir())) < 2:
            pass
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    told = run(videos, cache, write_teacher(tmp_path, seconds=0.3, times=0), code=130)
    assert "interrupted: what was committed is safe" in told and "listed 8 videos = " in caplog.text
    assert 0 < len(read_state(cache).reader.records) < len(read_state(whole).reader.records)
    run(videos, cache, write_teacher(tmp_path))
    check_equal(cache, whole)
