"""A cluster of processes on this machine without Ray: real workers that really die, in a moment."""

import multiprocessing
import os
from multiprocessing import connection

from embedonce.pipeline.extraction.cluster.cluster import WorkerSetup
from embedonce.pipeline.extraction.cluster.jobs import WorkerLost
from embedonce.pipeline.extraction.cluster.worker import ChunkWorker

KILLED = "its process was killed or crashed"


class ProcessCluster:
    """Implements Cluster. workers: at once. leaves: numbers of workers whose death is that of their machine."""

    workers = 2
    leaves: frozenset[int] = frozenset()

    def __init__(self, setup: WorkerSetup):
        self._setup, self.num_started = setup, 0
        self._pipes, self._processes = {}, {}

    @staticmethod
    def check(config) -> None:
        pass

    @property
    def num_workers(self) -> int:
        return self.workers

    def start(self) -> int:
        self.num_started += 1
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._setup.config, self._setup.load_teacher)
        process = context.Process(target=_work, args=arguments)
        process.start()
        theirs.close()
        self._pipes[self.num_started], self._processes[self.num_started] = ours, process
        return self.num_started

    def send(self, worker, job) -> None:
        self._pipes[worker].send(job)

    def reports(self, wait_sec: float) -> list:
        found = []
        for pipe in connection.wait(list(self._pipes.values()), wait_sec):
            worker = next(number for number, other in self._pipes.items() if other is pipe)
            try:
                found += [(worker, report) for report in pipe.recv()]
            except (EOFError, ConnectionError):
                self.end(worker)
                found.append((worker, WorkerLost(KILLED, worker in self.leaves)))
        return found

    def end(self, worker) -> None:
        self._pipes.pop(worker).close()
        process = self._processes.pop(worker)
        process.kill()
        process.join()

    def place(self, worker) -> str:
        return f"machine {worker}"

    def __enter__(self) -> "ProcessCluster":
        return self

    def __exit__(self, error_type, error, traceback) -> None:
        for worker in list(self._pipes):
            self.end(worker)


def _work(pipe, config, load_teacher) -> None:
    worker = ChunkWorker(config, load_teacher)
    while True:
        if pipe.poll(0.02):
            try:
                worker.begin(pipe.recv())
            except EOFError:
                os._exit(0)
        if reports := worker.reports(0.02):
            pipe.send(reports)
