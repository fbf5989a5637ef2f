"""Twelve actions on six objects, by name: what the hands want, and what there is to see.

Knows which object an action is done with; knows no camera, light or video.
"""

from embedonce.pipeline.sources.synthetic.scene import tabletop, vessels
from embedonce.pipeline.sources.synthetic.scene.brush import Brush, Hand
from embedonce.pipeline.sources.synthetic.scene.looks import Instant, Look

ACTIONS = (  # num_actions takes the first so many, so both verbs of an object stand together
    "open box",
    "close box",  # "open box" in reverse, and nothing else
    "pick up cup",
    "put down cup",
    "cut bread",
    "butter bread",
    "stir pot",
    "cover pot",
    "pour bottle",
    "shake bottle",
    "wipe table",
    "fold cloth",
)


def object_of(action: str) -> str:
    """The object that an action is done with."""
    return "cloth" if action == "wipe table" else action.split()[-1]


def hands_at(instant: Instant) -> tuple[Hand | None, Hand | None]:
    """(left, right) where the action wants the hands; None: at rest."""
    return _OBJECTS[object_of(instant.action)][0](instant)


def draw_object(brush: Brush, instant: Instant, left: Hand, right: Hand) -> None:
    """The object and what is held, with the hands where they are now (on the way, or as the action wants them)."""
    _OBJECTS[object_of(instant.action)][1](brush, instant, left, right)


def draw_idle(brush: Brush, name: str, look: Look) -> None:
    """The object when nobody uses it."""
    away = Hand(0, 4000)  # out of any view
    action = next(action for action in ACTIONS if object_of(action) == name)
    _OBJECTS[name][1](brush, Instant(action, 0.0, 0.0, look), away, away)


_OBJECTS = {
    "box": (tabletop.box_hands, tabletop.draw_box),
    "cup": (vessels.cup_hands, vessels.draw_cup),
    "bread": (tabletop.bread_hands, tabletop.draw_bread),
    "pot": (vessels.pot_hands, vessels.draw_pot),
    "bottle": (vessels.bottle_hands, vessels.draw_bottle),
    "cloth": (tabletop.cloth_hands, tabletop.draw_cloth),
}
