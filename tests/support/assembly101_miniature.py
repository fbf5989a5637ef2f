"""A miniature of Assembly101: its tables, by their published columns, and the names of its videos."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.epic_miniature import write_table

TRAIN, VALIDATION, TEST, ACTIONS = "train.csv", "validation.csv", "test.csv", "actions.csv"
COLUMNS = (
    *("id", "video", "start_frame", "end_frame", "action_id", "verb_id", "noun_id", "action_cls", "verb_cls"),
    *("noun_cls", "toy_id", "toy_name", "is_shared", "is_RGB"),
)
ONE, TWO, THREE = (f"nusar-2021_action_both_90{n}1-a30_90{n}1_user_id_2021-02-04_131528" for n in (1, 2, 3))
FIXED, WORN = "C10404_rgb.mp4", "HMC_21110305_mono10bit.mp4"
CLASSES = {
    0: ("pick up wheel", 0, "pick up", 1, "wheel"),
    1: ("clap hand", 1, "clap", 0, "hand"),
    5: ("pick up hand", 0, "pick up", 0, "hand"),
}  # number of the action -> its name, and the numbers and names of its verb and noun


def segment(video: str, start: int | str, end: int | str, action: int, **changes: str) -> dict:
    """A row of a table of clips."""
    name, verb, verb_name, noun, noun_name = CLASSES[action]
    row = {
        **{"id": "7", "video": video, "start_frame": str(start), "end_frame": str(end), "action_id": str(action)},
        **{"verb_id": str(verb), "noun_id": str(noun), "action_cls": name, "verb_cls": verb_name, "toy_id": "a30"},
        **{"noun_cls": noun_name, "toy_name": "suv", "is_shared": "1", "is_RGB": str(int("_rgb" in video))},
    }
    return row | changes


TRAIN_ROWS = (
    segment(f"{ONE}/{FIXED}", 4, 31, 0),
    segment(f"{ONE}/{FIXED}", 30, 46, 1),
    segment(f"{ONE}/{WORN}", 4, 31, 0),
)
VALIDATION_ROWS = (segment(f"{TWO}/{FIXED}", 15, 40, 5),)
TEST_ROWS = (segment(f"{THREE}/{FIXED}", 3, 33, 1),)
VIDEOS = tuple(dict.fromkeys(row["video"] for row in (*TRAIN_ROWS, *VALIDATION_ROWS, *TEST_ROWS)))


def write_tables(
    folder: Path, train: Iterable[Mapping] = TRAIN_ROWS, validation: Iterable[Mapping] = VALIDATION_ROWS
) -> None:
    """Write the tables of clips, and that of the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((TRAIN, train), (VALIDATION, validation), (TEST, TEST_ROWS)):
        write_table(folder / name, COLUMNS, rows)
    write_actions(folder)


def write_actions(folder: Path, changes: Iterable[Mapping] = ()) -> None:
    """Write actions.csv. changes: further rows."""
    columns = ("id", "action_id", "verb_id", "noun_id", "action_cls", "verb_cls", "noun_cls")
    rows = [segment("", 0, 1, action, id=str(i)) for i, action in enumerate(sorted(CLASSES, reverse=True))]
    write_table(folder / ACTIONS, columns, [{name: row[name] for name in columns} for row in (*rows, *changes)])
