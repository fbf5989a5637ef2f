"""The options of the Ego4D source."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import FHO_WINDOWS, MAX_NARRATION_WINDOW
from embedonce.pipeline.settings import ranges
from embedonce.pipeline.settings.options import ANNOTATIONS, setting
from embedonce.pipeline.sources.ego4d.annotations.registry import KIND_NAMES


@dataclass(frozen=True, kw_only=True)
class Ego4dOptions:
    """How the annotations of an Ego4D download are read. annotations: comma-separated; None: moments."""

    annotations: str | None = setting(
        help=f"Annotations of Ego4D to label from, comma-separated: {', '.join(KIND_NAMES)}.",
        group=ANNOTATIONS,
        metavar="KINDS",
    )
    fho_window: str = setting(
        "action",
        "Time window of an FHO action: the whole action, or from its pre to its post frame.",
        group=ANNOTATIONS,
        choices=FHO_WINDOWS,
    )
    max_narration_window: float = setting(
        MAX_NARRATION_WINDOW,
        "Longest time window around a narration, in seconds.",
        group=ANNOTATIONS,
        metavar="SEC",
        range=ranges.positive(),
    )
    clip_splits: bool = setting(
        False,
        "Use the official split of every clip, even if clips of one video are then in different splits.",
        group=ANNOTATIONS,
    )
    strict: bool = setting(
        False, "Fail on invalid annotation entries instead of skipping them with a note.", group=ANNOTATIONS
    )
    skip_invalid: bool = setting(
        False, "No effect, accepted for compatibility: invalid entries are skipped anyway.", group=ANNOTATIONS
    )

    @property
    def annotation_kinds(self) -> tuple[str, ...]:
        return tuple(self.annotations.split(",")) if self.annotations else ()
