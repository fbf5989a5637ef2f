"""What is predicted for one window of a video, and its JSON form."""

from dataclasses import dataclass
from typing import Any, NamedTuple


class ClassProbability(NamedTuple):
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The classes of the window [start, end) of a source, in seconds.

    label: the most probable class, or None if it is below its threshold, or if the window has too few frames; reason
    states which. probability: of the most probable class, None without enough frames. top: the most probable classes,
    by falling probability. num_frames: frames that the window has. latency_ms: of live sources, from the arrival of
    the frame that completed the window to this prediction; None for files, and for a window cut short by the end.
    """

    source: str
    start: float
    end: float
    label: str | None
    probability: float | None
    top: tuple[ClassProbability, ...]
    num_frames: int
    reason: str | None = None
    latency_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON values, as docs/predict.md describes them. Times are rounded to ms, probabilities to 6 decimals."""
        values: dict[str, Any] = {
            "source": self.source,
            "start_sec": round(self.start, 3),
            "end_sec": round(self.end, 3),
            "label": self.label,
            "probability": None if self.probability is None else round(self.probability, 6),
            "top": [{"label": label, "probability": round(share, 6)} for label, share in self.top],
            "frames": self.num_frames,
            "reason": self.reason,
        }
        return values if self.latency_ms is None else values | {"latency_ms": round(self.latency_ms, 1)}
