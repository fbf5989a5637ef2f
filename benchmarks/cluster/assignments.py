"""Who extracts which videos: a fixed part each, parts in turn, parts that help each other, or one queue for all.

Each has two more facts for the simulation. starts_anew: each chunk is extracted by a process of its own.
num_last_readers: how many workers read the records of all others when everything is done.
"""

from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.cluster.chunks import Chunk
from benchmarks.cluster.workload import SimulatedVideo
from embedonce.pipeline.extraction.parts import assign
from embedonce.pipeline.extraction.waves import FIRST_WAVE, LARGEST_WAVE

Cost = Callable[[SimulatedVideo], float]


def chunks_of(videos: Sequence[SimulatedVideo], chunk_sec: float | None, shard_frames: int) -> list[Chunk]:
    """Chunks of consecutive videos that end once they have chunk_sec of video; 0: one video each, inf: all in one.

    None: the waves in which extraction plans, each with twice as many videos as the one before.
    """
    if chunk_sec is None:
        return [Chunk(wave, shard_frames) for wave in _waves(videos)]
    chunks, waiting, waiting_sec = [], [], 0.0
    for video in videos:
        waiting.append(video)
        waiting_sec += video.video_sec
        if waiting_sec >= chunk_sec:
            chunks.append(Chunk(waiting, shard_frames))
            waiting, waiting_sec = [], 0.0
    return [*chunks, Chunk(waiting, shard_frames)] if waiting else chunks


def _waves(videos: Sequence[SimulatedVideo]) -> list[Sequence[SimulatedVideo]]:
    waves, length, start = [], FIRST_WAVE, 0
    while start < len(videos):
        waves.append(videos[start : start + length])
        start, length = start + length, min(2 * length, LARGEST_WAVE)
    return waves


class Parts:
    """`--part i/N`: the videos are dealt once, by an estimated cost, and each worker has a part of its own.

    A part works in the order of the listing, or on its longest videos first. helps: a worker whose part is taken takes
    the last chunk of the part with the most work left.
    """

    starts_anew = False

    def __init__(
        self,
        videos: Sequence[SimulatedVideo],
        num_workers: int,
        chunk_sec: float | None,
        shard_frames: int,
        estimate: Cost,
        longest_first: bool = False,
        helps: bool = False,
    ):
        self.num_last_readers = num_workers
        numbers = assign({video.uid: estimate(video) for video in videos}, num_workers)
        parts: list[list[SimulatedVideo]] = [[] for _ in range(num_workers)]
        order = sorted(videos, key=lambda video: (-estimate(video), video.uid)) if longest_first else videos
        for video in order:
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

    starts_anew = False

    def __init__(self, videos: Sequence[SimulatedVideo], chunk_sec: float | None, shard_frames: int, estimate: Cost):
        self.num_last_readers = 1
        longest_first = sorted(videos, key=lambda video: (-estimate(video), video.uid))
        self._queue = deque(chunks_of(longest_first, chunk_sec, shard_frames))

    def take(self, worker: int) -> Chunk | None:
        return self._queue.popleft() if self._queue else None

    def give_back(self, worker: int, chunks: Sequence[Chunk]) -> None:
        self._queue.extendleft(reversed(chunks))


class PartsInTurn:
    """`--part i/N` with more parts than workers: a scheduler starts the next part wherever one has ended."""

    starts_anew = True
    num_last_readers = 0  # each part reads when it ends

    def __init__(self, videos: Sequence[SimulatedVideo], num_parts: int, shard_frames: int, estimate: Cost):
        numbers = assign({video.uid: estimate(video) for video in videos}, num_parts)
        parts: list[list[SimulatedVideo]] = [[] for _ in range(num_parts)]
        for video in videos:
            parts[numbers[video.uid] - 1].append(video)
        self._queue = deque(Chunk(part, shard_frames) for part in parts if part)

    def take(self, worker: int) -> Chunk | None:
        return self._queue.popleft() if self._queue else None

    def give_back(self, worker: int, chunks: Sequence[Chunk]) -> None:
        self._queue.extendleft(reversed(chunks))


Assignment = Parts | PartsInTurn | SharedQueue
