"""Whether an extraction has anything left to do, found without a teacher and without opening a video."""

from dataclasses import dataclass

from embedonce.cache.labels import LabelSet
from embedonce.cache.state import CacheState, read_state
from embedonce.cache.store import has_cache
from embedonce.cache.stores.registry import stored_path
from embedonce.pipeline.errors import EXIT_QUARANTINED
from embedonce.pipeline.extraction.extract_teacher import find_sources
from embedonce.pipeline.extraction.label_requests import checked_requests, chosen_prompts
from embedonce.pipeline.extraction.planning import known_uids
from embedonce.pipeline.extraction.runner import SETTINGS
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.teacher_loading import with_registered_teacher
from embedonce.pipeline.files.recognition import changed_options
from embedonce.pipeline.labeling.clip_index import revision_of
from embedonce.pipeline.labeling.requests import LabelSetRequest
from embedonce.pipeline.sources.matching import CachedVideos, match_sources
from embedonce.pipeline.sources.source import Source, union, windows_by_video
from embedonce.pipeline.teachers.modules import module_errors

# Where files are and how fast extraction is; the videos themselves are compared
MAY_DIFFER = (
    *("cache_dir", "data_dir", "device", "batch_size", "teacher_processes", "decode_workers", "video_timeout"),
    *("engine", "ray_address", "ray_workers", "part", "overwrite"),
)


@dataclass(frozen=True)
class Completeness:
    """What an extraction has left to do.

    remaining: why it must run, "" if it is finished. label_sets: the names of those that it writes. quarantined:
    number of listed videos that it cannot use.
    """

    remaining: str
    label_sets: tuple[str, ...] = ()
    videos: int = 0
    quarantined: int = 0

    @property
    def exit_code(self) -> int:
        """Of the extraction that is finished."""
        return EXIT_QUARANTINED if self.quarantined else 0


def completeness(config: ExtractConfig) -> Completeness:
    """What is left to do. Raises the errors of an extraction with options or data that cannot be used."""
    if not has_cache(config.cache_dir):
        return Completeness("there is no cache yet")
    with module_errors(config.teacher_module):
        config = with_registered_teacher(config)
        if changed := _changed_settings(config):
            return Completeness(f"other settings than those of the cache: {', '.join(changed)}")
        state = read_state(config.cache_dir)
        sources = match_sources(find_sources(config), CachedVideos.of_state(state))
        requests = checked_requests(config, sources, chosen_prompts(config))
    source = union(sources)
    names = [video.uid for video in source.videos] + [name for name, _ in source.rejected]
    remaining = _videos_left(state, source) or _labels_left(state, requests)
    quarantined = sum(name in state.quarantined for name in names)
    return Completeness(remaining, tuple(request.labels.name for request in requests), len(names), quarantined)


def _changed_settings(config: ExtractConfig) -> list[str]:
    """The options with other values than those of the run that saved its settings; one word if none are saved."""
    saved = stored_path(config.cache_dir) / SETTINGS
    return changed_options(saved.get(), config, MAY_DIFFER) if saved.exists() else ["unknown"]


def _videos_left(state: CacheState, source: Source) -> str:
    known, windows = known_uids(state, source), windows_by_video(source)
    new = sum(video.uid not in known and bool(windows.get(video.uid)) for video in source.videos)
    new += sum(name not in state.quarantined for name, _ in source.rejected)
    pending = len(state.units.keys() - state.reader.records.keys())
    parts = [f"{new} new videos"] if new else []
    parts += [f"{pending} of {len(state.units)} shards to extract"] if pending else []
    return ", ".join(parts)


def _labels_left(state: CacheState, requests: list[LabelSetRequest]) -> str:
    return next((f"label set {r.labels.name} is to be written" for r in requests if not _is_written(state, r)), "")


def _is_written(state: CacheState, request: LabelSetRequest) -> bool:
    reader, name = state.reader, request.labels.name
    if name not in reader.label_sets():
        return False
    stored: LabelSet = reader.label_set(name)
    revision = revision_of(reader, state.plan, request.source, stored)
    if revision.lines or len(reader.clip_parts(name)) < len(state.plan):
        return False
    if request.embeds_texts and reader.texts(name).read() is None:
        return False
    return not (stored.has_logits and stored.stores_logits) or reader.records.keys() <= set(reader.logits_units(name))
