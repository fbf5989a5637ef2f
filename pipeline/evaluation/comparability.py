"""Which published figures an evaluation on Ego4D's annotations compares with, and how much its clips overlap."""

from collections import defaultdict

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.evaluation.verb_noun import annotation_of
from embedonce.pipeline.naming.uids import recording_of

PUBLISHED = {  # published figures of each kind of annotation, with which ours do not compare
    "moments": "mAP and recall of Moments Queries, where models localize the windows themselves",
    "fho-verbs": "edit distance at 20 future actions (LTA), mAP of short-term anticipation or action recognition on "
    "all of FHO's val clips",
    "lta-verbs": "edit distance at 20 future actions (LTA), where the clip classified here is not shown",
    "oscc": "accuracy of object state change classification on all official val clips",
    "goalstep": "mAP of step localization and recall of step grounding",
    "narrations": "retrieval and multiple choice from narrations: embedonce extracts the verbs from the texts itself",
}
PUBLISHED |= {"fho-nouns": PUBLISHED["fho-verbs"], "lta-nouns": PUBLISHED["lta-verbs"]}
PUBLISHED |= {"narrations-all": PUBLISHED["narrations"]}
BY_VIDEO = "no recording is in two splits, while the official splits of FHO and LTA are by 5-minute clip"
BY_CLIP = "recordings are in two splits, as in the official ones by clip: training had frames of the same rooms"


def comparable_with(labels: LabelSet, split: str) -> str | None:
    """What figures on a label set of Ego4D can be compared with, in a sentence; None for other label sets."""
    kind = annotation_of(labels)
    if kind not in PUBLISHED:
        return None
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for clip in labels.clips:
        splits[recording_of(clip.video_uid)].add(clip.split)
    is_shared = any(len(used) > 1 and split in used for used in splits.values())
    return (
        "these figures compare with those of students and teachers on the same clips of this cache, not with published "
        f"{PUBLISHED[kind]}; {BY_CLIP if is_shared else BY_VIDEO}"
    )


def shared_frames(reader: CacheReader, clips: list[ClipLabel]) -> float | None:
    """Of the cached frames of these clips, the share that is in several of them; None if there are no frames."""
    windows = defaultdict(list)
    for clip in clips:
        windows[clip.video_uid].append((clip.start_sec, clip.end_sec))
    total = shared = 0
    for uid, spans in windows.items():
        timeline = reader.timeline(uid)
        depth = np.zeros(len(timeline.k) + 1, np.int64)
        for span in spans:
            rows = timeline.window(*span)
            depth[rows.start] += 1
            depth[max(rows.start, rows.stop)] -= 1
        depth = depth.cumsum()
        total, shared = total + int((depth > 0).sum()), shared + int((depth > 1).sum())
    return shared / total if total else None
