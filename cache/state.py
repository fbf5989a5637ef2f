"""The state of a cache: what is planned, committed and quarantined. Read without a lock, also while others write."""

from dataclasses import dataclass
from functools import cached_property

from embedonce.cache.layout import Layout
from embedonce.cache.plan import PlanIndex, PlannedVideo, PlanPart, Unit
from embedonce.cache.plan_age import last_clip_part, refuse_older
from embedonce.cache.quarantine import QuarantinedVideo
from embedonce.cache.reader import CacheReader
from embedonce.cache.store import open_reader
from embedonce.cache.stores.registry import Location


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


def read_state(where: Location) -> CacheState:
    """The state of the cache at a location. DamagedError if its plan is older than what was committed.

    BusyError if videos were removed from it meanwhile.
    """
    layout = Layout.at(where)
    last_part = last_clip_part(layout)
    reader = open_reader(
        layout.store
    )  # the plan is read after the records and clips, because a writer plans before it commits
    state = CacheState(reader, reader.plan(), reader.quarantined())
    refuse_older(layout, len(state.plan), set(reader.records) - set(state.units), last_part)
    return state
