"""Draws shapes in the coordinates of an object, and the wearer's arms and hands."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

Color = tuple[int, int, int]

_ANGLES = np.linspace(0.0, 2.0 * math.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)  # (20, 2)


def shade(color: Color, factor: float) -> Color:
    """The color, darker (factor < 1) or lighter."""
    return to_color(max(0, min(255, round(channel * factor))) for channel in color)


def mix(a: Color, b: Color, weight: float) -> Color:
    """Linear interpolation from a (weight 0) to b (weight 1)."""
    return to_color(round(x + (y - x) * weight) for x, y in zip(a, b, strict=True))


def to_color(channels: Iterable[float]) -> Color:
    """The color of three channel values: red, green, blue, 0 to 255."""
    red, green, blue = (int(channel) for channel in channels)
    return red, green, blue


class Brush:
    """Draws on an image under a similarity transform: x right, y down, angles in radians clockwise."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, scale: float = 1.0, angle: float = 0.0):
        self._draw, self._x, self._y, self.scale, self._angle = draw, x, y, scale, angle
        self._cos, self._sin = scale * math.cos(angle), scale * math.sin(angle)

    def at(self, x: float, y: float, angle: float = 0.0, scale: float = 1.0) -> "Brush":
        """A brush with its origin at (x, y) of this one, rotated by angle and scaled."""
        return Brush(self._draw, *self.point(x, y), self.scale * scale, self._angle + angle)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """(x, y) in this brush's coordinates -> image pixels."""
        return self._x + self._cos * x - self._sin * y, self._y + self._sin * x + self._cos * y

    def polygon(self, points: Sequence[tuple[float, float]], fill: Color, outline: Color | None = None) -> None:
        self._draw.polygon([self.point(x, y) for x, y in points], fill=fill, outline=outline)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Color, outline: Color | None = None) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, outline)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Color, outline: Color | None = None) -> None:
        self.polygon((_CIRCLE * (rx, ry) + (x, y)).tolist(), fill, outline)

    def limb(self, start, end, width_start: float, width_end: float, fill: Color) -> None:
        """A tapered stroke with round ends."""
        (x0, y0), (x1, y1) = start, end
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        nx, ny = -(y1 - y0) / length / 2, (x1 - x0) / length / 2
        a, b = width_start, width_end
        self.polygon([(x0 + nx * a, y0 + ny * a), (x1 + nx * b, y1 + ny * b), (x1 - nx * b, y1 - ny * b),
                      (x0 - nx * a, y0 - ny * a)], fill)  # fmt: skip
        self._disc(x0, y0, a / 2, fill)
        self._disc(x1, y1, b / 2, fill)

    def line(self, points: Sequence[tuple[float, float]], width: float, fill: Color) -> None:
        self._draw.line([self.point(x, y) for x, y in points], fill=fill, width=max(1, round(width * self.scale)))

    def _disc(self, x: float, y: float, radius: float, fill: Color) -> None:
        px, py = self.point(x, y)
        r = radius * self.scale
        self._draw.ellipse((px - r, py - r, px + r, py + r), fill=fill)


@dataclass(frozen=True)
class Hand:
    """Pose of a hand. (x, y): middle of the palm; angle: radians clockwise, 0 points away from the wearer (up).

    curl: 0 (open) to 1 (fist). spread of the fingers: 0 (closed) to 1 (fanned out); negative if the tips meet.
    """

    x: float
    y: float
    angle: float = 0.0
    curl: float = 0.0
    spread: float = 0.2

    def toward(self, other: "Hand", weight: float) -> "Hand":
        """Linear interpolation from this pose (weight 0) to the other (weight 1)."""
        ours, theirs = vars(self), vars(other)
        return Hand(**{name: ours[name] + (theirs[name] - ours[name]) * weight for name in ours})


@dataclass(frozen=True)
class Arms:
    """Appearance of the wearer's arms."""

    skin: Color
    sleeve: Color
    sleeve_length: float  # 0 (bare arm) to 1 (down to the wrist)
    size: float  # relative; 1 is a palm of 26 units


def draw_arm(brush: Brush, arms: Arms, hand: Hand, elbow: tuple[float, float], side: int) -> None:
    """One forearm from the elbow to the hand. side: 1 for the right hand, -1 for the left."""
    size = arms.size
    wrist = (hand.x - 15 * size * math.sin(hand.angle), hand.y + 15 * size * math.cos(hand.angle))
    brush.limb(elbow, wrist, 40 * size, 23 * size, shade(arms.skin, 0.9))
    cuff = tuple(e + (w - e) * arms.sleeve_length for e, w in zip(elbow, wrist, strict=True))
    brush.limb(elbow, cuff, 54 * size, 38 * size, arms.sleeve)
    brush.limb(cuff, cuff, 38 * size, 38 * size, shade(arms.sleeve, 0.75))
    _draw_hand(brush.at(hand.x, hand.y, hand.angle, size), arms.skin, hand, side)


def _draw_hand(brush: Brush, skin: Color, hand: Hand, side: int) -> None:
    dark = shade(skin, 0.72)
    length = 27 * (1 - 0.62 * hand.curl)
    for finger in range(4):
        offset = finger - 1.5
        knuckle = (7.0 * offset, -12 - 2.5 * (1.5 - abs(offset)))
        lean = 0.42 * hand.spread * offset
        reach = length * (1.0 - 0.1 * abs(offset))
        tip = (knuckle[0] + reach * math.sin(lean), knuckle[1] - reach * math.cos(lean))
        brush.limb(knuckle, tip, 10.5, 9.5, dark)
        brush.limb(knuckle, tip, 8.5, 7.5, shade(skin, 1.0 + 0.12 * hand.curl))
    brush.ellipse(0, 0, 17, 18, dark)
    brush.ellipse(0, 0.5, 15.8, 17, skin)
    thumb_angle = -side * (0.35 + 0.6 * max(0.0, 1 - hand.curl) + 0.25 * hand.spread)
    root = (-side * 12, 2)
    tip = (root[0] + 22 * math.sin(thumb_angle), root[1] - 22 * math.cos(thumb_angle))
    brush.limb(root, tip, 11.5, 9.5, dark)
    brush.limb(root, tip, 9.5, 7.5, shade(skin, 1.05))
