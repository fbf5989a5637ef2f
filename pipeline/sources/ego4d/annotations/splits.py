"""Which split a video or a clip is in, and the rule that decides it."""

from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationReader, AssignedSplit
from embedonce.pipeline.sources.ego4d.metadata import MULTI, SPLIT_FIELDS, VideoInfo
from embedonce.pipeline.sources.ego4d.parsing.notes import Reason
from embedonce.pipeline.splits.assignment import HELD_OUT_ORDER, split_by_hash

SPLIT_OF_SUFFIX = {"train": "train", "val": "val", "test_unannotated": "test"}  # of the file name
CLIP_LISTS = {"lta": "clips", "sta": "annotations", "oscc-pnr": "clips"}  # FHO benchmark -> key of its list of clips
BY_HASH = "hash of the uid: ego4d.json names no split"
CONFLICTING_SPLITS = Reason(
    "conflicting-splits", "clips that FHO files list in different splits, put into the one that is held out more"
)
_RANK = {split: rank for rank, split in enumerate(HELD_OUT_ORDER)}
_RANK[MULTI] = _RANK["val"]  # some of its clips are held out


def files_by_split(benchmark: str) -> dict[str, str]:
    """File name -> split, for a benchmark with one file per split, such as `fho_lta`."""
    return {f"{benchmark}_{suffix}.json": split for suffix, split in SPLIT_OF_SUFFIX.items()}


def split_of_video(video: VideoInfo) -> AssignedSplit:
    """The split of annotations of a whole video: held out if any benchmark holds it out.

    test before val before train over SPLIT_FIELDS, as in CLEP and videollm-online; `multi` counts as val, because some
    of its clips are held out. A video without a split gets one by the hash of its uid.
    """
    if not video.splits:
        return AssignedSplit(split_by_hash(video.uid), BY_HASH)
    highest = max(_RANK[split] for split in video.splits.values())
    names = [name for name in SPLIT_FIELDS if name in video.splits and _RANK[video.splits[name]] == highest]
    labeled = [f"{name} ({MULTI})" if video.splits[name] == MULTI else name for name in names]
    return AssignedSplit(HELD_OUT_ORDER[highest], f"{' and '.join(labeled)} of ego4d.json")


def splits_of_fho_clips(reader: AnnotationReader) -> dict[str, AssignedSplit]:
    """clip_uid -> split, by the FHO files that list the clip.

    If files disagree, the split that is held out more counts, so that no test or val clip is trained on.
    """
    splits: dict[str, AssignedSplit] = {}
    for benchmark, key in CLIP_LISTS.items():
        for file, split in files_by_split(f"fho_{benchmark}").items():
            for entry in reader.entries(file, key):
                clip_uid = entry.uid("clip_uid") if entry.has("clip_uid") else None
                if clip_uid is None:
                    continue
                known = splits.setdefault(clip_uid, AssignedSplit(split, file))
                if known.split != split:
                    reader.count(CONFLICTING_SPLITS)
                    splits[clip_uid] = max(known, AssignedSplit(split, file), key=lambda one: _RANK[one.split])
    return splits


def split_of_fho_clip(splits: dict[str, AssignedSplit], clip_uid: str | None, video: VideoInfo) -> AssignedSplit | None:
    """The split of an FHO clip: by the files that list it, else the video's split_fho; None if neither is known."""
    if clip_uid is not None and clip_uid in splits:
        split, file = splits[clip_uid]
        return AssignedSplit(split, f"its clips in {file}")
    split_fho = video.splits.get("split_fho")
    return None if split_fho in (None, MULTI) else AssignedSplit(split_fho, "split_fho of ego4d.json")
