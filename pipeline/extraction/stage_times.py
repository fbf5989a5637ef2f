"""How busy each stage of an extraction was, and which of them the others waited for."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from embedonce.pipeline.processes.busy_time import BusyTime
from embedonce.pipeline.processes.cores import cpu_seconds, usable_cores

SHORT_SEC = 5.0  # shorter runs consist of starting and ending, so nothing is concluded from them
BUSY_SHARE = 0.75  # a stage that worked for less of the time did not hold up the others
ALL_CORES_SHARE = 0.9  # of the time of all cores: nothing else can run beside it
COMPUTING_SHARE = 0.7  # busy decode processes that computed for less of their time waited for what they read
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class StageTimes:
    """Shares (0 to 1) of the time between the start of decoding and the last commit.

    decode: in which the decode processes worked, on average. teacher: in which it embedded; of several processes, on
    average. commit: in which shards were written. cores: of the time of all usable cores, in which this process, the
    decode processes and the teacher processes computed.

    wall_sec: that time. run_sec: with scanning and loading the teacher. video_sec: length of the videos that were
    finished. workers: decode processes that ran. tasks: videos and pieces of long videos to decode. device: of the
    teacher. threads: what limits the teacher's threads on a CPU; None if nothing does. is_batch_given: the user chose
    the batch size.
    """

    decode: float
    teacher: float
    commit: float
    cores: float
    wall_sec: float
    run_sec: float
    video_sec: float
    workers: int
    tasks: int
    num_cores: int
    device: str = ""
    threads: int | None = None
    is_batch_given: bool = False

    @property
    def lines(self) -> list[str]:
        """For the user: the shares with what would help, and the speed."""
        stages = {"decode": self.decode, "teacher": self.teacher, "commit": self.commit}
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in stages.items())
        conclusion = "" if self.wall_sec < SHORT_SEC else f": {_conclusion(self, stages)}"
        return [
            f"busy: {shares}{conclusion}",
            f"speed: {self.video_sec / 3600:.2f} hours of video in {self.run_sec:.0f} s, "
            f"{self.video_sec / self.run_sec * 24:,.0f} video-hours per day",
        ]


class StageClock:
    """Measures the stages of one extraction. clock and cpu_clock: in seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, cpu_clock: Callable[[], float] = cpu_seconds):
        self.teacher = BusyTime(clock)
        self.decode_sec = 0.0  # of all decode processes together
        self.video_sec = 0.0  # length of the videos that are finished
        self._clock, self._cpu_clock = clock, cpu_clock
        self._created = self._start = clock()
        self._cpu_start = cpu_clock()

    def start(self) -> None:
        """Decoding begins; scanning and loading came before."""
        self._start, self._cpu_start = self._clock(), self._cpu_clock()

    def stop(
        self,
        workers: int,
        tasks: int,
        commit_sec: float,
        device: str,
        teachers: int = 1,
        teachers_cpu_sec: float = 0.0,
        is_batch_given: bool = False,
    ) -> StageTimes:
        """All is committed. workers: decode processes. commit_sec: in commits, over how many may run at once.

        teachers: that embedded at the same time. teachers_cpu_sec: processor time of those in processes of their own.
        """
        now = self._clock()
        wall_sec = max(now - self._start, 1e-9)
        ran, num_cores = max(1, min(workers, tasks)), usable_cores()
        return StageTimes(
            decode=self.decode_sec / (ran * wall_sec),
            teacher=self.teacher.seconds / (teachers * wall_sec),
            commit=commit_sec / wall_sec,
            cores=(self._cpu_clock() - self._cpu_start + teachers_cpu_sec) / (num_cores * wall_sec),
            wall_sec=wall_sec,
            run_sec=max(now - self._created, 1e-9),
            video_sec=self.video_sec,
            workers=ran,
            tasks=tasks,
            num_cores=num_cores,
            device=device,
            threads=_thread_limit(),
            is_batch_given=is_batch_given,
        )


def _thread_limit() -> int | None:
    text = os.environ.get(THREADS, "")
    return int(text) if text.isdecimal() else None


def _conclusion(times: StageTimes, stages: dict[str, float]) -> str:
    """Which stage the others waited for, and what would help on this machine."""
    name = max(stages, key=lambda stage: stages[stage])
    if stages[name] >= BUSY_SHARE:
        return f"{name}-bound; {_REMEDIES[name](times)}"
    if times.cores >= ALL_CORES_SHARE:
        return f"all {times.num_cores} cores are busy, so only more cores would help"
    return "no stage was busy all the time"


def _for_decoding(times: StageTimes) -> str:
    if times.cores >= ALL_CORES_SHARE:
        return f"all {times.num_cores} cores are busy, so only more cores or a lower --fps would help"
    if times.workers >= times.tasks:
        return "there were no further videos or pieces of videos, so more --decode-workers would not help"
    if times.workers < times.num_cores:
        return "more --decode-workers would help"
    if _decoding_share(times) < COMPUTING_SHARE:
        return "the cores are not, so the decode processes wait for what they read: a faster disk or network would help"
    return "the last videos or pieces of videos took longer than the others, so more --decode-workers would not help"


def _decoding_share(times: StageTimes) -> float:
    """The share of the time of busy decode processes in which they computed, and did not wait for a disk or network."""
    teacher = times.teacher if times.device == "cpu" else 0.0
    return (times.cores * times.num_cores - teacher) / (times.decode * times.workers)


def _for_the_teacher(times: StageTimes) -> str:
    if times.device != "cpu" and times.is_batch_given:
        return "a larger --batch-size may help"
    if times.device != "cpu":
        return "more or faster GPUs, a smaller teacher or fewer --views would help"
    if times.cores < ALL_CORES_SHARE and times.threads is not None and times.threads < times.num_cores:
        return f"a higher {THREADS} would help"
    return "a GPU, a smaller teacher or fewer --views would help"


def _for_commits(times: StageTimes) -> str:
    return "a faster disk or network for --cache-dir would help"


_REMEDIES: dict[str, Callable[[StageTimes], str]] = {
    "decode": _for_decoding,
    "teacher": _for_the_teacher,
    "commit": _for_commits,
}
