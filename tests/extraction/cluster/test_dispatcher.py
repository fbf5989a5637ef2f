"""Who gets which work, who is started again, what ends a run, and what is shown: with workers that follow a script."""

from collections import Counter, deque
from pathlib import Path

import pytest

from embedonce.cache.errors import DamagedError, StorageError
from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.extraction.cluster.assignments import MAX_LOSSES
from embedonce.pipeline.extraction.cluster.dispatcher import MAX_CRASHES, Dispatcher
from embedonce.pipeline.extraction.cluster.jobs import (
    Extended,
    ExtractVideos,
    JobDone,
    JobFailed,
    LoadTeacher,
    Noted,
    TryVideo,
    Updated,
    WorkerLost,
)
from embedonce.pipeline.sources.source import Clip, Source, Video

CRASH, GONE = WorkerLost("it crashed"), WorkerLost("it left", with_its_node=True)


class Script:
    """A cluster whose workers answer each job as a function says: (worker, job) -> reports."""

    num_workers = 2

    def __init__(self, answer):
        self._answer, self._reports = answer, deque()
        self.started, self.ended, self.jobs = 0, [], []

    def start(self) -> int:
        self.started += 1
        return self.started

    def send(self, worker, job) -> None:
        self.jobs.append((worker, job))
        self._reports += [(worker, report) for report in self._answer(worker, job)]

    def reports(self, wait_sec) -> list:
        assert self._reports, "the run waits for workers that have nothing to do"
        return [self._reports.popleft()]

    def end(self, worker) -> None:
        self.ended.append(worker)
        self._reports = deque(entry for entry in self._reports if entry[0] != worker)

    def place(self, worker) -> str:
        return f"machine {worker}"


class Counts:
    """Suspects that are kept in memory; every video is unfinished until it is quarantined."""

    def __init__(self, *earlier: str):
        self.attempts, self.blamed = Counter(earlier), []

    def counted(self) -> set[str]:
        return set(self.attempts)

    def unfinished(self, uids) -> list[str]:
        return [uid for uid in uids if uid not in self.blamed]

    def count(self, uid, reason) -> int:
        self.attempts[uid] += 1
        return self.attempts[uid]

    def count_once(self, uid, reason) -> None:
        self.attempts[uid] = max(1, self.attempts[uid])

    def clear(self, uid) -> None:
        del self.attempts[uid]

    def quarantine(self, video, reason) -> None:
        self.blamed.append(video.uid)


def source_of(uids: str) -> Source:
    videos = tuple(Video(uid, Path(f"{uid}.mp4"), f"{uid}.mp4") for uid in uids)
    clips = tuple(Clip(f"{uid}:0", uid, 0.0, 1.0, 0, "train") for uid in uids)
    return Source(Path("videos"), "folder", videos, clips, ("cut",), rejected=(("x", "no"),), withdrawn=("y",))


def uids(job) -> str:
    return "".join(video.uid for video in job.source.videos)


def works(worker, job) -> list:
    """The reports of a job that succeeds, with one frame for each video."""
    if isinstance(job, LoadTeacher):
        return [Noted("a demo teacher"), JobDone(tuple(f"ready {request}" for request in job.requests))]
    return [Extended(len(uids(job))), Updated(len(uids(job))), JobDone()]


def run(answer, *chunks: str, counts: Counts | None = None, requests=("r",)):
    """(cluster, counts, ready requests) of a run over these chunks, whose uids are single letters."""
    cluster, counts = Script(answer), counts or Counts()
    everything = source_of("".join(chunks))
    ready = Dispatcher(cluster, everything, [tuple(chunk) for chunk in chunks], counts).run(requests)
    return cluster, counts, ready


def extracted(cluster: Script) -> Counter:
    return Counter("".join(uids(job) for _, job in cluster.jobs if isinstance(job, ExtractVideos)))


def test_every_video_is_extracted_once_and_the_class_prompts_are_embedded_once(capsys):
    cluster, _, ready = run(works, "ab", "c", "d")
    assert extracted(cluster) == Counter("abcd") and cluster.started == 2
    assert ready == ("ready r",)
    loaded = [job for _, job in cluster.jobs if isinstance(job, LoadTeacher)]
    assert [job.requests for job in loaded] == [("r",), ()]
    told = capsys.readouterr().err
    assert told.count("a demo teacher") == 1
    assert "extracting frames of 4 videos, 4 done: 4/4 frames" in told


