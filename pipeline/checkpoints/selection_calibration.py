"""The temperature of a student, fitted to the selection clips at its best epoch, as its checkpoint holds it."""

from dataclasses import dataclass

from embedonce.pipeline.metrics.fitted_calibration import TEMPERATURES
from embedonce.pipeline.metrics.json_forms import Number, OrNull, Text

FORM = {
    "temperature": OrNull(Number(*TEMPERATURES)),
    "num_clips": Number(0, 2**62, int),
    "reason": OrNull(Text(200)),
}


@dataclass(frozen=True)
class SelectionCalibration:
    """temperature: logits are to be divided by it; None if none was fitted. reason: why not, else None.

    num_clips: labeled selection clips.
    """

    temperature: float | None
    num_clips: int
    reason: str | None = None

    def __str__(self) -> str:
        if self.temperature is None:
            return f"no temperature is used: {self.reason}"
        return f"temperature {self.temperature:.2f}, fitted to {self.num_clips} selection clips"
