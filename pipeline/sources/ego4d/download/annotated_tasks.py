"""Finds the tasks that each video is annotated for: FHO, Moments, Narrations.

A video counts for FHO or Moments if ego4d.json puts it into the task's train or val split, or a train or val file of
the task lists it. (The FHO split is "multi" for videos whose clips are in several splits; the files list those.) Test
videos do not count, because their labels are withheld. Without fho_lta_train.json and fho_lta_val.json, the videos of
fho_main.json that have actions count. A video counts for Narrations if it has at least one narration.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.sources.ego4d.metadata import Metadata
from embedonce.pipeline.sources.ego4d.parsing import json_stream
from embedonce.pipeline.sources.ego4d.parsing.problems import Problems

LABELED = ("train", "val")
FHO, MOMENTS, NARRATIONS = TASKS = ("FHO", "Moments", "Narrations")
FHO_FILES = (("fho_lta_train.json", "clips"), ("fho_lta_val.json", "clips"))  # name, key of the list
FHO_MAIN = "fho_main.json"
MOMENTS_FILES = (("moments_train.json", "videos"), ("moments_val.json", "videos"))
NARRATIONS_FILES = (("narration.json", ""), ("all_narrations_redacted.json", "videos"))
_SPLIT_FIELDS = {FHO: "split_fho", MOMENTS: "split_em"}


def tasks_by_video(folder: Path, metadata: Metadata, problems: Problems) -> dict[str, tuple[str, ...]]:
    """uid -> tasks, in the order of TASKS. folder: of the annotations; missing files are ignored."""
    listed = {
        FHO: {*_listed(folder, FHO_FILES, problems)} or {*_with_actions(folder, problems)},
        MOMENTS: {*_listed(folder, MOMENTS_FILES, problems)},
        NARRATIONS: {*_narrated(folder, problems)},
    }
    tasks: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for uid, video in metadata.videos.items():
        for task in TASKS:
            split = video.splits.get(_SPLIT_FIELDS[task]) if task in _SPLIT_FIELDS else None
            if uid in listed[task] or split in LABELED:
                tasks[uid] += (task,)
    return dict(tasks)


def _listed(folder: Path, files: tuple[tuple[str, str], ...], problems: Problems) -> Iterator[str]:
    for name, key in files:
        if (folder / name).is_file():
            for _, entry in json_stream.entries(folder / name, key, name, problems):
                yield from _video_uid(entry)


def _with_actions(folder: Path, problems: Problems) -> Iterator[str]:
    if (folder / FHO_MAIN).is_file():
        for _, entry in json_stream.entries(folder / FHO_MAIN, "videos", FHO_MAIN, problems):
            intervals = entry.get("annotated_intervals") if isinstance(entry, dict) else None
            if any(isinstance(one, dict) and one.get("narrated_actions") for one in _as_list(intervals)):
                yield from _video_uid(entry)


def _narrated(folder: Path, problems: Problems) -> Iterator[str]:
    existing = [(name, key) for name, key in NARRATIONS_FILES if (folder / name).is_file()]
    for name, key in existing[:1]:
        for _, uid, value in json_stream.members(folder / name, key, name, problems):
            passes = [value, *value.values()] if isinstance(value, dict) else []
            if any(isinstance(one, dict) and _as_list(one.get("narrations")) for one in passes):
                yield uid


def _video_uid(entry: object) -> Iterator[str]:
    if isinstance(entry, dict) and isinstance(entry.get("video_uid"), str):
        yield entry["video_uid"]


def _as_list(value: object) -> list:
    return value if isinstance(value, list) else []
