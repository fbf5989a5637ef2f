"""The twelve actions on six objects: where the hands go, and how the object is drawn."""

from embedonce.pipeline.sources.synthetic.scene import tabletop, vessels
from embedonce.pipeline.sources.synthetic.scene.brush import Brush, Hand
from embedonce.pipeline.sources.synthetic.scene.looks import Instant, Look

ACTIONS = (  # the first num_actions of them are used, so the two verbs of an object are next to each other
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
    """The object of an action."""
    return "cloth" if action == "wipe table" else action.split()[-1]


def hands_at(instant: Instant) -> tuple[Hand | None, Hand | None]:
    """(left, right) target poses of the hands; None: at rest."""
    return _OBJECTS[object_of(instant.action)][0](instant)


def draw_object(brush: Brush, instant: Instant, left: Hand, right: Hand) -> None:
    """Draw the object and anything the hands hold, with the hands at their current poses."""
    _OBJECTS[object_of(instant.action)][1](brush, instant, left, right)


def draw_idle(brush: Brush, name: str, look: Look) -> None:
    """Draw the object while it is not in use."""
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
