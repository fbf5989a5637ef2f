"""What the worker processes of an extraction do: scan videos, and decode others meanwhile.

Must never load torch, since each worker process imports it.
"""

from collections.abc import Iterator

from embedonce.pipeline.extraction.decode_tasks import DecodeMessage, DecodeTask, decode_video
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video

VideoTask = DecodeTask | ScanTask


def work_on_video(task: VideoTask) -> Iterator[DecodeMessage | Scan | None]:
    """Run a task of either kind: yields the messages of decode_video() or of scan_video()."""
    if isinstance(task, ScanTask):
        yield from scan_video(task)
    else:
        yield from decode_video(task)
