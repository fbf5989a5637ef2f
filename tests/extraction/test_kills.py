"""Runs and decode processes killed by SIGKILL: the guarantees of the cache hold."""

import functools
import signal
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_writer, read_identity
from embedonce.pipeline.sources.registry import open_sources
from embedonce.pipeline.sources.source import union
from tests.support import kill_doubles
from tests.support.kill_doubles import Deadly
from tests.support.killed_run import run
from tests.support.killing import BEFORE, Kill, Uninterrupted, content, damage, make_videos

pytestmark = pytest.mark.crash

KILLS = 10  # per back end
KILLED = "decoding crashed the worker process (signal SIGKILL)"


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return make_videos(tmp_path_factory.mktemp("kills") / "videos")


@pytest.fixture(scope="module")
def extractions(videos):
    """backend -> an uninterrupted extraction, which runs on first use."""
    return functools.cache(lambda backend: Uninterrupted(videos, videos.parent / backend, backend))


@pytest.fixture
def deadly(videos, tmp_path):
    """times -> a Deadly for the longest video, whose rows come in two messages and belong to several units."""
    (tmp_path / "counter").touch()
    return lambda times: Deadly(union(open_sources(videos)).videos[-1].uid, times, tmp_path / "counter")


# -- the whole run -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_leaves_a_valid_cache_and_resumes_to_the_same_result(extractions, tmp_path, backend):
    made = list(extractions(backend).chains(tmp_path, KILLS, seed=0))
    assert [text for chain in made for text in chain.complaints] == []
    assert sum(len(chain.kills) for chain in made) >= KILLS


@pytest.mark.parametrize(
    ("dies", "in_writing"),
    [
        pytest.param(kill_doubles.dies_before_it_has_folders, False, marks=pytest.mark.slow),
        (kill_doubles.dies_before_its_first_record, True),
    ],
)
@pytest.mark.slow
def test_a_run_killed_at_a_critical_moment_is_resumed(extractions, tmp_path, dies, in_writing):
    whole, root = extractions("hdf5"), tmp_path / "c"
    ended = run(whole.job(root, mutate=dies))
    assert ended.code == -signal.SIGKILL
    assert whole.examine(root, "everything", ended.acknowledged) == Kill("everything", BEFORE, in_writing)
    assert whole.unlike(root, run(whole.job(root))) == []


# -- decode processes ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_decode_process_killed_in_the_middle_of_a_video_loses_nothing(extractions, tmp_path, deadly):
    whole, once = extractions("hdf5"), deadly(times=1)
    ended = run(whole.job(tmp_path / "c", decode=once))
    assert whole.unlike(tmp_path / "c", ended) == [] and once.counter.stat().st_size == 1
    told = [line for line in ended.lines if line.endswith(once.uid)]
    assert told == [f"count_attempt {once.uid}", f"forget_attempts {once.uid}"]


def test_a_video_that_crashes_every_process_is_quarantined_and_the_others_are_extracted(extractions, tmp_path, deadly):
    whole, always = extractions("hdf5"), deadly(times=99)
    ended = run(whole.job(tmp_path / "c", decode=always))
    assert ended.code == 3 and always.counter.stat().st_size == 2
    assert ended.lines[-1] == "listed 4 videos = 3 committed + 1 quarantined + 0 pending"
    check_quarantine(whole, tmp_path / "c", always.uid)


@pytest.mark.slow
def test_attempts_are_counted_across_runs(extractions, tmp_path, deadly):
    whole, always = extractions("hdf5"), deadly(times=99)
    first = run(whole.job(tmp_path / "c", decode=always, dies_after=f"count_attempt {always.uid}"))
    with closing(open_writer(tmp_path / "c", read_identity(tmp_path / "c"))) as writer:
        assert first.code == -signal.SIGKILL and writer.attempts()[always.uid].attempts == 1
    kill = whole.examine(tmp_path / "c", "everything", first.acknowledged)
    assert kill.invalid == kill.lost == []
    second = run(whole.job(tmp_path / "c", decode=always))
    assert second.code == 3 and always.counter.stat().st_size == 2
    check_quarantine(whole, tmp_path / "c", always.uid)


def check_quarantine(whole: Uninterrupted, root: Path, uid: str) -> None:
    """This video is quarantined with its reason, and no other frames are missing."""
    with closing(open_writer(root, read_identity(root))) as writer:
        reasons = {name: video.reason for name, video in writer.quarantined().items()}
        assert reasons == {uid: f"{KILLED} (2 attempts)"} and writer.attempts() == {}
    found, expected = frames_of(content(root)), frames_of(whole.content)
    assert damage(root) == [] and found.items() <= expected.items()
    assert {key.rpartition("_")[0] for key in expected.keys() - found.keys()} == {uid}


def frames_of(found: dict) -> dict[str, tuple]:
    """key -> (JPEG, CRC-32 of its crops)."""
    units = [value for name, value in found.items() if name.startswith("commit_frames")]
    return {key: (jpeg, tuple(crcs)) for unit in units for key, jpeg, crcs in zip(*unit[1:], strict=True)}


# -- faults that the kills must detect -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutate", "symptom"),
    [
        (kill_doubles.written_in_place, "invalid"),
        (kill_doubles.record_before_shard, "invalid"),
        (kill_doubles.acknowledged_too_early, "lost"),
    ],
)
def test_a_fault_in_the_writer_is_detected(extractions, tmp_path, mutate, symptom):
    whole, generator = extractions("hdf5"), np.random.default_rng(0)

    def is_noticed(root: Path) -> bool:
        ended = run(whole.job(root, mutate=mutate), "everything", whole.seconds * generator.uniform(0.5, 1.5))
        return bool(getattr(whole.examine(root, "everything", ended.acknowledged), symptom))

    assert any(is_noticed(tmp_path / str(number)) for number in range(2 * KILLS))
