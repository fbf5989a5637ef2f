"""What figures on Ego4D's annotations can be set against, in a sentence, and how far their windows overlap."""

from collections import defaultdict

import numpy as np

from embedonce.cache.labels import ClipLabel, LabelSet
from embedonce.cache.reader import CacheReader
from embedonce.pipeline.evaluation.verb_noun import annotation_of
from embedonce.pipeline.naming.uids import recording_of

PUBLISHED = {  # what is published of each kind, which these figures are not
    "moments": "mAP and recall of Moments Queries, which has to find the windows itself",
    "fho-verbs": "edit distance at 20 future actions (LTA), mAP of short-term anticipation or action recognition on "
    "all of FHO's val clips",
    "lta-verbs": "edit distance at 20 future actions (LTA), where the clip that is named here is not seen",
    "oscc": "accuracy of object state change classification on all official val clips",
    "goalstep": "mAP of step localization and recall of step grounding",
    "narrations": "retrieval and multiple choice from narrations: the verbs are found in the texts by this program",
}
PUBLISHED |= {"fho-nouns": PUBLISHED["fho-verbs"], "lta-nouns": PUBLISHED["lta-verbs"]}
PUBLISHED |= {"narrations-all": PUBLISHED["narrations"]}
BY_VIDEO = "no recording is in two splits, where the official splits of FHO and LTA are by 5-minute clip"
BY_CLIP = "recordings are in two splits, as in the official ones by clip: frames of the same rooms were trained on"


def comparable_with(labels: LabelSet, split: str) -> str | None:
    """What the figures of a label set of Ego4D can be set against, and what not; None for other label sets."""
    kind = annotation_of(labels)
    if kind not in PUBLISHED:
        return None
    splits = defaultdict(set)
    for clip in labels.clips:
        splits[recording_of(clip.video_uid)].add(clip.split)
    is_shared = any(len(found) > 1 and split in found for found in splits.values())
    return (
        "these figures can be set against students and teachers judged on these clips of this cache, not against "
        f"published {PUBLISHED[kind]}; {BY_CLIP if is_shared else BY_VIDEO}"
    )


def shared_frames(reader: CacheReader, clips: list[ClipLabel]) -> float | None:
    """The share of the cached frames of these clips that lie in several of them; None where there is no frame."""
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
