"""The options of the EPIC-KITCHENS-100 source."""

from dataclasses import dataclass

from embedonce.pipeline.settings.options import ANNOTATIONS, setting
from embedonce.pipeline.sources.epic.kinds import KINDS


@dataclass(frozen=True, kw_only=True)
class EpicOptions:
    """Which labels are read. epic_labels: comma-separated; None: the first of KINDS."""

    epic_labels: str | None = setting(
        help=f"Labels of EPIC-KITCHENS-100, comma-separated: {', '.join(KINDS)}.",
        group=ANNOTATIONS,
        metavar="KINDS",
        default_text=next(iter(KINDS)),
    )

    def __post_init__(self):
        names = self.names
        if not set(names) <= set(KINDS) or len(set(names)) < len(names):
            known = ", ".join(KINDS)
            raise ValueError(f"--epic-labels must be one or more of {known}, comma-separated, got {self.epic_labels!r}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(KINDS)[:1] if self.epic_labels is None else tuple(self.epic_labels.split(","))
