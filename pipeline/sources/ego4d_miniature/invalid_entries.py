"""Adds single invalid entries, as published files have them, to the documents of a miniature.

Unknown and repeated uids, empty and null texts, labels outside the taxonomy, times beyond the video, redactions without
intervals. Readers drop or clamp them, with a note; `extra_windows` are those that remain.
"""

import copy

from embedonce.pipeline.sources.ego4d_miniature.fho_main import extra_action
from embedonce.pipeline.sources.ego4d_miniature.goalstep import segment
from embedonce.pipeline.sources.ego4d_miniature.plan import Plan, Window

REMOVED = "gone"  # seed of the uid of a video that was removed from ego4d.json, but not from the annotations
BEYOND = 345  # a frame more than a second after the end of the stereo video, which has 300
UNKNOWN_VERB, UNKNOWN_NOUN = "tickle_(poke)", "feather"


def add_invalid_entries(plan: Plan, documents: dict[str, dict]) -> None:
    """documents: of plan, by the file's name; changed in place."""
    _to_metadata(plan, documents["ego4d.json"])
    _to_moments(plan, documents)
    _to_fho_main(plan, documents["fho_main.json"])
    _to_lta(plan, documents)
    _to_oscc(plan, documents)
    _to_goalstep(plan, documents)
    _to_narrations(plan, documents)


def extra_windows(plan: Plan) -> dict[str, tuple[Window, ...]]:
    """Expected windows of the added entries that are not dropped, by kind: clamped or unlabeled."""
    stereo, plain = plan.videos["stereo"], plan.videos["plain"]
    fho, lta = plan.clips["FHO:stereo:0"].uid, plan.clips["FHO:plain:0"].uid
    clamped = stereo.sec(285), stereo.sec(300)
    unlabeled = Window(stereo.uid, stereo.sec(130), stereo.sec(190), None, "val", fho, "label not in the taxonomy")
    oscc = plan.clips["FHO:plain:0"]
    return {
        "moments": (
            Window(stereo.uid, *clamped, "use_phone", "val", plan.clips["EM:stereo:0"].uid, "ends beyond the video"),
        ),
        "fho_verbs": (
            unlabeled,
            Window(stereo.uid, *clamped, "open", "val", fho, "ends beyond the video"),
        ),
        "fho_nouns": (
            unlabeled,
            Window(stereo.uid, *clamped, "cup_(cup,_mug)", "val", fho, "ends beyond the video"),
        ),
        "lta_verbs": (
            Window(plain.uid, plain.sec(200), plain.sec(230), None, "train", lta, "label not in the taxonomy"),
        ),
        "lta_nouns": (
            Window(plain.uid, plain.sec(200), plain.sec(230), None, "train", lta, "label not in the taxonomy"),
        ),
        "oscc": (Window(plain.uid, plain.sec(180), plain.sec(240), None, "train", oscc.uid, "null label"),),
        "goalstep": (Window(stereo.uid, *clamped, "Serve: Arrange on a plate", "val", None, "ends beyond the video"),),
    }


def _to_metadata(plan: Plan, document: dict) -> None:
    """A clip that is listed twice, and one of a removed video. One video already has unlisted redactions."""
    clip = document["clips"][0]
    gone = copy.deepcopy(clip) | {"clip_uid": plan.uid(f"{REMOVED} clip"), "video_uid": plan.uid(REMOVED)}
    document["clips"] += [copy.deepcopy(clip), gone]


def _to_moments(plan: Plan, documents: dict[str, dict]) -> None:
    stereo, clip_uid = plan.videos["stereo"], plan.clips["EM:stereo:0"].uid
    videos = documents["moments_val.json"]["videos"]
    (entry,) = (video for video in videos if video["video_uid"] == stereo.uid)
    (clip,) = (clip for clip in entry["clips"] if clip["clip_uid"] == clip_uid)
    labels = clip["annotations"][0]["labels"]
    first = labels[0]

    def timed(start: float, end: float) -> dict:
        times = {"video_start_time": stereo.sec(start), "video_end_time": stereo.sec(end)}
        return copy.deepcopy(first) | times | {"label": "use_phone"}

    labels += [first | {"label": None}, first | {"label": ""}, timed(90, 100) | {"primary": None}]
    labels += [timed(285, BEYOND), timed(BEYOND, BEYOND + 30)]
    entry["clips"].append(copy.deepcopy(clip))
    unknown = copy.deepcopy(entry) | {"video_uid": plan.uid(REMOVED)}
    veiled = copy.deepcopy(entry) | {"video_uid": plan.videos["veiled"].uid}
    videos += [copy.deepcopy(entry), unknown, veiled]
    test = documents["moments_test_unannotated.json"]["videos"]
    test.append(copy.deepcopy(test[0]) | {"video_uid": plan.uid(REMOVED)})


