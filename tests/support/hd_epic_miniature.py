"""A miniature of HD-EPIC: its narrations and classes, by their published columns, and the names of its videos."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.epic_miniature import write_table
from tests.support.pickled_frames import pickled_frame

PICKLE, CONVERTED = "HD_EPIC_Narrations.pkl", "HD_EPIC_Narrations.csv"
VERBS, NOUNS = "HD_EPIC_verb_classes.csv", "HD_EPIC_noun_classes.csv"
FOLDER = "hd-epic-annotations/narrations-and-action-segments"
FLOATS = ("start_timestamp", "end_timestamp", "narration_timestamp")
COLUMNS = (
    *("unique_narration_id", "participant_id", "video_id", "narration", "start_timestamp", "end_timestamp"),
    *("nouns", "verbs", "pairs", "main_actions", "verb_classes", "noun_classes", "pair_classes"),
    *("main_action_classes", "hands", "narration_timestamp"),
)
VERB_KEYS, NOUN_KEYS = ("take", "turn-on", "open", "hold"), ("tap", "board:chopping", "cupboard")
FIRST, SECOND, ABSENT = "P01-20240202-110250", "P02-20240318-090000", "P09-20240621-093545"
VIDEOS = {FIRST: f"Videos/P01/{FIRST}.mp4", SECOND: f"P02/{SECOND}.MP4"}


def narration(uid: str, start: float, end: float, verbs: Sequence[int], nouns: Sequence[int], **changes: Any) -> dict:
    """A narration; verbs, nouns: ids of classes."""
    pairs = list(zip(verbs, nouns, strict=False))
    words = [(VERB_KEYS[verb], NOUN_KEYS[noun]) for verb, noun in pairs]
    video = uid.rpartition("-")[0]
    values = {
        "unique_narration_id": uid,
        "participant_id": video.partition("-")[0],
        "video_id": video,
        "narration": f"Do {uid} with the left hand.",
        "start_timestamp": start,
        "end_timestamp": end,
        "nouns": [NOUN_KEYS[noun] for noun in nouns],
        "verbs": [VERB_KEYS[verb] for verb in verbs],
        "pairs": words,
        "main_actions": words[:1],
        "verb_classes": list(verbs),
        "noun_classes": list(nouns),
        "pair_classes": pairs,
        "main_action_classes": pairs[:1],
        "hands": ["left hand"],
        "narration_timestamp": start + 0.5,
    }
    return values | changes


NARRATIONS = (
    narration(f"{FIRST}-1", 0.14, 1.04, [2, 3], [2, 2]),
    narration(f"{FIRST}-2", 0.9, 1.55, [0], [1]),
    narration(f"{SECOND}-1", 0.25, 1.0, [1], [0]),
    narration(f"{SECOND}-2", 1.1, 1.4, [3], []),
    narration(f"{ABSENT}-1", 1.0, 2.0, [0], [0]),  # not downloaded
)


def write_annotations(folder: Path, narrations: Sequence[Mapping] = NARRATIONS) -> None:
    """Write the narrations as they are published, and both tables of classes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pickle(folder / PICKLE, narrations)
    for name, keys in ((VERBS, VERB_KEYS), (NOUNS, NOUN_KEYS)):
        rows = [{"id": i, "key": key, "instances": f"['{key}']", "category": "any"} for i, key in enumerate(keys)]
        write_table(folder / name, ("id", "key", "instances", "category"), rows)


def write_pickle(path: Path, narrations: Sequence[Mapping], columns: Sequence[str] = COLUMNS) -> None:
    values = {name: [row[name] for row in narrations] for name in columns}
    path.write_bytes(pickled_frame(values, numbers=[name for name in FLOATS if name in columns]))


def write_converted(path: Path, narrations: Sequence[Mapping] = NARRATIONS) -> None:
    """The CSV file that pandas makes of the pickle."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(narrations)
