"""What one open cache holds: its documents, each parsed once, and its shards, each verified once.

Readers and the writer of a process share one catalog. A writer adds what it commits; refresh() finds what another
process has committed since.
"""

from functools import partial

from embedonce.cache.added_teachers.reader import AddedTeacherDocuments
from embedonce.cache.label_set_reader import LabelSetReader
from embedonce.cache.layout import Layout
from embedonce.cache.parsed_folder import ParsedFolder
from embedonce.cache.plan import PlanPart
from embedonce.cache.plan_documents import checked_plan, read_part
from embedonce.cache.quarantine import DecodeAttempts, QuarantinedVideo, read_entry, total_attempts
from embedonce.cache.records import Record, read_record
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.verified_shards import VerifiedShards


class Catalog:
    """The documents and shards of the cache in a store. May be pickled: shards are opened again where it is used.

    frames: records of the frame shards by unit. labels: all label sets. teachers: those that were added. shards: those
    that were opened.
    """

    def __init__(self, layout: Layout, identity: CacheIdentity):
        self.layout, self.identity = layout, identity
        self.frames: ParsedFolder[Record] = ParsedFolder(layout.frame_paths().records, read_record)
        self.labels = LabelSetReader(layout)
        self.teachers = AddedTeacherDocuments(layout, identity)
        self.shards = VerifiedShards(layout, identity)
        self._plan: ParsedFolder[PlanPart] = ParsedFolder(layout.plan, read_part)
        self._checked_plan: list[PlanPart] | None = None
        self._quarantine = ParsedFolder(layout.quarantine, partial(read_entry, entry_type=QuarantinedVideo))
        self._attempts = ParsedFolder(layout.attempts, partial(read_entry, entry_type=DecodeAttempts))

    def refresh(self) -> None:
        """Find what was committed, replaced or removed since the documents were read.

        Records are read before the plan: a writer plans before it commits.
        """
        self.frames.refresh()
        self._plan.refresh()
        self._checked_plan = None
        self.labels.refresh()
        self.teachers.refresh()

    def plan(self) -> list[PlanPart]:
        """Every part of the plan, in order. DamagedError if one cannot be read, or one before the last is missing."""
        if self._checked_plan is None:
            self._checked_plan = checked_plan(self._plan.values, self.layout.plan)
        return list(self._checked_plan)

    def add_part(self, part: PlanPart) -> None:
        """Add a part of the plan that was written or read just now."""
        self._plan.add(self.layout.plan_part(part.part), part)
        if self._checked_plan is not None and len(self._checked_plan) == part.part:
            self._checked_plan.append(part)

    def quarantined(self) -> dict[str, QuarantinedVideo]:
        """name -> quarantined video, as it is now."""
        return dict(self._quarantine.refresh().values())

    def attempts(self) -> dict[str, DecodeAttempts]:
        """name -> attempts, as they are now."""
        return total_attempts(entry for _, entry in sorted(self._attempts.refresh().items()))
