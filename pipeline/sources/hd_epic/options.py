"""The options of the HD-EPIC source."""

from dataclasses import dataclass

from embedonce.pipeline.sources.hd_epic.kinds import KINDS
from embedonce.pipeline.sources.label_kinds import chosen_kinds, kinds_setting


@dataclass(frozen=True, kw_only=True)
class HdEpicOptions:
    """Which labels are read. hd_epic_labels: comma-separated; None: the first of KINDS."""

    hd_epic_labels: str | None = kinds_setting("HD-EPIC", KINDS)

    def __post_init__(self):
        chosen_kinds("--hd-epic-labels", self.hd_epic_labels, KINDS)

    @property
    def names(self) -> tuple[str, ...]:
        return chosen_kinds("--hd-epic-labels", self.hd_epic_labels, KINDS)
