"""The options of the Assembly101 source."""

from dataclasses import dataclass

from embedonce.pipeline.sources.assembly101.kinds import KINDS
from embedonce.pipeline.sources.label_kinds import chosen_kinds, kinds_setting


@dataclass(frozen=True, kw_only=True)
class AssemblyOptions:
    """Which labels are read. assembly101_labels: comma-separated; None: the first of KINDS."""

    assembly101_labels: str | None = kinds_setting("Assembly101", KINDS)

    def __post_init__(self):
        chosen_kinds("--assembly101-labels", self.assembly101_labels, KINDS)

    @property
    def names(self) -> tuple[str, ...]:
        return chosen_kinds("--assembly101-labels", self.assembly101_labels, KINDS)
