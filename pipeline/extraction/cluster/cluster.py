"""What a run needs of a cluster: workers that can be started, given jobs, asked and ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedonce.pipeline.extraction.cluster.jobs import Job, Report
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.sources.source import Video
from embedonce.pipeline.teachers.teacher import Teacher

LoadTeacherOf = Callable[[ExtractConfig], Teacher]
WorkerId = int


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker is started with. load_teacher: a function of a module that workers can import.

    example: a video of the run, which every worker must see where this process does.
    """

    config: ExtractConfig
    load_teacher: LoadTeacherOf
    example: Video | None = None


class Cluster(Protocol):
    """Workers on one or more machines, each with a teacher and decode processes of its own. Made with a WorkerSetup.

    A context manager: leaving it ends all workers, which commit first what they have begun to commit.
    """

    @staticmethod
    def check(config: ExtractConfig) -> None:
        """Raise an error if the cluster cannot be used, in a moment and before any work."""
        ...

    @property
    def num_workers(self) -> int:
        """How many workers run at once."""
        ...

    def start(self) -> WorkerId:
        """Start a worker, or let it start as soon as there is room for it. It takes jobs at once."""
        ...

    def send(self, worker: WorkerId, job: Job) -> None:
        """Give a worker a job. It has none."""
        ...

    def reports(self, wait_sec: float) -> Sequence[tuple[WorkerId, Report]]:
        """What workers have reported since; waits for at most wait_sec if there is nothing.

        A lost worker has reported everything else before its WorkerLost.
        """
        ...

    def end(self, worker: WorkerId) -> None:
        """End a worker at once; it reports nothing any more."""
        ...

    def place(self, worker: WorkerId) -> str:
        """Where a worker runs, for messages."""
        ...

    def __enter__(self) -> "Cluster": ...

    def __exit__(self, error_type, error, traceback) -> None: ...
