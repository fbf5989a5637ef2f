"""What the worker processes of an extraction do: scan videos, and decode others meanwhile.

Must never load torch, since each worker process imports it.
"""

from collections.abc import Iterator

from embedonce.pipeline.extraction.decode_tasks import DecodeMessage, DecodeTask, decode_video
from embedonce.pipeline.extraction.plan_tasks import PlanTask, plan_video
from embedonce.pipeline.extraction.scan_tasks import Scan, ScanTask, scan_video
from embedonce.pipeline.video.skipping import PackedPlan

VideoTask = DecodeTask | PlanTask | ScanTask


def work_on_video(task: VideoTask) -> Iterator[DecodeMessage | PackedPlan | Scan | None]:
    """Run a task of any kind: yields the messages of decode_video(), of plan_video() or of scan_video()."""
    if isinstance(task, ScanTask):
        yield from scan_video(task)
    elif isinstance(task, PlanTask):
        yield from plan_video(task)
    else:
        yield from decode_video(task)
