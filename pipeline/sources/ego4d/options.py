"""The options of the Ego4D source."""

from dataclasses import dataclass

from embedonce.pipeline.naming.annotation_kinds import MAX_NARRATION_WINDOW


@dataclass(frozen=True, kw_only=True)
class Ego4dOptions:
    """How the annotations of an Ego4D download are read.

    annotations: kinds of annotations, comma-separated; None: moments. fho_window: time window of an FHO action, one of
    FHO_WINDOWS. max_narration_window: seconds. clip_splits: keep splits that divide a video. strict: invalid entries
    are errors. skip_invalid: accepted for compatibility, without effect.
    """

    annotations: str | None = None
    fho_window: str = "action"
    max_narration_window: float = MAX_NARRATION_WINDOW
    clip_splits: bool = False
    strict: bool = False
    skip_invalid: bool = False

    @property
    def annotation_kinds(self) -> tuple[str, ...]:
        return tuple(self.annotations.split(",")) if self.annotations else ()
