"""Box, bread and cloth: hand poses in their actions, and how they are drawn.

Coordinates are the object's own; the origin is its base on the table.
"""

import math

from embedonce.pipeline.sources.synthetic.scene.brush import Brush, Hand, shade
from embedonce.pipeline.sources.synthetic.scene.looks import Instant, rise

STEEL = (190, 195, 200)

# Box: a lid hinged at the back edge.


def _lid_angle(instant: Instant) -> float:
    opened = instant.progress if instant.action == "open box" else 1 - instant.progress
    return 2.0 * rise(opened)


def _lid_edge(instant: Instant) -> tuple[float, float]:
    """Middle of the free edge of the lid."""
    angle, height = _lid_angle(instant), 62 * instant.look.height
    return 10 - 8 * math.cos(angle), -height - 32 + 32 * math.cos(angle) - 44 * math.sin(angle)


def box_hands(instant: Instant) -> tuple[Hand, Hand]:
    x, y = _lid_edge(instant)
    half = 58 * instant.look.width
    return Hand(-half - 4, -28, 0.5, 0.2, 0.3), Hand(x + 24, y + 20, -0.25, 0.35, -0.4)


def draw_box(brush: Brush, instant: Instant, _left: Hand, _right: Hand) -> None:
    half, height = 58 * instant.look.width, 62 * instant.look.height
    color, angle = instant.look.colors["box"], _lid_angle(instant)
    x, y = _lid_edge(instant)
    lid = [(-half + 10, -height - 32), (half + 10, -height - 32), (half + x, y), (-half + x, y)]
    brush.ellipse(4, 0, half * 1.2, 12, (45, 40, 38))
    if angle > 1.2:
        brush.polygon(lid, shade(color, 0.8), shade(color, 0.5))
    top = [(-half + 10, -height - 32), (half + 10, -height - 32), (half, -height), (-half, -height)]
    brush.polygon(top, shade(color, 0.35), shade(color, 0.5))
    brush.box(-half, -height, half, 6, color, shade(color, 0.5))
    brush.box(-6, -height, 6, 6, shade(color, 1.25))
    if angle <= 1.2:
        brush.polygon(lid, shade(color, 1.2), shade(color, 0.5))


# Bread: a loaf that is cut, and a slice that is buttered.


def bread_hands(instant: Instant) -> tuple[Hand, Hand]:
    if instant.action == "cut bread":
        x = 34 - 34 * instant.progress
        return Hand(-46, -44, 0.5, 0.5, 0.2), Hand(x + 40 + 11 * instant.swing, -62 + 9 * instant.swing, -0.5, 0.9, 0.0)
    x = -20 + 40 * instant.swing
    return Hand(-62, 24, 0.7, 0.3, 0.0), Hand(x + 62, 20 + 6 * instant.swing_quarter, -1.1, 0.9, 0.0)


def draw_bread(brush: Brush, instant: Instant, _left: Hand, right: Hand) -> None:
    crust, width = instant.look.colors["bread"], instant.look.width
    crumb = (240, 220, 175)
    cutting, progress = instant.action == "cut bread", instant.progress
    brush.ellipse(0, 10, 106 * width, 36, (168, 124, 82), (110, 78, 50))
    loaf = brush.at(0, 0 if cutting else -18, 0, 1.0 if cutting else 0.8)
    end = (40 - 34 * progress) * width if cutting else 40 * width
    loaf.ellipse(-52 * width, -24, 26, 26, crust)
    loaf.box(-52 * width, -50, end, 2, crust)
    loaf.box(-52 * width, -50, end, -38, shade(crust, 1.25))
    loaf.ellipse(end, -24, 15, 27, shade(crust, 0.8))
    loaf.ellipse(end, -24, 12, 23, crumb)
    for i in range(int(4 * progress) if cutting else 0):
        brush.ellipse(56 * width + 9 * i, 4 + 3 * i, 11, 21, shade(crust, 0.8))
        brush.ellipse(57 * width + 9 * i, 4 + 3 * i, 9, 18, crumb)
    if not cutting:
        brush.ellipse(-6, 26, 52 * width, 27, shade(crust, 0.8))
        brush.ellipse(-6, 24, 48 * width, 24, crumb)
        brush.ellipse(-16 + 10 * progress, 24, (10 + 30 * progress) * width, 6 + 12 * progress, (250, 215, 70))
    blade = brush.at(right.x, right.y - 4, right.angle - 1.9 if cutting else right.angle - 0.55)
    blade.limb((0, 10), (0, -16), 9, 8, (60, 40, 30))
    blade.polygon([(-5, -16), (6, -16), (5, -78), (-4, -66)], STEEL, (90, 95, 100))


# Cloth: under a wiping hand, or spread out and folded over.


def cloth_hands(instant: Instant) -> tuple[Hand, Hand]:
    if instant.action == "wipe table":
        return Hand(-96, 20, 0.5, 0.1, 0.6), Hand(52 * instant.swing, -22 + 16 * instant.swing_quarter, -0.2, 0.05, 0.5)
    half, over = 66 * instant.look.width, rise(instant.progress)
    y = 22 - 66 * over - 26 * math.sin(math.pi * over)
    return Hand(-half + 4, y + 8, 0.25, 0.4, -0.7), Hand(half - 4, y + 8, -0.25, 0.4, -0.7)


def draw_cloth(brush: Brush, instant: Instant, _left: Hand, right: Hand) -> None:
    color, half = instant.look.colors["cloth"], 66 * instant.look.width
    dark = shade(color, 0.7)
    if instant.action == "wipe table":
        brush.ellipse(
            0, -16, 84 * (1 - 0.8 * instant.progress) + 6, 24 * (1 - 0.8 * instant.progress) + 3, (92, 70, 50)
        )
        held = cloth_hands(instant)[1]
        x, y = held.x, held.y + 6
        points = [(-48, 10), (-38, -22), (-8, -32), (34, -27), (50, 4), (28, 26), (-16, 29)]
        brush.at(x, y, 0.15 * instant.swing).polygon(points, color, dark)
        brush.line([(x - 34, y + 4), (x - 4, y - 14), (x + 30, y - 6)], 3, dark)
        return
    over = rise(instant.progress)
    y = 22 - 66 * over - 26 * math.sin(math.pi * over)
    far, middle = -54, -16
    brush.polygon([(-half + 12, far), (half - 12, far), (half - 4, middle), (-half + 4, middle)], color, dark)
    for stripe in (0.3, 0.7):
        at = far + (middle - far) * stripe
        brush.line([(-half + 10, at), (half - 10, at)], 4, dark)
    flap = shade(color, 1.0 if over < 0.5 else 0.85)
    brush.polygon([(-half + 4, middle), (half - 4, middle), (half, y), (-half, y)], flap, dark)
    if over < 0.5:
        brush.line([(-half + 4, (middle + y) / 2), (half - 4, (middle + y) / 2)], 4, dark)
