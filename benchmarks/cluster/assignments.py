"""Who extracts which videos: fixed parts, parts that help each other, or one queue for all."""

from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.cluster.chunks import Chunk
from benchmarks.cluster.workload import SimulatedVideo
from embedonce.pipeline.extraction.parts import assign

Cost = Callable[[SimulatedVideo], float]


def chunks_of(videos: Sequence[SimulatedVideo], chunk_sec: float, shard_frames: int) -> list[Chunk]:
    """Chunks of consecutive videos that end once they have chunk_sec of video; 0: one video each, inf: all in one."""
    chunks, waiting, waiting_sec = [], [], 0.0
    for video in videos:
        waiting.append(video)
        waiting_sec += video.video_sec
        if waiting_sec >= chunk_sec:
            chunks.append(Chunk(waiting, shard_frames))
            waiting, waiting_sec = [], 0.0
    return [*chunks, Chunk(waiting, shard_frames)] if waiting else chunks


class Parts:
    """`--part i/N`: the videos are dealt once, by an estimated cost, and each worker has a part of its own.

    helps: a worker whose part is taken takes the last chunk of the part with the most work left.
    """

    def __init__(
        self,
        videos: Sequence[SimulatedVideo],
        num_workers: int,
        chunk_sec: float,
        shard_frames: int,
        estimate: Cost,
        helps: bool = False,
    ):
        numbers = assign({video.uid: estimate(video) for video in videos}, num_workers)
        parts: list[list[SimulatedVideo]] = [[] for _ in range(num_workers)]
        for video in sorted(videos, key=lambda video: (-estimate(video), video.uid)):
            parts[numbers[video.uid] - 1].append(video)
        self._queues = [deque(chunks_of(part, chunk_sec, shard_frames)) for part in parts]
        self._left_sec = [sum(chunk.cost_sec for chunk in queue) for queue in self._queues]
        self._helps = helps

    def take(self, worker: int) -> Chunk | None:
        """The next chunk of this worker; None if there is none that it may have now."""
        number = worker
        if not self._queues[worker] and self._helps:
            number = max(range(len(self._queues)), key=self._left_sec.__getitem__)
        if not self._queues[number]:
            return None
        chunk = self._queues[number].popleft() if number == worker else self._queues[number].pop()
        self._left_sec[number] -= chunk.cost_sec
        return chunk

    def give_back(self, worker: int, chunks: Sequence[Chunk]) -> None:
        """The worker died with these chunks."""
        self._queues[worker].extendleft(reversed(chunks))
        self._left_sec[worker] += sum(chunk.cost_sec for chunk in chunks)


class SharedQueue:
    """Ray: whoever is free takes the next chunk; the longest videos come first."""

    def __init__(self, videos: Sequence[SimulatedVideo], chunk_sec: float, shard_frames: int, estimate: Cost):
        longest_first = sorted(videos, key=lambda video: (-estimate(video), video.uid))
        self._queue = deque(chunks_of(longest_first, chunk_sec, shard_frames))

    def take(self, worker: int) -> Chunk | None:
        return self._queue.popleft() if self._queue else None

    def give_back(self, worker: int, chunks: Sequence[Chunk]) -> None:
        self._queue.extendleft(reversed(chunks))


Assignment = Parts | SharedQueue
