"""An extraction on a cluster: this process lists, deals and counts; workers scan, plan, decode, embed and commit."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

from embedonce.cache.errors import BusyError, CacheError
from embedonce.cache.state import CacheState, read_state
from embedonce.cache.store import has_cache, open_writer, read_identity
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.errors import PipelineError
from embedonce.pipeline.extraction.cluster.chunks import deal
from embedonce.pipeline.extraction.cluster.cluster import Cluster, LoadTeacherOf, WorkerSetup
from embedonce.pipeline.extraction.cluster.dispatcher import Dispatcher
from embedonce.pipeline.extraction.cluster.suspects import Suspects
from embedonce.pipeline.extraction.planning import quarantine_rejected_files
from embedonce.pipeline.extraction.preflight import PreflightReport
from embedonce.pipeline.extraction.quarantine import file_state
from embedonce.pipeline.extraction.runner import prepare, write_sidecars
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.summary import ExtractionSummary, summarize
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.sources.known_files import KnownFiles
from embedonce.pipeline.sources.source import Source

log = logging.getLogger(__name__)

Requests = Sequence[LabelSetRequest]


def extract_on_cluster(
    make_cluster: Callable[[WorkerSetup], Cluster],
    config: ExtractConfig,
    source: Source,
    load_teacher: LoadTeacherOf,
    requests: Requests = (),
    files: KnownFiles | None = None,
) -> tuple[CacheWriter, Requests, ExtractionSummary]:
    """Extract everything in source that is not in the cache yet, with the workers of a cluster. files: as in extract().

    Returns the open writer, which is alone unless another run writes the cache, the requests with the embeddings of
    their class prompts, and the summary of the run.
    """
    preflight = prepare(config, source, requests, chosen=frozenset())  # workers scan
    source = preflight.source
    example = source.videos[0] if source.videos else None
    suspects = Suspects(config.cache_dir)
    with contextlib.closing(suspects), _counted_on_error(config, source):
        with make_cluster(WorkerSetup(config, load_teacher, example)) as cluster:
            chunks = _chunks(config, preflight, cluster.num_workers)
            ready = Dispatcher(cluster, source, chunks, suspects).run(requests)
        suspects.close()
        writer, summary = _finished(config, source, files)
        return writer, ready, summary


def _chunks(config: ExtractConfig, preflight: PreflightReport, num_workers: int) -> list[tuple[str, ...]]:
    """The videos that are new, or in units that are pending."""
    state = read_state(config.cache_dir) if has_cache(config.cache_dir) else None
    pending = [] if state is None else _pending_groups(state)
    to_do = {uid for group in pending for uid in group}
    costs = {
        video.uid: float(file_state(video)[0])
        for video in preflight.source.videos
        if video.uid in to_do or video.uid not in preflight.known
    }
    return deal(costs, pending, num_workers)


def _pending_groups(state: CacheState) -> list[tuple[str, ...]]:
    """The videos of each unit that is planned and not committed."""
    committed = state.reader.records
    return [tuple(s.video_uid for s in unit.segments) for name, unit in state.units.items() if name not in committed]


def _finished(config: ExtractConfig, source: Source, files: KnownFiles | None) -> tuple[CacheWriter, ExtractionSummary]:
    """The open writer of the cache, in which everything is counted."""
    identity = read_identity(config.cache_dir)
    try:
        writer = open_writer(config.cache_dir, identity)
    except BusyError:  # another run shares it, or a lost worker's lease has not expired yet
        writer = open_writer(config.cache_dir, identity, is_shared=True)
    with contextlib.ExitStack() as undo:
        undo.callback(writer.close)
        quarantine_rejected_files(writer, source)
        write_sidecars(writer, config, source, files)
        writer.write_manifest()
        summary = summarize(writer, source)
        undo.pop_all()
    return writer, summary


@contextlib.contextmanager
def _counted_on_error(config: ExtractConfig, source: Source) -> Iterator[None]:
    """Tell how far the run came if it ends early."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(CacheError, PipelineError, OSError):  # the error that ended the run is the one to show
            if has_cache(config.cache_dir):
                identity = read_identity(config.cache_dir)
                with contextlib.closing(open_writer(config.cache_dir, identity, is_shared=True)) as writer:
                    planned = {*writer.planned_videos, *writer.quarantined()}
                    unplanned = {video.uid for video in source.videos} - planned
                    log.warning("%s", summarize(writer, source, unplanned).line)
        raise
