"""Which split a video or a clip is in, and by which rule. Knows facts and names; reads no file but FHO's lists."""

from embedonce.pipeline.sources.ego4d.metadata import MULTI, SPLIT_FIELDS, VideoFacts
from embedonce.pipeline.sources.ego4d.reading import Reading
from embedonce.pipeline.splits.assignment import HELD_OUT_ORDER, split_by_hash

SETS = (("train", "train"), ("val", "val"), ("test_unannotated", "test"))  # part of the file's name, split
BENCHMARKS = {"lta": "clips", "sta": "annotations", "oscc-pnr": "clips"}  # say which clip is in which split: their list
BY_HASH = "hash of the uid: ego4d.json names no split"
_RANK = {MULTI: HELD_OUT_ORDER.index("val")}  # some of its clips are held out


def split_of_video(facts: VideoFacts) -> tuple[str, str]:
    """(split, rule) of annotations over a whole video: held out where any benchmark holds it out.

    test before val before train over SPLIT_FIELDS, as CLEP and videollm-online have it; `multi`, of which some clips
    are held out, counts as val. A video without any split gets one by the hash of its uid.
    """
    if not facts.splits:
        return split_by_hash(facts.uid), BY_HASH
    ranks = {name: _rank(split) for name, split in facts.splits.items()}
    highest = max(ranks.values())
    names = [name for name in SPLIT_FIELDS if ranks.get(name) == highest]
    told = [f"{name} ({MULTI})" if facts.splits[name] == MULTI else name for name in names]
    return HELD_OUT_ORDER[highest], f"{' and '.join(told)} of ego4d.json"


def clip_splits(reading: Reading) -> dict[str | None, tuple[str, str]]:
    """(split, rule) of each clip by the FHO files that list it: their membership is FHO's split, which is by clip.

    Where they disagree, the split that is held out more counts, so that no test or val clip is trained on.
    """
    found: dict[str | None, tuple[str, str]] = {}
    for benchmark, key in BENCHMARKS.items():
        for part, split in SETS:
            file = f"fho_{benchmark}_{part}.json"
            for entry in reading.entries(file, key):
                clip_uid = entry.uid("clip_uid") if entry.has("clip_uid") else None
                if clip_uid is None:
                    continue
                known = found.setdefault(clip_uid, (split, file))
                if known[0] != split:
                    reading.counts["entries of FHO files put a clip into another split than an earlier file"] += 1
                    found[clip_uid] = max(known, (split, file), key=lambda pair: _rank(pair[0]))
    return found


def split_of_fho_clip(
    clips: dict[str | None, tuple[str, str]], clip_uid: str | None, facts: VideoFacts
) -> tuple[str, str] | None:
    """(split, rule) of an FHO clip: by its own membership, else the video's FHO split; None where neither says."""
    if clip_uid in clips:
        split, file = clips[clip_uid]
        return split, f"its clips in {file}"
    split = facts.splits.get("split_fho")
    return None if split in (None, MULTI) else (split, "split_fho of ego4d.json")


def _rank(split: str) -> int:
    return _RANK[split] if split in _RANK else HELD_OUT_ORDER.index(split)
