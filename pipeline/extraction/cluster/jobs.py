"""What travels between the run and the workers of a cluster: jobs, and reports of what became of them.

No pixels and no embeddings: workers read the videos and commit the shards themselves.
"""

from dataclasses import dataclass

from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.sources.source import Source


@dataclass(frozen=True)
class LoadTeacher:
    """Load the teacher. requests: label sets whose class prompts are to be embedded with it, once in a run."""

    requests: tuple[LabelSetRequest, ...] = ()


@dataclass(frozen=True)
class ExtractVideos:
    """Extract these videos into the cache. source: has no other videos, and they are matched with the cache."""

    source: Source


@dataclass(frozen=True)
class TryVideo:
    """Extract one video into a temporary folder and discard the result: does it kill the worker?"""

    source: Source


Job = LoadTeacher | ExtractVideos | TryVideo


@dataclass(frozen=True)
class Extended:
    """There are so many frames more to extract."""

    frames: int


@dataclass(frozen=True)
class Updated:
    """So many frames more are extracted."""

    frames: int


@dataclass(frozen=True)
class Noted:
    """A line for the user."""

    text: str


@dataclass(frozen=True)
class JobDone:
    """The job ended. ready: the requests of LoadTeacher, with the embeddings of their class prompts."""

    ready: tuple[LabelSetRequest, ...] = ()


@dataclass(frozen=True)
class JobFailed:
    """The job ended with this error; the worker still runs."""

    error: Exception


@dataclass(frozen=True)
class WorkerLost:
    """The worker ended by itself. reason: a short text for the user. with_its_node: and everything else there."""

    reason: str
    with_its_node: bool = False


Report = Extended | Updated | Noted | JobDone | JobFailed | WorkerLost
