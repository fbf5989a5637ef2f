"""The options of the EGTEA Gaze+ source."""

from dataclasses import dataclass

from embedonce.pipeline.settings import ranges
from embedonce.pipeline.settings.options import ANNOTATIONS, setting
from embedonce.pipeline.sources.egtea.kinds import KINDS
from embedonce.pipeline.sources.label_kinds import chosen_kinds, kinds_setting


@dataclass(frozen=True, kw_only=True)
class EgteaOptions:
    """Which labels are read, and which of the official lists: train_split1.txt and test_split1.txt, or others.

    egtea_labels: comma-separated; None: the first of KINDS.
    """

    egtea_labels: str | None = kinds_setting("EGTEA Gaze+", KINDS)
    egtea_split: int = setting(
        1,
        "Number of the official lists of EGTEA Gaze+: 1, 2 or 3.",
        group=ANNOTATIONS,
        metavar="N",
        range=ranges.REPEATS,
    )

    def __post_init__(self):
        chosen_kinds("--egtea-labels", self.egtea_labels, KINDS)

    @property
    def names(self) -> tuple[str, ...]:
        return chosen_kinds("--egtea-labels", self.egtea_labels, KINDS)