def test_workers_get_the_clips_of_their_videos_and_nothing_that_the_run_counts():
    cluster, _, _ = run(works, "ab", "c")
    source = next(job.source for _, job in cluster.jobs if isinstance(job, ExtractVideos))
    assert [clip.video_uid for clip in source.clips] == ["a", "b"]
    assert source.rejected == source.withdrawn == source.notes == ()


def test_with_nothing_to_extract_one_worker_embeds_the_class_prompts():
    cluster, _, ready = run(works)
    assert cluster.started == 1 and ready == ("ready r",) and not extracted(cluster)


def test_the_class_prompts_are_embedded_by_another_worker_if_the_first_is_lost():
    def answer(worker, job):
        return [GONE] if worker == 1 else works(worker, job)

    cluster, _, ready = run(answer, "a", "b")
    assert ready == ("ready r",) and extracted(cluster) == Counter("ab")


def test_a_machine_that_leaves_costs_its_chunk_a_repetition_and_nobody_an_attempt(capsys):
    def answer(worker, job):
        is_lost = worker == 1 and isinstance(job, ExtractVideos)
        return [Extended(2), Updated(1), GONE] if is_lost else works(worker, job)

    cluster, counts, _ = run(answer, "ab", "c")
    assert extracted(cluster) == Counter("aabbc") and not counts.attempts
    assert "lost a worker on machine 1: it left" in capsys.readouterr().err


def kills(*deadly: str):
    def answer(worker, job):
        if isinstance(job, LoadTeacher) or not set(deadly) & set(uids(job)) - set(counts.blamed):
            return works(worker, job)
        return [CRASH]

    counts = Counts()
    return answer, counts


def test_of_a_chunk_that_kills_workers_only_the_culprit_is_quarantined(capsys):
    answer, counts = kills("b")
    cluster, _, _ = run(answer, "abc", "d", counts=counts)
    assert counts.blamed == ["b"] and set(counts.attempts) <= {"b"}
    assert capsys.readouterr().err.count("lost a worker") == 3  # with its chunk, again with it, and alone
    tried = Counter(uids(job) for _, job in cluster.jobs if isinstance(job, TryVideo))
    assert tried == Counter("abc")


@pytest.mark.parametrize("chunks", [("abcdef",), ("ab", "cd", "ef"), ("a", "b", "c", "d", "e", "f")])
@pytest.mark.parametrize("deadly", ["a", "ad", "be"])
def test_any_culprits_are_found_and_all_others_extracted(chunks, deadly):
    answer, counts = kills(*deadly)
    cluster, _, _ = run(answer, *chunks, counts=counts)
    assert sorted(counts.blamed) == sorted(deadly)
    assert set("abcdef") <= set(extracted(cluster))


def test_a_teacher_that_always_dies_ends_the_run_and_no_video_is_blamed():
    answer, counts = kills(*"abcdef")
    with pytest.raises(PipelineError, match=f"{MAX_CRASHES} workers died, and meanwhile none has extracted a video"):
        run(answer, "abc", "def", counts=counts)
    assert counts.blamed == [] and set(counts.attempts.values()) == {1}


def test_a_broken_machine_is_given_up_and_its_work_done_elsewhere():
    def answer(worker, job):
        is_broken = worker == 1 and isinstance(job, ExtractVideos)
        return [JobFailed(StorageError("its disk is full"))] if is_broken else works(worker, job)

    cluster, counts, _ = run(answer, "ab", "c")
    assert cluster.ended == [1] and not counts.attempts and set(extracted(cluster)) == set("abc")


@pytest.mark.parametrize("error", [StorageError("its disk is full"), PipelineError("no GPU"), RuntimeError("odd")])
def test_an_error_on_every_machine_ends_the_run_with_that_error(error):
    def answer(worker, job):
        return works(worker, job) if isinstance(job, LoadTeacher) else [JobFailed(error)]

    with pytest.raises(type(error), match=str(error)):
        run(answer, "a")


@pytest.mark.parametrize("error", [DamagedError("a bad shard"), InputError("a bad option")])
def test_an_error_of_the_data_ends_the_run_at_once(error):
    asked = []

    def answer(worker, job):
        asked.append(job)
        return [JobFailed(error)]

    with pytest.raises(type(error), match=str(error)):
        run(answer, "a", "b")
    assert len(asked) == 2  # the two workers that were started


def test_workers_that_die_while_they_load_the_teacher_end_the_run():
    with pytest.raises(PipelineError, match=f"{MAX_LOSSES} workers ended before they had a teacher: it crashed"):
        run(lambda worker, job: [CRASH], "a", "b")
