"""calibration.json: the temperature and thresholds of a checkpoint, as evaluate writes them and predict reads them."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedonce.cache import strict_json
from embedonce.cache.limits import MAX_NAME, brief
from embedonce.models.plain_files import NotPlainError, read_plain
from embedonce.pipeline.errors import InputError, ResultsError
from embedonce.pipeline.metrics.fitted_calibration import TEMPERATURES
from embedonce.pipeline.metrics.json_forms import Number, OrNull, Text, find_mismatch

CALIBRATION_NAME = "calibration.json"
VERSION = 1
MAX_BYTES = 16 << 20
_SHARE = Number(0, 1)
_FORM = {
    "calibration_version": int,
    "checkpoint_sha256": Text(64),
    "label_set": Text(MAX_NAME),
    "split": Text(16),
    "num_clips": int,
    "multi_label": bool,
    "temperature": Number(TEMPERATURES[0] / 2, TEMPERATURES[1] * 2),
    "thresholds": {...: _SHARE},
    "default_threshold": _SHARE,
    "cross_fitted": OrNull(
        {
            "calibration_error_before": OrNull(_SHARE),
            "calibration_error": OrNull(_SHARE),
            "kept": _SHARE,
            "precision": OrNull(_SHARE),
            "accuracy": _SHARE,
        }
    ),
}


@dataclass(frozen=True)
class Calibration:
    """checkpoint_sha256: of the checkpoint file. label_set, split, num_clips: what it was fitted to.

    temperature: logits are divided by it. thresholds: class -> least probability; default_threshold: of other classes.
    cross_fitted: figures on clips that the values were not fitted to, as in fitted_calibration.CrossFitted; or None.
    """

    checkpoint_sha256: str
    label_set: str
    split: str
    num_clips: int
    multi_label: bool
    temperature: float
    thresholds: Mapping[str, float]
    default_threshold: float
    cross_fitted: Mapping[str, float | None] | None

    def as_json(self) -> bytes:
        """The content of the file."""
        values: dict[str, Any] = {"calibration_version": VERSION} | dataclasses.asdict(self)
        return json.dumps(values, indent=2, allow_nan=False).encode()


def is_calibration(data: bytes) -> bool:
    """Whether these bytes are a calibration, of any version."""
    try:
        values = strict_json.loads(data)
    except ValueError:
        return False
    return isinstance(values, dict) and {"calibration_version", "checkpoint_sha256"} <= values.keys()


def read_calibration(path: Path) -> Calibration:
    """Read the file. InputError if it is missing; ResultsError, in one sentence, if it holds anything else."""
    try:
        values = strict_json.loads(read_plain(path, MAX_BYTES))
    except FileNotFoundError as error:
        raise InputError(f"there is no calibration {path}; evaluate writes one") from error
    except NotPlainError as error:
        raise ResultsError(f"{path} is not a calibration: it {error.strerror}") from error
    except ValueError as error:
        raise ResultsError(f"{path} is not a calibration: it cannot be read as JSON") from error
    if not isinstance(values, dict):
        raise ResultsError(f"{path} is not a calibration: it is not a JSON object; evaluate again")
    version = values.get("calibration_version")
    if version not in (None, VERSION):
        raise ResultsError(
            f"{path} has calibration version {brief(version)}, and this program reads {VERSION}; evaluate again"
        )
    problem = find_mismatch(values, _FORM)
    if problem:
        raise ResultsError(f"{path} is not a calibration: {problem}; evaluate again")
    return Calibration(**{name: value for name, value in values.items() if name != "calibration_version"})
