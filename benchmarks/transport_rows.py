"""The sending process of benchmarks/transport.py."""

import time

import numpy as np

from embedonce.pipeline.engines.channel import Channel
from embedonce.pipeline.extraction.decode_tasks import Row
from embedonce.pipeline.processes.allocator import keep_freed_memory

ROWS, JPEG_BYTES = 8, 30_000


def message(views: int, size: int) -> list[Row]:
    """Rows with random crops."""
    generator = np.random.default_rng(0)
    return [
        Row(i, bytes(JPEG_BYTES), generator.integers(0, 256, (views, size, size, 3), np.uint8), np.zeros(views, "u4"))
        for i in range(ROWS)
    ]


def send_rows(channel: Channel, views: int, size: int) -> None:
    """The loop of the sending process: (whether through the pipe, how many messages) -> its processor seconds."""
    keep_freed_memory()
    rows = message(views, size)
    while True:
        through_pipe, count = channel.receive()
        start = time.process_time()
        send = channel.pipe.send if through_pipe else channel.send
        for _ in range(count):
            send(rows)
        channel.send(time.process_time() - start)