def _to_fho_main(plan: Plan, document: dict) -> None:
    videos = document["videos"]
    stereo = plan.videos["stereo"]
    (entry,) = (video for video in videos if video["video_uid"] == stereo.uid)
    (interval,) = entry["annotated_intervals"]
    actions, clip = interval["narrated_actions"], plan.clips["FHO:stereo:0"]
    actions.append(copy.deepcopy(actions[0]))
    actions.append(extra_action(plan, clip, (130, 190), UNKNOWN_VERB, UNKNOWN_NOUN))
    actions.append(extra_action(plan, clip, (285, BEYOND), "open", "cup_(cup,_mug)"))
    actions.append(extra_action(plan, clip, (BEYOND, BEYOND + 30), "open", "cup_(cup,_mug)"))
    entry["annotated_intervals"].append(copy.deepcopy(interval))
    unknown = copy.deepcopy(entry) | {"video_uid": plan.uid(REMOVED)}
    videos += [copy.deepcopy(entry), unknown, copy.deepcopy(entry) | {"video_uid": plan.videos["veiled"].uid}]


def _to_lta(plan: Plan, documents: dict[str, dict]) -> None:
    clips, plain = documents["fho_lta_train.json"]["clips"], plan.clips["FHO:plain:0"]
    (first, second, *_) = (entry for entry in clips if entry["clip_uid"] == plain.uid)
    again = copy.deepcopy(first)
    span = {"action_clip_start_sec": plain.video.sec(200) - plain.start_sec}
    span["action_clip_end_sec"] = plain.video.sec(230) - plain.start_sec
    odd = copy.deepcopy(first) | span | {"verb": UNKNOWN_VERB, "noun": UNKNOWN_NOUN, "action_idx": 90}
    clips += [again, odd, copy.deepcopy(first) | {"video_uid": plan.uid(REMOVED)}]
    first["action_idx"], second["action_idx"] = None, odd["action_idx"]
    again["action_idx"] = None
    test = documents["fho_lta_test_unannotated.json"]["clips"]
    test.append(copy.deepcopy(test[0]) | {"video_uid": plan.uid(REMOVED)})


def _to_oscc(plan: Plan, documents: dict[str, dict]) -> None:
    clips, plain = documents["fho_oscc-pnr_train.json"]["clips"], plan.videos["plain"]
    first = next(entry for entry in clips if entry["video_uid"] == plain.uid)
    times = {"parent_start_sec": plain.sec(180), "parent_end_sec": plain.sec(240)}
    unlabeled = copy.deepcopy(first) | times | {"state_change": None, "unique_id": plan.uid("unlabeled")}
    unknown = copy.deepcopy(first) | {"video_uid": plan.uid(REMOVED), "unique_id": plan.uid(f"{REMOVED} oscc")}
    clips += [copy.deepcopy(first), unlabeled, unknown]


def _to_goalstep(plan: Plan, documents: dict[str, dict]) -> None:
    videos, stereo = documents["goalstep_val.json"]["videos"], plan.videos["stereo"]
    (entry,) = (video for video in videos if video["video_uid"] == stereo.uid)
    names = (None, "", "Serve: Arrange on a plate")
    spans = ((90, 100), (90, 100), (285, BEYOND))
    entry["segments"] += [segment(stereo, name, *span, []) for name, span in zip(names, spans, strict=True)]
    videos += [copy.deepcopy(entry), copy.deepcopy(entry) | {"video_uid": plan.uid(REMOVED)}]


def _to_narrations(plan: Plan, documents: dict[str, dict]) -> None:
    narrated, uid = documents["narration.json"], plan.videos["stereo"].uid
    spoken = narrated[uid]["narration_pass_1"]["narrations"]
    first = spoken[0]
    spoken += [first | {"narration_text": ""}, first | {"narration_text": None}, first | {"timestamp_sec": None}]
    spoken.append(first | {"timestamp_sec": 400.0})
    for name in (plan.uid(REMOVED), plan.videos["veiled"].uid):
        narrated[name] = copy.deepcopy(narrated[uid])
    flat = documents["all_narrations_redacted.json"]["videos"]
    flat[uid]["narrations"].append(copy.deepcopy(flat[uid]["narrations"][0]) | {"text": None})
    flat[plan.uid(REMOVED)] = copy.deepcopy(flat[uid])
