"""A miniature of Ego-Exo4D: the annotations of its keysteps, as published, its takes, and the names of their videos."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TRAIN, VAL, MAPPING = "keystep_train.json", "keystep_val.json", "label_mapping.csv"
VOCABULARY = {502: "Check paper recipe", 492: "Adjust the stove heat", 1567: "Stir the mixture", 843: "Unbox package"}
BENCHMARK = (1567, 502, 492)  # in the order of their labels; the cutoff of the benchmark leaves the others out
FIRST, SECOND, ABSENT, OTHER = "sfu_cooking_013_3", "georgiatech_covid_07_6", "nus_cooking_10_2", "unc_0706_Dance_4_5"
UIDS = {
    FIRST: "0015e453-3227-41b0-bd64-03c134abe054",
    SECOND: "77cd56fc-6b68-4c7f-814b-81545484dd2d",
    ABSENT: "1c504968-4f68-48dc-bee3-159fa197af65",
    OTHER: "3aa30d4c-1e1c-4a11-a3a7-9d1a21a9a101",
}
VIDEOS = {
    FIRST: f"takes/{FIRST}/frame_aligned_videos/downscaled/448/aria01_214-1.mp4",
    SECOND: f"takes/{SECOND}/frame_aligned_videos/aria02_214-1.mp4",
}


def segment(start: float, end: float, step: int, **changes: Any) -> dict:
    """A segment of a take, in seconds from its start."""
    values = {
        "start_time": start,
        "end_time": end,
        "step_id": step % 40,
        "step_unique_id": step,
        "step_name": VOCABULARY.get(step, "?"),
        "step_description": f"They {VOCABULARY.get(step, '?').lower()}",
        "is_essential": True,
    }
    return values | changes


def take(name: str, *segments: dict, **changes: Any) -> dict:
    """The entry of a take in a file of keysteps."""
    meta = {"annotation_uid": "16ef27f8-7bff-42fa-b2c9-49856a570c6b", "job_id": 6534429029945912}
    values = {"take_uid": UIDS[name], "take_name": name, "scenario": "Cooking", "annotation_meta": meta}
    return values | {"segments": list(segments)} | changes


TRAIN_TAKES = (
    take(FIRST, segment(0.14, 1.04, 1567), segment(0.9, 1.55, 492), segment(1.6, 1.9, 843)),
    take(ABSENT, segment(1.0, 2.0, 502)),
)
VAL_TAKES = (take(SECOND, segment(0.25, 1.0, 502)),)


def write_annotations(folder: Path, train: Sequence[Mapping] = TRAIN_TAKES, val: Sequence[Mapping] = VAL_TAKES) -> None:
    """Write both files of keysteps, and the list of those of the benchmark."""
    (folder / "keystep_benchmark").mkdir(parents=True, exist_ok=True)
    for name, takes in ((TRAIN, train), (VAL, val)):
        write_keysteps(folder / name, takes)
    lines = [f"{label},{step},{VOCABULARY[step]},cooking\n" for label, step in enumerate(BENCHMARK)]
    text = "label_id,step_unique_id,step_name,scenario_name\n" + "".join(lines)
    (folder / "keystep_benchmark" / MAPPING).write_text(text)


def write_keysteps(path: Path, takes: Sequence[Mapping], vocabulary: Mapping | None = VOCABULARY) -> None:
    node = {"id": 3, "is_leafnode": True, "name": "Stir the mixture", "parent_id": 0, "unique_id": 1567}
    content = {"annotations": {one["take_uid"]: one for one in takes}, "taxonomy": {"Cooking": {"3": node}}}
    path.write_text(json.dumps(content if vocabulary is None else content | {"vocabulary": vocabulary}))


def write_takes(root: Path, folders: Mapping[str, str], duration: float = 2.0) -> None:
    """Write takes.json. folders: name of a take -> its folder."""
    entries = [
        {"root_dir": folder, "take_uid": UIDS[name], "take_name": name, "duration_sec": duration, "is_dropped": False}
        for name, folder in folders.items()
    ]
    (root / "takes.json").write_text(json.dumps(entries))
