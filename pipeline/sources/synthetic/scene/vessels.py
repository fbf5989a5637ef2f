"""Cup, pot and bottle: hand poses in their actions, and how they are drawn.

Coordinates are the object's own; the origin is its base on the table.
"""

import math

from embedonce.pipeline.sources.synthetic.scene.brush import Brush, Hand, mix, shade
from embedonce.pipeline.sources.synthetic.scene.looks import Instant, plateau, rise

# Cup: lifted with a hand at its side, or put down between both hands.


def _cup_lift(instant: Instant) -> float:
    return rise(instant.progress if instant.action == "pick up cup" else 1 - instant.progress)


def cup_hands(instant: Instant) -> tuple[Hand | None, Hand]:
    x, y = 6 * _cup_lift(instant), -36 - 46 * _cup_lift(instant)
    half = 31 * instant.look.width
    if instant.action == "pick up cup":
        return None, Hand(x + half + 18, y, -0.75, 0.6, -0.1)
    return Hand(x - half - 8, y + 4, 0.35, 0.25, 0.1), Hand(x + half + 8, y + 4, -0.35, 0.25, 0.1)


def draw_cup(brush: Brush, instant: Instant, _left: Hand, right: Hand) -> None:
    half, height = 31 * instant.look.width, 70 * instant.look.height
    color = instant.look.colors["cup"]
    brush.ellipse(0, 0, half * 1.55, 15, (215, 210, 200), (120, 115, 110))
    brush.ellipse(0, -1, half * 0.9, 8, (180, 175, 168))
    x, y = 0.0, 0.0
    if _cup_lift(instant) > 0:  # it follows the hand, even out of view
        held = cup_hands(instant)[1]
        x, y = 6 * _cup_lift(instant) + right.x - held.x, -46 * _cup_lift(instant) + right.y - held.y
    cup = brush.at(x, y, 0.08 * _cup_lift(instant))
    cup.line([(half - 4, -height * 0.8), (half + 17, -height * 0.72), (half + 17, -height * 0.35), (half - 6, -16)],
             8, shade(color, 0.75))  # fmt: skip
    cup.polygon([(-half, -height), (half, -height), (half * 0.75, -2), (-half * 0.75, -2)], color)
    cup.box(-half * 0.9, -height * 0.62, half * 0.9, -height * 0.48, shade(color, 0.6))
    cup.ellipse(0, -2, half * 0.75, 6, shade(color, 0.9))
    cup.ellipse(0, -height, half, 10, shade(color, 1.15), shade(color, 0.6))
    cup.ellipse(0, -height + 1.5, half * 0.84, 7.5, (70, 40, 25))


# Pot: stirred with a spoon, or covered with its lid.


def _lid_place(instant: Instant) -> tuple[float, float]:
    """Position of the lid: next to the pot, unless the pot is being covered."""
    on = rise(instant.progress) if instant.action == "cover pot" else 0.0
    height = 64 * instant.look.height
    return 104 * (1 - on), 14 - (height + 26) * on - 44 * math.sin(math.pi * on)


def pot_hands(instant: Instant) -> tuple[Hand, Hand]:
    half, height = 60 * instant.look.width, 64 * instant.look.height
    left = Hand(-half - 16, -height + 16, 0.9, 0.8, 0.0)
    if instant.action == "cover pot":
        x, y = _lid_place(instant)
        return left, Hand(x + 4, y - 16, -0.35, 0.75, -0.5)
    return left, Hand(28 + 26 * instant.swing, -height - 34 + 9 * instant.swing_quarter, -0.3, 1.0, 0.0)


