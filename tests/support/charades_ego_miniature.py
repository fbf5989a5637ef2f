"""A miniature of Charades-Ego: its lists and classes, as published, and the names of its videos."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.epic_miniature import write_table

TRAIN, TEST = "CharadesEgo_v1_train", "CharadesEgo_v1_test"
FIRST, THIRD = "_only1st", "_only3rd"
CLASSES = "Charades_v1_classes.txt"
COLUMNS = (
    *("id", "subject", "scene", "quality", "relevance", "verified", "script", "objects", "descriptions"),
    *("actions", "length", "egocentric", "charades_video"),
)
NAMES = ("Holding some clothes", "Opening a door", "Holding a cup/glass/bottle of something", "Sitting down")


def video(uid: str, actions: str, length: str = "20.00", **changes: str) -> dict[str, str]:
    """A row of a list; ids of first-person videos end in EGO."""
    row = {
        "id": uid,
        "subject": "AB12",
        "scene": "Kitchen",
        "quality": "6",
        "relevance": "7",
        "verified": "Yes",
        "script": "A person walks in, and holds a cup.",
        "objects": "cup;door",
        "descriptions": "A person, who came in, holds a cup.;Someone holds a cup.",
        "actions": actions,
        "length": length,
        "egocentric": "Yes" if uid.endswith("EGO") else "No",
        "charades_video": "QR3ST",
    }
    return row | changes


TRAIN_VIDEOS = (
    video("ABCDEEGO", "c001 0.20 1.00;c002 0.55 1.40;c001 1.00 1.20", "2.00"),
    video("ABCDE", "c003 0.00 1.00", "2.50"),
    video("FGHIJEGO", "c000 1.00 2.00"),  # not downloaded
    video("KLMNOEGO", ""),
)
TEST_VIDEOS = (video("PQRSTEGO", "c003 0.30 0.90;c000 0.30 0.90", "2.00"), video("PQRST", "c000 0.50 3.00", "2.00"))


def write_lists(folder: Path, train: Iterable[Mapping] = TRAIN_VIDEOS, test: Iterable[Mapping] = TEST_VIDEOS) -> None:
    """Write the lists of both views and of each, and the names of the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((TRAIN, list(train)), (TEST, list(test))):
        write_table(folder / f"{name}.csv", COLUMNS, rows)
        for suffix, is_first in ((FIRST, "Yes"), (THIRD, "No")):
            write_table(folder / f"{name}{suffix}.csv", COLUMNS, [r for r in rows if r["egocentric"] == is_first])
    lines = [f"c{number:03} {name}\n" for number, name in enumerate(NAMES)]
    (folder / CLASSES).write_text("".join(lines))
