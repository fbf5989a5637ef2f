"""A miniature of EPIC-KITCHENS-100: its tables, by their published columns, and the names of its videos."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

TRAIN, VALIDATION = "EPIC_100_train.csv", "EPIC_100_validation.csv"
VERBS, NOUNS, INFO = "EPIC_100_verb_classes.csv", "EPIC_100_noun_classes.csv", "EPIC_100_video_info.csv"
COLUMNS = (
    *("narration_id", "participant_id", "video_id", "narration_timestamp", "start_timestamp", "stop_timestamp"),
    *("start_frame", "stop_frame", "narration", "verb", "verb_class", "noun", "noun_class"),
    *("all_nouns", "all_noun_classes"),
)
VERB_KEYS, NOUN_KEYS = ("take", "turn-on", "cut"), ("tap", "board:chopping", "machine:sous:vide", "plate")


def action(uid: str, start: str, stop: str, verb: tuple[str, int], noun: tuple[str, int], **changes: str) -> dict:
    """A row of a table of clips. verb, noun: (word of the narration, id of its class).

    Frame numbers are those of a re-encoded video and say nothing about the times.
    """
    video_id = uid.rpartition("_")[0]
    row = {
        "narration_id": uid,
        "participant_id": video_id.partition("_")[0],
        "video_id": video_id,
        "start_timestamp": start,
        "stop_timestamp": stop,
        "start_frame": "7",
        "stop_frame": "11",
        "narration": f"{verb[0]} {noun[0]}",
        "verb": verb[0],
        "verb_class": str(verb[1]),
        "noun": noun[0],
        "noun_class": str(noun[1]),
        "all_nouns": f"['{noun[0]}', 'hand']",
        "all_noun_classes": f"[{noun[1]}, 11]",
    }
    return dict.fromkeys(COLUMNS, "") | row | changes


TRAIN_ROWS = (
    action("P01_01_0", "00:00:00.14", "00:00:01.037", ("take", 0), ("plate", 3)),
    action("P01_01_1", "00:00:00.9", "00:00:01.50", ("switch-on", 1), ("tap", 0)),
    action("P09_07_0", "00:00:01.00", "00:00:02.00", ("slice", 2), ("board:cutting", 1)),  # not downloaded
)
VALIDATION_ROWS = (action("P02_102_10", "00:00:00.25", "00:00:01.00", ("turn-on", 1), ("machine:sous:vide", 2)),)


def write_tables(folder: Path, train: Iterable[Mapping] = TRAIN_ROWS, validation: Iterable[Mapping] = VALIDATION_ROWS):
    """Write both tables of clips, and those that name the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / TRAIN, COLUMNS, train)
    write_table(folder / VALIDATION, COLUMNS, validation)
    for name, keys in ((VERBS, VERB_KEYS), (NOUNS, NOUN_KEYS)):
        rows = [{"id": i, "key": key, "instances": f"['{key}']", "category": "any"} for i, key in enumerate(keys)]
        write_table(folder / name, ("id", "key", "instances", "category"), rows)


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Mapping]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, tuple(columns))
        writer.writeheader()
        writer.writerows(rows)
