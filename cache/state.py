"""The state of a cache: what is planned, committed and quarantined. Read without a lock, also while others write."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlanIndex, PlannedVideo, PlanPart, Unit
from embedonce.cache.plan_age import last_clip_part, older_plan, older_than_clips
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader


@dataclass(frozen=True)
class CacheState:
    """reader: of what was committed. plan: may contain more. quarantined: name -> video."""

    reader: CacheReader
    plan: list[PlanPart]
    quarantined: dict[str, QuarantinedVideo]

    @cached_property
    def _index(self) -> PlanIndex:
        return PlanIndex(self.plan)

    @property
    def planned_videos(self) -> dict[str, PlannedVideo]:
        """uid -> video, in the order of the plan."""
        return self._index.videos

    @property
    def units(self) -> dict[str, Unit]:
        """name -> planned unit."""
        return self._index.units

    def incomplete_uids(self) -> frozenset[str]:
        """Planned videos of which a rebuilt plan has only some of the requests."""
        return self._index.incomplete_uids()


def read_state(root: Path) -> CacheState:
    """The state of the cache in root. DamagedError if its plan is older than what was committed."""
    last_part = last_clip_part(Layout(root))
    reader = open_reader(root)  # the plan is read after the records and clips, because a writer plans before it commits
    state = CacheState(reader, reader.plan(), reader.quarantined())
    if lacking := set(reader.records) - set(state.units):
        raise DamagedError(older_plan(root, lacking), has_advice=True)
    if state.plan and last_part >= len(state.plan):
        raise DamagedError(older_than_clips(root, last_part), has_advice=True)
    return state
