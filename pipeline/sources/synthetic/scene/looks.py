"""The appearance of objects and the progress of actions, as plain numbers; draws nothing."""

import math
from dataclasses import dataclass

import numpy as np

from embedonce.pipeline.sources.synthetic.scene.brush import Color, to_color

_COLOR_RANGES = {  # (low, high) per channel
    "box": ((120, 70, 40), (225, 170, 130)),
    "cup": ((60, 60, 60), (250, 250, 250)),
    "bread": ((150, 90, 35), (205, 140, 70)),
    "pot": ((50, 50, 60), (190, 120, 130)),
    "bottle": ((20, 70, 20), (120, 200, 170)),
    "cloth": ((90, 90, 110), (255, 235, 255)),
}
OBJECTS = tuple(_COLOR_RANGES)


@dataclass(frozen=True)
class Look:
    """What varies between objects and executions of the same action. tempo: of repeated movements, in Hz."""

    colors: dict[str, Color]
    width: float
    height: float
    tempo: float
    phase: float


def random_look(rng: np.random.Generator) -> Look:
    """A random look for every object; always draws the same number of random values."""
    hues = {name: _random_color(rng, *_COLOR_RANGES[name]) for name in OBJECTS}
    width, height = rng.uniform(0.88, 1.14, 2)
    return Look(hues, width, height, rng.uniform(1.1, 1.9), rng.uniform(0, 2 * math.pi))


def _random_color(rng: np.random.Generator, low: Color, high: Color) -> Color:
    return to_color(rng.integers(low, high))


@dataclass(frozen=True)
class Instant:
    """An action at one point in time. progress: 0 to 1. time_sec: seconds since the action began."""

    action: str
    progress: float
    time_sec: float
    look: Look

    @property
    def swing(self) -> float:
        """Sine at the look's tempo, -1 to 1."""
        return math.sin(2 * math.pi * self.look.tempo * self.time_sec + self.look.phase)

    @property
    def swing_quarter(self) -> float:
        """Cosine at the look's tempo: swing, a quarter period ahead."""
        return math.cos(2 * math.pi * self.look.tempo * self.time_sec + self.look.phase)


def rise(progress: float, start: float = 0.0, end: float = 1.0) -> float:
    """Smooth step: 0 before start, 1 after end."""
    x = min(1.0, max(0.0, (progress - start) / (end - start)))
    return x * x * (3 - 2 * x)


def plateau(progress: float, edge: float = 0.25) -> float:
    """Smooth pulse: 0 at both ends, 1 in the middle."""
    return rise(progress, 0, edge) * rise(1 - progress, 0, edge)
