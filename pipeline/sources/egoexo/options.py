"""The options of the Ego-Exo4D source."""

from dataclasses import dataclass

from embedonce.pipeline.sources.egoexo.kinds import KINDS
from embedonce.pipeline.sources.label_kinds import chosen_kinds, kinds_setting


@dataclass(frozen=True, kw_only=True)
class EgoExoOptions:
    """Which labels are read. egoexo_labels: comma-separated; None: the first of KINDS."""

    egoexo_labels: str | None = kinds_setting("Ego-Exo4D", KINDS)

    def __post_init__(self):
        chosen_kinds("--egoexo-labels", self.egoexo_labels, KINDS)

    @property
    def names(self) -> tuple[str, ...]:
        return chosen_kinds("--egoexo-labels", self.egoexo_labels, KINDS)
