"""Renders frames of a synthetic first-person video, as a pure function of scene and time.

The wearer moves along a long table with one action per station; the camera shakes and the light changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS, draw_object, hands_at
from embedonce.pipeline.sources.synthetic.scene.brush import Arms, Brush, Hand, draw_arm, to_color
from embedonce.pipeline.sources.synthetic.scene.looks import Instant, Look, random_look
from embedonce.pipeline.sources.synthetic.scene.table import CENTER_Y, MARGIN, PITCH, SUPERSAMPLING, make_background

FRAME_WIDTH, FRAME_HEIGHT = 320, 240  # pixels
REACH_SEC = 0.35  # time in which a hand reaches the start of the action, and leaves its end
_NOISE_ROWS = 211  # range of the noise offset, which changes from frame to frame
_VIGNETTE_BITS = 7  # fractional bits of its factors; 255 times the largest still fits into 16 bits
_CROP_HALF_WIDTH = 200  # units; enough for a rotated and shaken view


@dataclass(frozen=True)
class Wobble:
    """A slow random movement: a sum of sines. amplitudes, frequencies (Hz), phases: (n,) float64."""

    amplitudes: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray

    def __call__(self, t_sec: float) -> float:
        return float(self.amplitudes @ np.sin(2 * math.pi * self.frequencies * t_sec + self.phases))


@dataclass(frozen=True)
class Station:
    """One action on one object at one place of the table, during [start_sec, end_sec)."""

    action: str
    start_sec: float
    end_sec: float
    center_x: float  # of the view, in table units
    x: float  # (x, y): base of the object
    y: float
    scale: float
    look: Look


@dataclass(frozen=True)
class Scene:
    """Everything that a video shows.

    vignette: (240, 320, 3) uint16 factors with _VIGNETTE_BITS fractional bits.
    noise: (240 + _NOISE_ROWS, 320, 3) int16.
    """

    stations: tuple[Station, ...]
    duration_sec: float
    arms: Arms
    background: Image.Image
    camera: tuple[Wobble, ...]  # x and y in units, roll in radians, zoom as a factor minus 1
    light: tuple[Wobble, ...]  # gain, red and blue, as factors minus 1
    vignette: np.ndarray
    noise: np.ndarray


def make_stations(rng: np.random.Generator, labels: Sequence[int]) -> tuple[tuple[Station, ...], float]:
    """(stations of these actions in order, duration in seconds). labels: indices into ACTIONS.

    Times, places and looks depend on rng alone: other labels give the same ones.
    """
    stations, clock = [], rng.uniform(0.3, 0.7)
    for i, label in enumerate(labels):
        end = clock + rng.uniform(2.5, 3.5)
        center = MARGIN + i * PITCH
        x, y = center + rng.uniform(-16, 16), CENTER_Y + rng.uniform(32, 52)
        stations.append(Station(ACTIONS[label], clock, end, center, x, y, rng.uniform(0.9, 1.12), random_look(rng)))
        clock = end + rng.uniform(0.3, 0.7)
    return tuple(stations), clock


def make_scene(rng: np.random.Generator, labels: Sequence[int]) -> Scene:
    """A scene with the stations that make_stations() returns for the same fresh rng."""
    stations, duration_sec = make_stations(rng, labels)
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.9, 1.08)
    sleeve = to_color(rng.integers(30, 225, 3))
    return Scene(
        stations=stations,
        duration_sec=duration_sec,
        arms=Arms(to_color(skin.astype(int)), sleeve, rng.uniform(0.3, 0.95), rng.uniform(0.98, 1.16)),
        background=make_background(rng, len(labels)),
        camera=tuple(_wobble(rng, size, 0.3, 2.2) for size in (5.0, 4.0, 0.045, 0.045)),
        light=tuple(_wobble(rng, size, 0.05, 0.5) for size in (0.16, 0.07, 0.07)),
        vignette=_vignette(rng),
        noise=_noise(rng),
    )


def render(scene: Scene, t_sec: float) -> np.ndarray:
    """The frame at t_sec: (240, 320, 3) uint8 RGB. A pure function."""
    center_x, pan_speed = _view_center(scene, t_sec)
    shake_x, shake_y, roll, zoom = (wobble(t_sec) for wobble in scene.camera)
    view = (center_x + shake_x, CENTER_Y + shake_y)
    left = max(0, round((view[0] - _CROP_HALF_WIDTH) * SUPERSAMPLING))
    right = left + 2 * _CROP_HALF_WIDTH * SUPERSAMPLING
    canvas = scene.background.crop((left, 0, round(right), scene.background.height))
    table = Brush(ImageDraw.Draw(canvas), -left, 0, SUPERSAMPLING)
    _draw_stations(scene, t_sec, view, table)
    factor = SUPERSAMPLING / (1 + zoom)
    cos, sin = factor * math.cos(roll), factor * math.sin(roll)
    x, y = view[0] * SUPERSAMPLING - left, view[1] * SUPERSAMPLING
    half_w, half_h = FRAME_WIDTH / 2, FRAME_HEIGHT / 2
    matrix = (cos, -sin, x - cos * half_w + sin * half_h, sin, cos, y - sin * half_w - cos * half_h)
    image = canvas.transform((FRAME_WIDTH, FRAME_HEIGHT), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    if pan_speed > 60:  # units per second: motion blur along the movement
        image = image.resize((FRAME_WIDTH // 4, FRAME_HEIGHT)).resize((FRAME_WIDTH, FRAME_HEIGHT))
    return _expose(scene, t_sec, image)


def _draw_stations(scene: Scene, t_sec: float, view: tuple[float, float], table: Brush) -> None:
    """Draw the stations in view; arms only at the station that is in use, or will be next."""
    busy = min(scene.stations, key=lambda s: max(s.start_sec - t_sec, t_sec - s.end_sec))
    for station in scene.stations:
        if abs(station.center_x - view[0]) > 2 * _CROP_HALF_WIDTH:
            continue
        instant, grip = action_at(station, t_sec)
        place = table.at(station.x, station.y, scale=station.scale)
        rest = [
            Hand((view[0] + side * 70 - station.x) / station.scale, (view[1] + 175 - station.y) / station.scale)
            for side in (-1, 1)
        ]
        targets = hands_at(instant)
        hands = [r if target is None else r.toward(target, grip) for r, target in zip(rest, targets, strict=True)]
        draw_object(place, instant, *hands)
        if station is busy:
            for side, hand, at_rest in zip((-1, 1), hands, rest, strict=True):
                draw_arm(place, scene.arms, hand, (at_rest.x + side * 40, at_rest.y + 20), side)


def action_at(station: Station, t_sec: float) -> tuple[Instant, float]:
    """(the action at t_sec, how far the hands are from rest (0) to their target poses (1))."""
    start, end = station.start_sec + REACH_SEC, station.end_sec - REACH_SEC
    doing_sec = min(max(t_sec - start, 0.0), end - start)
    reach = min((t_sec - station.start_sec) / REACH_SEC, (station.end_sec - t_sec) / REACH_SEC)
    return Instant(station.action, doing_sec / (end - start), doing_sec, station.look), _smooth(0.15 + reach)


def _view_center(scene: Scene, t_sec: float) -> tuple[float, float]:
    """(center of the view on the table, in units; its speed in units per second)."""
    center, speed = scene.stations[0].center_x, 0.0
    for before, after in zip(scene.stations, scene.stations[1:], strict=False):
        pause = after.start_sec - before.end_sec
        x = (t_sec - before.end_sec) / pause
        center += PITCH * _smooth(x)
        if 0 < x < 1:
            speed = PITCH * 6 * x * (1 - x) / pause
    return center, speed


def _expose(scene: Scene, t_sec: float, image: Image.Image) -> np.ndarray:
    """Apply light, vignette and sensor noise, in integers because this takes most of the time."""
    gain, red, blue = (wobble(t_sec) for wobble in scene.light)
    table = [min(255, round(value * (1 + gain) * color)) for color in (1 + red, 1, 1 + blue) for value in range(256)]
    exposed = np.multiply(np.asarray(image.point(table)), scene.vignette, dtype=np.uint16) >> _VIGNETTE_BITS
    first = round(t_sec * 30) * 37 % _NOISE_ROWS
    noisy = exposed.view(np.int16) + scene.noise[first : first + FRAME_HEIGHT]
    return noisy.clip(0, 255, out=noisy).astype(np.uint8)


def _wobble(rng: np.random.Generator, size: float, low_hz: float, high_hz: float) -> Wobble:
    return Wobble(rng.uniform(0.3, 0.6, 3) * size, rng.uniform(low_hz, high_hz, 3), rng.uniform(0, 2 * math.pi, 3))


def _vignette(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : FRAME_HEIGHT * 1j, -1 : 1 : FRAME_WIDTH * 1j]
    radius = (x - rng.uniform(-0.2, 0.2)) ** 2 + (y - rng.uniform(-0.2, 0.2)) ** 2
    factor = rng.uniform(0.85, 1.1) - rng.uniform(0.08, 0.22) * radius
    return np.repeat((factor * 2**_VIGNETTE_BITS).astype(np.uint16)[..., None], 3, axis=2)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Luminance noise: equal in the three channels."""
    noise = rng.normal(0, rng.uniform(1.0, 4.0), (FRAME_HEIGHT + _NOISE_ROWS, FRAME_WIDTH, 1))
    return np.repeat(noise.round().astype(np.int16), 3, axis=2)


def _smooth(x: float) -> float:
    """Smooth step: 0 below 0, 1 above 1."""
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)


_SKINS = ((236, 196, 170), (222, 172, 138), (190, 136, 100), (150, 102, 72), (112, 74, 52), (80, 54, 40))
