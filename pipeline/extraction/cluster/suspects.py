"""Which videos may have killed workers: counted in the cache, so that it holds for every run and engine."""

from collections.abc import Iterable

from embedonce.cache.state import read_state
from embedonce.cache.store import has_cache, open_writer, read_identity
from embedonce.cache.stores.registry import Location
from embedonce.cache.writer import CacheWriter
from embedonce.pipeline.extraction.quarantine import quarantine
from embedonce.pipeline.sources.source import Video


class Suspects:
    """Attempts and quarantined videos of a cache that workers write at the same time."""

    def __init__(self, cache_dir: Location):
        self._cache_dir = cache_dir
        self._opened: CacheWriter | None = None

    def unfinished(self, uids: Iterable[str]) -> list[str]:
        """Those of these videos that a worker may have been at: planned ones with frames that are not committed."""
        if not has_cache(self._cache_dir):
            return []
        state = read_state(self._cache_dir)
        records, quarantined = state.reader.records, state.quarantined
        pending = {s.video_uid for name, unit in state.units.items() if name not in records for s in unit.segments}
        return [uid for uid in uids if uid in pending and uid not in quarantined]

    def counted(self) -> set[str]:
        """The videos at which workers died in earlier runs."""
        return set(self._writer.attempts()) if has_cache(self._cache_dir) else set()

    def count(self, uid: str, reason: str) -> int:
        """Count an attempt of a video; returns how many there are now."""
        self._writer.count_attempt(uid, reason)
        return self._attempts(uid)

    def count_once(self, uid: str, reason: str) -> None:
        """Count the first attempt of a video that may be innocent, and no further one."""
        if not self._attempts(uid):
            self._writer.count_attempt(uid, reason)

    def clear(self, uid: str) -> None:
        """A video was extracted alone without harm."""
        if self._attempts(uid):
            self._writer.forget_attempts(uid)

    def quarantine(self, video: Video, reason: str) -> None:
        quarantine(self._writer, video, reason)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _attempts(self, uid: str) -> int:
        entry = self._writer.attempts().get(uid)
        return entry.attempts if entry else 0

    @property
    def _writer(self) -> CacheWriter:
        """Opened when it is first needed: until workers have made the cache, there is nothing to open."""
        if self._opened is None:
            self._opened = open_writer(self._cache_dir, read_identity(self._cache_dir), is_shared=True)
        return self._opened