def draw_pot(brush: Brush, instant: Instant, _left: Hand, right: Hand) -> None:
    half, height = 60 * instant.look.width, 64 * instant.look.height
    color = instant.look.colors["pot"]
    brush.ellipse(5, 2, half * 1.15, 18, (45, 40, 38))
    for side in (-1, 1):
        brush.box(side * half - 14, -height + 10, side * half + 14, -height + 20, shade(color, 0.6))
    brush.box(-half, -height, half, 0, color)
    brush.ellipse(0, 0, half, 15, color)
    brush.box(-half * 0.75, -height, -half * 0.5, 6, shade(color, 1.35))
    brush.ellipse(0, -height, half, 20, shade(color, 1.3), shade(color, 0.5))
    brush.ellipse(0, -height + 2, half * 0.88, 16, (196, 96, 44))
    if instant.action == "stir pot":
        brush.limb((right.x - 28, right.y + 38), (right.x + 6, right.y - 26), 6, 8, (150, 110, 70))
        brush.ellipse(pot_hands(instant)[1].x - 30, -height + 4, 13, 5, (230, 150, 90))
    x, y = _lid_place(instant)
    brush.ellipse(x, y, half * 0.98, 18, shade(color, 0.85), shade(color, 0.4))
    brush.ellipse(x, y - 6, half * 0.55, 9, shade(color, 1.15))
    brush.ellipse(x, y - 14, 9, 7, (40, 35, 35))


# Bottle: poured into a glass, or shaken upright.


def _bottle_pose(instant: Instant) -> tuple[float, float, float]:
    """(x, y, angle) of the middle of the bottle."""
    up = plateau(instant.progress)
    if instant.action == "pour bottle":
        return 34 - 2 * up, -40 - 46 * up, -1.75 * up
    return 34 - 30 * up + 7 * up * instant.swing, -40 - (32 + 20 * instant.swing_quarter) * up, 0.5 * up * instant.swing


def bottle_hands(instant: Instant) -> tuple[Hand, Hand]:
    x, y, angle = _bottle_pose(instant)
    along = (math.sin(angle), -math.cos(angle))
    right = Hand(x - 2 * along[0] + 12, y - 2 * along[1] + 8, -0.6 + angle * 0.35, 0.75, -0.1)
    if instant.action == "pour bottle":
        return Hand(-78, -12, 0.6, 0.4, 0.1), right
    up = plateau(instant.progress)
    return Hand(-70 + (x - 6 + 44 * along[0] + 70) * up, -10 + (y + 44 * along[1] + 16) * up, 0.3, 0.5, 0.1), right


def draw_bottle(brush: Brush, instant: Instant, _left: Hand, _right: Hand) -> None:
    color = instant.look.colors["bottle"]
    half, up = 19 * instant.look.width, plateau(instant.progress)
    x, y, angle = _bottle_pose(instant)
    brush.ellipse(34, 2, 26, 9, (45, 40, 38))
    pouring = instant.action == "pour bottle"
    brush.polygon([(-70, -52), (-30, -52), (-35, 4), (-65, 4)], (196, 214, 222), (120, 140, 150))
    level = 40 * instant.progress if pouring else 12
    brush.polygon([(-66, 0 - level), (-34, 0 - level), (-36, 2), (-64, 2)], mix(color, (255, 255, 255), 0.35))
    bottle = brush.at(x, y, angle)
    bottle.box(-half, -26, half, 44, color, shade(color, 0.5))
    bottle.polygon([(-half, -26), (half, -26), (7, -46), (-7, -46)], shade(color, 0.9))
    bottle.box(-7, -66, 7, -44, shade(color, 0.8))
    if not pouring:
        bottle.box(-9, -72, 9, -60, (200, 40, 40))
    bottle.box(-half + 1, -8, half - 1, 26, (235, 230, 210))
    bottle.box(-half + 1, 2, half - 1, 10, (190, 60, 50))
    if pouring and up > 0.85:
        tip = (x + 66 * math.sin(angle), y - 66 * math.cos(angle))
        brush.line([tip, (tip[0] - 8, tip[1] + 14), (tip[0] - 10, -level)], 5, mix(color, (255, 255, 255), 0.5))
