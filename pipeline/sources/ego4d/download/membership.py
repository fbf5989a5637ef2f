"""Which tasks each video is annotated for: FHO, Moments, Narrations. Knows files, not what they label.

A video counts for FHO and for Moments where ego4d.json puts it into the task's train or val split, or a train or val
file of the task names it. ego4d.json's FHO split is "multi" for videos whose clips are in several; those are found by
the files. Test videos do not count, for their labels are withheld. Where fho_lta_train.json and fho_lta_val.json are
not there, the videos of fho_main.json that have actions count. For Narrations it must have at least one narration.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from embedonce.pipeline.sources.ego4d import streams
from embedonce.pipeline.sources.ego4d.metadata import Metadata
from embedonce.pipeline.sources.ego4d.problems import Problems

LABELED = ("train", "val")
TASKS = ("FHO", "Moments", "Narrations")
FHO_FILES = (("fho_lta_train.json", "clips"), ("fho_lta_val.json", "clips"))
FHO_MAIN = "fho_main.json"
MOMENTS_FILES = (("moments_train.json", "videos"), ("moments_val.json", "videos"))
NARRATIONS_FILES = (("narration.json", ""), ("all_narrations_redacted.json", "videos"))
_SPLIT_FIELDS = {"FHO": "split_fho", "Moments": "split_em"}


def tasks_by_video(folder: Path, metadata: Metadata, problems: Problems) -> dict[str, tuple[str, ...]]:
    """uid -> tasks, in the order of TASKS. folder: of the annotations; a file that is not there says nothing."""
    named = {
        "FHO": {*_listed(folder, FHO_FILES, problems)} or {*_with_actions(folder, problems)},
        "Moments": {*_listed(folder, MOMENTS_FILES, problems)},
        "Narrations": {*_narrated(folder, problems)},
    }
    tasks = defaultdict(tuple)
    for uid, facts in metadata.videos.items():
        for task in TASKS:
            if uid in named[task] or facts.splits.get(_SPLIT_FIELDS.get(task)) in LABELED:
                tasks[uid] += (task,)
    return dict(tasks)


def _listed(folder: Path, files: tuple[tuple[str, str], ...], problems: Problems) -> Iterator[str]:
    for name, key in files:
        if (folder / name).is_file():
            for _, entry in streams.entries(folder / name, key, name, problems):
                yield from _uid_of(entry)


def _with_actions(folder: Path, problems: Problems) -> Iterator[str]:
    if (folder / FHO_MAIN).is_file():
        for _, entry in streams.entries(folder / FHO_MAIN, "videos", FHO_MAIN, problems):
            intervals = entry.get("annotated_intervals") if isinstance(entry, dict) else None
            if any(isinstance(one, dict) and one.get("narrated_actions") for one in _as_list(intervals)):
                yield from _uid_of(entry)


def _narrated(folder: Path, problems: Problems) -> Iterator[str]:
    there = [(name, key) for name, key in NARRATIONS_FILES if (folder / name).is_file()]
    for name, key in there[:1]:
        for _, uid, value in streams.members(folder / name, key, name, problems):
            passes = [value, *value.values()] if isinstance(value, dict) else []
            if any(isinstance(one, dict) and _as_list(one.get("narrations")) for one in passes):
                yield uid


def _uid_of(entry) -> Iterator[str]:
    if isinstance(entry, dict) and isinstance(entry.get("video_uid"), str):
        yield entry["video_uid"]


def _as_list(value) -> list:
    return value if isinstance(value, list) else []
