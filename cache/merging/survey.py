"""What a merge will do: everything is found and checked before anything is written."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from embedonce.cache.backends.registry import BACKENDS
from embedonce.cache.merging.comparison import refuse_differences
from embedonce.cache.merging.extension import Extension, extension
from embedonce.cache.merging.inputs import OpenCache
from embedonce.cache.merging.label_sets import UnitedLabelSet, unite_label_sets
from embedonce.cache.merging.rows import RowFinder
from embedonce.cache.merging.usable import QuarantineChanges, pending_videos, quarantine_changes
from embedonce.cache.merging.withdrawals import Withdrawals
from embedonce.cache.plan import Unit
from embedonce.cache.schema import CacheIdentity
from embedonce.cache.withdrawn import WithdrawnVideo

LOGIT_BYTES = 4
TEXT_VALUE_BYTES = 2  # of a value of a text's vector


@dataclass(frozen=True, eq=False)
class Survey:
    """What a merge does, or has done.

    is_new: the target will be created. shared: videos that several caches have, equal where they overlap. added: what
    is appended to the plan. filled: units that the target has planned, and that are committed with rows of the inputs.
    num_waiting: such units that cannot be, because the inputs have only some of their rows. withdrawn: documents of
    videos removed for good that the target gets. pending: videos of the inputs that are not extracted yet, or only in
    part. copies: new videos whose content another uid has, too. num_bytes: about what is written.
    """

    inputs: tuple[OpenCache, ...]
    is_new: bool
    shared: frozenset[str]
    added: Extension
    filled: tuple[Unit, ...]
    num_waiting: int
    label_sets: tuple[UnitedLabelSet, ...]
    withdrawn: dict[str, WithdrawnVideo]
    quarantine: QuarantineChanges
    pending: tuple[str, ...]
    copies: tuple[str, ...]
    num_bytes: int

    @property
    def num_units(self) -> int:
        """Units that are committed."""
        return len(self.added.units) + len(self.filled)

    @property
    def num_rows(self) -> int:
        """Rows that are planned in those units."""
        return self.added.num_rows + _num_rows(self.filled)


def survey(inputs: Sequence[OpenCache], target: OpenCache | None, identity: CacheIdentity) -> Survey:
    """Compare the inputs with each other and the target. Reads rows of videos that several caches have.

    identity: that the target has or will have. MergeConflictError or LabelSetError if the caches contradict each other.
    """
    withdrawals = Withdrawals(inputs, target)
    withdrawals.refuse_held()
    caches = [*inputs] if target is None else [target, *inputs]
    shared = refuse_differences(caches, withdrawals)
    added = extension(inputs, target, withdrawals)
    filled, num_waiting = _filled(inputs, target)
    uids = frozenset(video.uid for video in added.videos) | frozenset(() if target is None else target.plan.videos)
    label_sets = unite_label_sets(inputs, target, uids, withdrawals)
    return Survey(
        tuple(inputs),
        target is None,
        shared,
        added,
        filled,
        num_waiting,
        tuple(label_sets),
        withdrawals.new(),
        quarantine_changes(inputs, target, withdrawals),
        pending_videos(inputs, target, withdrawals),
        _copies(added, target),
        _num_bytes(inputs, target, added, filled, label_sets, identity),
    )


def _filled(inputs: Sequence[OpenCache], target: OpenCache | None) -> tuple[tuple[Unit, ...], int]:
    """Pending units of the target that the inputs have all rows of, and the number of those they have some rows of."""
    finder, filled, num_waiting = RowFinder(inputs), [], 0
    for unit in () if target is None else target.pending_units:
        if finder.find_all((segment.video_uid, segment.request_k) for segment in unit.segments) is not None:
            filled.append(unit)
        else:
            num_waiting += any(s.video_uid in cache.committed_uids for cache in inputs for s in unit.segments)
    return tuple(filled), num_waiting


def _copies(added: Extension, target: OpenCache | None) -> tuple[str, ...]:
    planned = () if target is None else target.plan.videos.values()
    counts = Counter(video.fingerprint for video in (*planned, *added.videos))
    return tuple(video.uid for video in added.videos if video.fingerprint and counts[video.fingerprint] > 1)


def _num_bytes(
    inputs: Sequence[OpenCache],
    target: OpenCache | None,
    added: Extension,
    filled: Sequence[Unit],
    label_sets: Sequence[UnitedLabelSet],
    identity: CacheIdentity,
) -> int:
    """An estimate from the inputs' bytes per row, and the width of logits."""
    records = [record for cache in inputs for record in cache.reader.records.values()]
    per_row = sum(record.num_bytes for record in records) / max(sum(record.num_rows for record in records), 1)
    new_rows, num_bytes = added.num_rows + _num_rows(filled), 0
    for united in label_sets:
        rows = new_rows + (_rows_without_logits(united, target) if target is not None else 0)
        row_bytes = (1 + identity.num_views) * len(united.labels.classes) * LOGIT_BYTES
        row_bytes += BACKENDS[identity.backend].row_overhead_bytes // 3  # one of the three parts of a frame
        num_bytes += rows * row_bytes if united.stores_logits else 0
        num_bytes += len(set(united.text_of.values())) * identity.teacher.embed_dim * TEXT_VALUE_BYTES
    return num_bytes + int(per_row * new_rows)


def _rows_without_logits(united: UnitedLabelSet, target: OpenCache) -> int:
    name, records = united.labels.name, target.reader.records
    done = frozenset() if united.is_new else target.reader.logits_units(name)
    return sum(record.num_rows for unit, record in records.items() if unit not in done)


def _num_rows(units: Sequence[Unit]) -> int:
    return sum(len(segment.frame_index) for unit in units for segment in unit.segments)
