"""A worker on a machine of a cluster: whether it has the same program, and sees the same files."""

import hashlib
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import embedonce
from embedonce.cache.commit import TEMP_PREFIX
from embedonce.cache.errors import StorageError
from embedonce.cache.stores.registry import is_url
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster.cluster import LoadTeacherOf, WorkerSetup
from embedonce.pipeline.extraction.cluster.worker import ChunkWorker
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.images.sequence import ImageSequence
from embedonce.pipeline.sources.source import VideoPath

PROBES = 3  # another worker that opens the cache deletes temporary files, such as the probe
ROOMS = ("cache", "models", "pipeline")


@dataclass(frozen=True)
class Greeting:
    """Who a worker is. node: Ray's id of its machine. program: digest of its source code."""

    node: str
    host: str
    process: int
    program: str


class NodeWorker(ChunkWorker):
    """A ChunkWorker in a process that something else has started, in some folder."""

    def __init__(self, config: ExtractConfig, load_teacher: LoadTeacherOf, folder: str):
        """folder: the working folder of the run, which relative paths begin at."""
        # Decode processes import the main module of the process that starts them: here they would all import Ray
        sys.modules["__main__"].__dict__.pop("__file__", None)
        if os.path.isdir(folder):
            os.chdir(folder)
        super().__init__(config, load_teacher)

    def greet(self) -> Greeting:
        from ray import get_runtime_context

        return Greeting(get_runtime_context().get_node_id(), os.uname().nodename, os.getpid(), program_digest())

    def sees(self, path: str, num_bytes: int) -> bool:
        """Whether there is a file of this size."""
        try:
            return os.stat(path).st_size == num_bytes
        except OSError:
            return False


class Visibility:
    """Checks that workers see the folders of a run where this process does."""

    def __init__(self, setup: WorkerSetup):
        self._cache_dir, self._data_dir = setup.config.cache_dir, setup.config.data_dir
        self._video = None if setup.example is None else _file_of(setup.example.path)
        self.folder = os.getcwd()
        self._probe: Path | None = None
        if not is_url(self._cache_dir):
            self._probe = Path(self._cache_dir) / f"{TEMP_PREFIX}probe-{os.getpid()}-{secrets.token_hex(4)}"

    def check(self, greeting: Greeting, sees: Callable[[str, int], bool]) -> None:
        """StorageError if a worker does not see the files, PipelineError if it runs another version of this program."""
        if greeting.program != program_digest():
            raise PipelineError(
                f"the embedonce on {greeting.host} is not the one that started this run: install the same version on "
                "every machine of the cluster"
            )
        if self._probe is not None and not any(self._is_probe_seen(self._probe, sees) for _ in range(PROBES)):
            raise StorageError(
                f"{greeting.host} does not see the cache folder {self._cache_dir} of this machine: use a folder that "
                "all machines of the cluster share, or the URL of a bucket"
            )
        if self._video is not None and not sees(str(self._video), self._video.stat().st_size):
            folder = self._data_dir or self._video.parent
            raise StorageError(
                f"{greeting.host} does not see the videos in {folder}: use a folder that all machines of the cluster "
                "share, or the URL of a bucket"
            )

    def close(self) -> None:
        if self._probe is not None:
            self._probe.unlink(missing_ok=True)

    def _is_probe_seen(self, probe: Path, sees: Callable[[str, int], bool]) -> bool:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"?")
        return sees(str(probe), 1)


def _file_of(video: VideoPath) -> Path | None:
    """A local file of a video; None if it has none."""
    if isinstance(video, ImageSequence):
        return next((video.path / file.name for file in video.files()), None)
    return video if isinstance(video, Path) else None


def program_digest() -> str:
    """SHA-256 of this program's source code."""
    digest, root = hashlib.sha256(), Path(embedonce.__file__).parent
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
