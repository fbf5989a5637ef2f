"""Workers as Ray actors, with Ray's own restarts and retries switched off: the run counts attempts itself."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster import ray_session
from embedonce.pipeline.extraction.cluster.cluster import WorkerId, WorkerSetup
from embedonce.pipeline.extraction.cluster.jobs import Job, Report, WorkerLost
from embedonce.pipeline.extraction.cluster.node import Greeting, NodeWorker, Visibility
from embedonce.pipeline.extraction.cluster.ray_session import RaySession
from embedonce.pipeline.extraction.settings import ExtractConfig

ASK_SEC = 2.0  # that a worker waits for something to report
STOP_SEC = 10.0  # that workers have to end what they have begun, when a run is interrupted
THREADS = 3  # calls that a worker answers at once: it is asked, given a job and stopped


class RayCluster:
    """Workers on a Ray cluster. Implements Cluster."""

    def __init__(self, setup: WorkerSetup):
        self._setup = setup
        self._session = RaySession(setup.config)
        self._visibility = Visibility(setup)
        self._numbers = itertools.count(1)
        self._actors: dict[WorkerId, Any] = {}
        self._asked: dict[WorkerId, Any] = {}  # the answer that is awaited of each worker
        self._first_jobs: dict[WorkerId, Job] = {}  # of workers that have not greeted yet
        self._greetings: dict[WorkerId, Greeting] = {}

    @staticmethod
    def check(config: ExtractConfig) -> None:
        """InputError if Ray is not installed, PipelineError if nothing answers at --ray-address."""
        ray_session.check(config)

    @property
    def num_workers(self) -> int:
        return self._session.share.workers

    def start(self) -> WorkerId:
        worker = next(self._numbers)
        share = self._session.share
        how = {"num_cpus": share.cpus, "num_gpus": share.gpus, "max_restarts": 0, "max_task_retries": 0}
        kind = self._session.ray.remote(NodeWorker).options(**how, max_concurrency=THREADS)
        self._actors[worker] = kind.remote(self._session.config, self._setup.load_teacher, self._visibility.folder)
        self._asked[worker] = self._actors[worker].greet.remote()
        return worker

    def send(self, worker: WorkerId, job: Job) -> None:
        if worker in self._greetings:
            self._actors[worker].begin.remote(job)
        else:
            self._first_jobs[worker] = job

    def reports(self, wait_sec: float) -> Sequence[tuple[WorkerId, Report]]:
        ray, asked = self._session.ray, {ref: worker for worker, ref in self._asked.items()}
        if not asked:
            time.sleep(wait_sec)
            return []
        answered, _ = ray.wait(list(asked), num_returns=1, timeout=wait_sec)
        if answered:
            answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        return [(asked[ref], report) for ref in answered for report in self._answer(asked[ref], ref)]

    def end(self, worker: WorkerId) -> None:
        del self._asked[worker]
        self._session.ray.kill(self._actors.pop(worker))

    def place(self, worker: WorkerId) -> str:
        return self._greetings[worker].host if worker in self._greetings else "a machine of the cluster"

    def __enter__(self) -> "RayCluster":
        self._session.open()
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        ray = self._session.ray
        try:
            ended = [actor.stop.remote(STOP_SEC) for worker, actor in self._actors.items() if worker in self._greetings]
            if ended:
                ray.wait(ended, num_returns=len(ended), timeout=STOP_SEC + 1)
            for actor in self._actors.values():
                ray.kill(actor)
        finally:
            self._visibility.close()
            self._session.close()

    def _answer(self, worker: WorkerId, ref: Any) -> list[Report]:
        """What a worker has answered; it is asked again."""
        ray = self._session.ray
        try:
            answer = ray.get(ref)
        except ray.exceptions.RayActorError as error:
            return [self._lost(worker, error)]
        if isinstance(answer, Greeting):
            answer = self._welcome(worker, answer)
        self._asked[worker] = self._actors[worker].reports.remote(ASK_SEC)
        return answer

    def _welcome(self, worker: WorkerId, greeting: Greeting) -> list[Report]:
        """Check that a new worker can do its work, and give it its first job. PipelineError if it cannot."""
        actor, ray = self._actors[worker], self._session.ray
        self._visibility.check(greeting, lambda *question: ray.get(actor.sees.remote(*question)))
        self._greetings[worker] = greeting
        if worker in self._first_jobs:
            actor.begin.remote(self._first_jobs.pop(worker))
        return []

    def _lost(self, worker: WorkerId, error: Any) -> WorkerLost:
        ray = self._session.ray
        if error.actor_init_failed:
            raise PipelineError(f"a Ray worker could not be started: {ray_session.one_line(error)}") from error
        ray.kill(self._actors[worker])  # does nothing to a dead one; one that is out of reach would go on
        del self._actors[worker], self._asked[worker]
        self._first_jobs.pop(worker, None)
        is_away = error.preempted or isinstance(error, ray.exceptions.ActorUnavailableError)
        node = self._greetings[worker].node if worker in self._greetings else None
        if is_away or (node is not None and node not in self._session.living_nodes()):
            return WorkerLost("its machine left the cluster", with_its_node=True)
        memory = "low on memory" in str(error)  # Ray's own monitor kills before the system does
        return WorkerLost("its machine ran out of memory" if memory else "its process was killed or crashed")
