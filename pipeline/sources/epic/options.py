"""The options of the EPIC-KITCHENS-100 source."""

from dataclasses import dataclass

from embedonce.pipeline.sources.epic.kinds import KINDS
from embedonce.pipeline.sources.label_kinds import chosen_kinds, kinds_setting


@dataclass(frozen=True, kw_only=True)
class EpicOptions:
    """Which labels are read. epic_labels: comma-separated; None: the first of KINDS."""

    epic_labels: str | None = kinds_setting("EPIC-KITCHENS-100", KINDS)

    def __post_init__(self):
        chosen_kinds("--epic-labels", self.epic_labels, KINDS)

    @property
    def names(self) -> tuple[str, ...]:
        return chosen_kinds("--epic-labels", self.epic_labels, KINDS)
