"""The options of the Charades-Ego source."""

from dataclasses import dataclass

from embedonce.pipeline.sources.charades_ego.kinds import KINDS
from embedonce.pipeline.sources.label_kinds import chosen_kinds, kinds_setting


@dataclass(frozen=True, kw_only=True)
class CharadesOptions:
    """Which videos are read, and how they are cut. charades_labels: comma-separated; None: the first of KINDS."""

    charades_labels: str | None = kinds_setting("Charades-Ego", KINDS)

    def __post_init__(self):
        chosen_kinds("--charades-labels", self.charades_labels, KINDS)

    @property
    def names(self) -> tuple[str, ...]:
        return chosen_kinds("--charades-labels", self.charades_labels, KINDS)
