"""Draws the static background of a synthetic scene: a long textured table in front of a wall, with clutter on it."""

import numpy as np
from PIL import Image, ImageDraw

from embedonce.pipeline.sources.synthetic.scene.actions import draw_idle
from embedonce.pipeline.sources.synthetic.scene.brush import Brush, shade, to_color
from embedonce.pipeline.sources.synthetic.scene.looks import OBJECTS, random_look

SUPERSAMPLING = 1.5  # canvas pixels per unit; a unit is a pixel of the frame before camera movement
PITCH = 330  # units between stations
MARGIN = 210  # units between the ends of the table and the first and last station
HEIGHT = 320  # units
CENTER_Y = 160  # where the view is centered
_HORIZON = 84  # the table's far edge


def make_background(rng: np.random.Generator, num_stations: int) -> Image.Image:
    """An RGB image of the whole table, without the objects in use."""
    width = round(((num_stations - 1) * PITCH + 2 * MARGIN) * SUPERSAMPLING)
    height, horizon = round(HEIGHT * SUPERSAMPLING), round(_HORIZON * SUPERSAMPLING)
    pixels = np.empty((height, width, 3), np.float32)
    pixels[:horizon] = rng.uniform(70, 220, 3)
    pixels[:horizon] += 12 * _texture(rng, horizon, width, 3, width // 60)[..., None]
    base = np.array(_TABLES[rng.integers(len(_TABLES))]) * rng.uniform(0.8, 1.15, 3)
    pixels[horizon:] = base
    pixels[horizon:] += _table_grain(rng, height - horizon, width)[..., None]
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    brush = Brush(ImageDraw.Draw(image), 0, 0, SUPERSAMPLING)
    _hang_on_wall(rng, brush, num_stations)
    for station in range(num_stations):
        _scatter(rng, brush, MARGIN + station * PITCH)
    return image


def _table_grain(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W) brightness of wood, stone or a checked cloth."""
    kind, strength = rng.integers(3), rng.uniform(8, 22)
    if kind == 0:
        return strength * _texture(rng, height, width, height // 5, width // 160)
    if kind == 1:
        return strength * _texture(rng, height, width, height // 4, width // 4)
    side = rng.integers(28, 60)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    checks = (rows[:, None] % 2 + columns[None] % 2).astype(np.float32) - 1
    return strength * checks + 4 * _texture(rng, height, width, height // 8, width // 8)


def _texture(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """(H, W) float32 smooth noise of unit strength. rows, columns: number of bumps in each direction."""
    coarse = rng.normal(0, 1, (max(2, rows), max(2, columns))).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _hang_on_wall(rng: np.random.Generator, brush: Brush, num_stations: int) -> None:
    for _ in range(4 * num_stations):
        x = rng.uniform(0, num_stations * PITCH + MARGIN)
        y, width, height = rng.uniform(-20, 45), rng.uniform(25, 90), rng.uniform(15, 70)
        color = _color(rng)
        brush.box(x, y, x + width, min(y + height, _HORIZON - 3), color, shade(color, 0.6))
    brush.box(-5, _HORIZON - 3, num_stations * PITCH + 2 * MARGIN, _HORIZON + 2, (60, 50, 45))


def _scatter(rng: np.random.Generator, brush: Brush, center_x: float) -> None:
    """Draw clutter around one station: simple shapes, and small objects of other actions."""
    for _ in range(rng.integers(4, 9)):
        x, y = center_x + rng.uniform(-175, 175), rng.uniform(_HORIZON + 10, HEIGHT)
        piece = brush.at(x, y, rng.uniform(-0.6, 0.6), rng.uniform(0.6, 1.3))
        color = _color(rng)
        kind = rng.integers(3)
        if kind == 0:
            piece.ellipse(0, 0, 34, 13, color, shade(color, 0.6))
            piece.ellipse(0, 0, 22, 8, shade(color, 0.85))
        elif kind == 1:
            piece.box(-24, -14, 24, 14, color, shade(color, 0.6))
        else:
            piece.limb((-32, 0), (32, 0), 6, 3, color)
    for _ in range(rng.integers(1, 4)):
        name = OBJECTS[rng.integers(len(OBJECTS))]
        side = rng.choice((-1, 1))
        x, y = center_x + side * rng.uniform(105, 165), rng.uniform(_HORIZON + 14, _HORIZON + 60)
        draw_idle(brush.at(x, y, scale=rng.uniform(0.4, 0.65)), name, random_look(rng))


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    return to_color(rng.integers(40, 230, 3))


_TABLES = ((150, 105, 65), (105, 70, 45), (200, 190, 175), (95, 100, 105), (215, 205, 185), (120, 60, 50), (70, 95, 85))
