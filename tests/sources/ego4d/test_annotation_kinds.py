"""Each kind of Ego4D annotations: which entries become clips, their classes and splits, and which are dropped."""

import pytest
from click.testing import CliRunner

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.plan_ego4d import plan
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.sources.ego4d.annotations.narrations import half_window_sec
from embedonce.pipeline.sources.ego4d.annotations.reader import AnnotationKind
from embedonce.pipeline.sources.ego4d.annotations.registry import KIND_NAMES, KINDS
from embedonce.pipeline.splits.assignment import split_by_hash
from tests.support.documentation import ROOT, code_blocks
from tests.support.ego4d_files import (
    C1,
    C2,
    C3,
    U1,
    U2,
    U3,
    action,
    fho_video,
    frame,
    label,
    listed,
    lta,
    moments_video,
    named,
    narrated,
    narration,
    source_of,
    write,
)

DOCUMENTS = ROOT / "docs"

# moments


def test_moments_become_clips(tmp_path):
    first = [label("b", 5, 9), label("a", 1, 3), label("z", 1, 3, primary=False), label("a", 5, 5)]
    train = moments_video(U1, "train", first)
    write(tmp_path, {"moments_train.json": {"videos": [train]}, "moments_val.json": {"videos": [
        moments_video(U2, "val", [label("c", -0.01, 2)])]}})  # fmt: skip
    source = source_of(tmp_path)
    assert (source.kind, source.classes) == ("ego4d", ("a", "b", "c"))
    assert named(source) == [(U1, 1, 3, "a", "train"), (U1, 5, 9, "b", "train"), (U2, -0.01, 2, "c", "val")]
    assert [video.uid for video in source.videos] == [U1, U2]
    assert any("zero-length labels, dropped: moments 1" in note for note in source.notes)


def test_labels_of_several_annotators_are_merged_by_overlap_and_decided_by_majority(tmp_path):
    one = [label("a", 0, 10), label("a", 20, 30), label("b", 0, 10), label("x", 40, 45)]
    two = [label("a", 1, 12), label("a", 25, 35), label("y", 40, 45)]  # IoU 0.75, and 0.33
    three = [label("a", 2, 11)]
    write(tmp_path, {"moments_train.json": {"videos": [moments_video(U1, "train", one, two, three)]}})
    source = source_of(tmp_path)
    clips = [(name, start, end) for _, start, end, name, _ in named(source)]
    assert clips == [("a", 1.0, 11.0), ("a", 20, 30), ("a", 25, 35), ("x", 40, 45), ("y", 40, 45)]
    assert source.classes == ("a", "x", "y")  # nobody else saw a "b"
    notes = " | ".join(source.notes)
    assert "labels of several annotators: merged with the same label: moments 2" in notes
    assert "outvoted, dropped: moments 1" in notes
    assert "tied, all kept: moments 2" in notes


def test_clip_times_are_mapped_to_the_video_if_video_times_are_missing(tmp_path):
    relative = label("a", start_time=1.5, end_time=4.0)
    del relative["video_start_time"], relative["video_end_time"]
    entry = moments_video(U1, "train", [relative], video_start_sec=30.25)
    assert named(source_of(write(tmp_path, {"moments_train.json": {"videos": [entry]}}))) == [
        (U1, 31.75, 34.25, "a", "train")
    ]


def test_clips_of_test_videos_are_unlabeled(tmp_path):
    test = moments_video(U2, "test", video_start_sec=3.0, video_end_sec=9.0)
    del test["clips"][0]["annotations"]
    files = {"moments_train.json": {"videos": [moments_video(U1, "train", [label()])]}}
    write(tmp_path, files | {"moments_test_unannotated.json": {"videos": [test]}})
    assert named(source_of(tmp_path))[-1] == (U2, 3.0, 9.0, None, "test")


# FHO: actions


def test_valid_actions_become_clips_of_their_verb(tmp_path):
    dropped = [
        action(is_rejected=True),
        action(is_valid_action=False),
        action(stage=None),
        action(is_invalid_annotation=True),
    ]
    kept = [action(10.0, 18.0, "put"), action(1.0, 9.0, uid="n1"), action(20.0, 28.0, None)]
    documents = {
        "fho_main.json": {"videos": [fho_video(U1, *dropped, *kept), fho_video(U2, action(), clip_uid=C2)]},
        "fho_sta_val.json": {"annotations": [{"clip_uid": C2}]},
        "fho_lta_train.json": {"clips": [{"clip_uid": C1}]},
    }
    source = source_of(write(tmp_path, documents), "fho-verbs")
    assert named(source) == [
        (U1, 1.0, 9.0, "take", "train"),
        (U1, 10.0, 18.0, "put", "train"),
        (U1, 20.0, 28.0, None, "train"),
        (U2, 1.0, 9.0, "take", "val"),
    ]
    assert any("actions skipped: rejected or invalid: fho-verbs 3" in note for note in source.notes)
    assert any(
        "; stage is null (the official notebook skips them, others keep them): fho-verbs 1" in n for n in source.notes
    )
    assert source.classes == ("put", "take")


def test_the_noun_is_that_of_the_object_of_change(tmp_path):
    change, tool = "object_of_change", "tool"
    first = [frame("pre_45", (change, "egg")), frame("pnr_frame", (tool, "pan"), (change, "cup")), frame("post_frame")]
    many = [frame("pre_15", (change, "egg")), *first, frame("pre_30", (change, "egg"))]
    nulls = [frame("pre_45", (change, "egg")), frame("pnr_frame", (change, None), (change, "cup"), (change, "pan"))]
    none = [
        frame("post_frame", (change, "pan")),
        frame("pnr_frame", (change, None)),
        frame("contact_frame", (change, "egg")),
    ]
    actions = [
        action(1, 2, frames=first),
        action(3, 4, frames=many),
        action(5, 6, frames=[frame("pnr_frame", (tool, "x"))]),
        action(7, 8, frames=nulls),
        action(9, 10, frames=none),
    ]
    write(tmp_path, {"fho_main.json": {"videos": [fho_video(U1, *actions)]}}, [listed(U1, split_fho="train")])
    source = source_of(tmp_path, "fho-nouns")
    assert [name for *_, name, _ in named(source)] == ["cup", "cup", None, "cup", "egg"]


def test_test_intervals_without_actions_are_not_errors(tmp_path):
    bare = {"video_uid": U1, "annotated_intervals": [{"clip_uid": None, "redacted": True}]}
    published = {"clip_uid": C2, "redacted": True, "narrated_actions": []}
    idle = {"clip_uid": C3, "redacted": False, "narrated_actions": []}
    videos = [bare, {"video_uid": U3, "annotated_intervals": [published, idle]}, fho_video(U2, action())]
    write(tmp_path, {"fho_main.json": {"videos": videos}}, [listed(U1), listed(U2, split_fho="val"), listed(U3)])
    source = source_of(tmp_path, "fho-verbs")
    assert named(source) == [(U2, 1.0, 9.0, "take", "val")]
    assert any(
        "annotated intervals without actions: test set, not public: fho-verbs 2" in note for note in source.notes
    )
    assert any("; no action annotated: fho-verbs 1" in note for note in source.notes)


def test_a_taxonomy_gives_the_classes_and_their_order(tmp_path):
    documents = {"fho_main.json": {"videos": [fho_video(U1, action(verb="put"), action(20, 28, "take"))]}}
    documents["fho_main_taxonomy.json"] = {"verbs": ["take", "cut", "put"], "nouns": ["cup"]}
    videos = [listed(U1, split_fho="train")]
    source = source_of(write(tmp_path, documents, videos), "fho-verbs")
    assert source.classes == ("take", "cut", "put")
    assert [c.label for c in source.clips] == [2, 0]
    documents["fho_main_taxonomy.json"] = {"verbs": ["cut", "put"]}
    source = source_of(write(tmp_path, documents, videos), "fho-verbs")
    assert [name for *_, name, _ in named(source)] == ["put", None]
    assert any(
        "labels that are not in the taxonomy, clips kept unlabeled: fho-verbs 1" in note for note in source.notes
    )
    with pytest.raises(InputError, match=r"narrated_actions\[1\]: label: expected a class of the taxonomy, got 'take'"):
        source_of(tmp_path, "fho-verbs", strict=True)


# FHO: long-term anticipation


def test_lta_windows_are_relative_to_their_clip(tmp_path):
    documents = {
        "fho_lta_train.json": {"clips": [lta(U1, 1, 5.5), lta(U1, 0, 2.0, "put", "cup")]},
        "fho_lta_val.json": {"clips": [lta(U2)]},
        "fho_lta_test_unannotated.json": {"clips": [lta(U3, verb=None, noun=None)]},
    }
    write(tmp_path, documents)
    assert named(source_of(tmp_path, "lta-nouns")) == [
        (U1, 12.0, 20.0, "cup", "train"),
        (U1, 15.5, 23.5, "knife", "train"),
        (U2, 12.0, 20.0, "knife", "val"),
        (U3, 12.0, 20.0, None, "test"),
    ]
    assert [name for *_, name, _ in named(source_of(tmp_path, "lta-verbs"))] == ["put", "take", "take", None]


def test_lta_class_numbers_must_agree_with_the_taxonomy(tmp_path):
    taxonomy = {"verbs": ["put", "take"], "nouns": ["knife"]}
    good = {"fho_lta_train.json": {"clips": [lta(U1, verb_label=1)]}, "fho_lta_taxonomy.json": taxonomy}
    assert source_of(write(tmp_path, good), "lta-verbs").classes == ("put", "take")
    bad = good | {"fho_lta_train.json": {"clips": [lta(U1, verb_label=0)]}}
    with pytest.raises(
        InputError, match=r"expected the numbers that fho_lta_taxonomy\.json gives the verbs, got '1 of 1"
    ):
        source_of(write(tmp_path, bad), "lta-verbs")  # the taxonomy of another version, most likely
    clips = [lta(U1, i, i, verb_label=int(i != 1)) for i in range(3)]
    source = source_of(write(tmp_path, bad | {"fho_lta_train.json": {"clips": clips}}), "lta-verbs")
    assert [name for *_, name, _ in named(source)] == ["take", None, "take"]
    assert any(
        "class number and class name differ, kept unlabeled: verb_label and verb: lta-verbs 1" in note
        for note in source.notes
    )


# narrations


def test_narrations_become_windows_around_their_times(tmp_path):
    texts = {30.0: "#C C puts down the cup", 10.0: "#C C takes a knife", 20.0: "#O man Y walks", 14.0: "#unsure"}
    narrations = [narration(time, text) for time, text in texts.items()]  # unsorted
    write(tmp_path, {"narration.json": {U1: narrated(*narrations)}}, videos=[listed(U1, split_fho="val")])
    source = source_of(tmp_path, "narrations")
    half = (20.0 / 3) / 9.8  # the mean gap of the four, over twice 4.9 s
    clips = [(round(start, 6), round(end, 6), name, split) for _, start, end, name, split in named(source)]
    assert clips == [
        (round(10 - half, 6), round(10 + half, 6), "take", "val"),
        (round(30 - half, 6), round(30 + half, 6), "put", "val"),
    ]
    assert len(source_of(tmp_path, "narrations-all").clips) == 3
    notes = " | ".join(source.notes)
    assert "not about the camera wearer: narrations 1" in notes and "unknown actor (#unsure and the like): n" in notes


def test_windows_of_narrations_stay_in_their_video(tmp_path):
    write(tmp_path, {"narration.json": {U1: narrated(narration(0.1), narration(99.9))}})
    spans = [(start, end) for _, start, end, *_ in named(source_of(tmp_path, "narrations"))]
    assert spans[0][0] == 0.0 and spans[-1][1] == 100.0


@pytest.mark.parametrize(
    ("times", "half"), [([3.0], 0.5), ([0.0, 4.9], 0.5), ([0.0, 1.0, 9.8], 0.5), ([2.0, 2.0], 0.0)]
)
def test_half_window_follows_the_published_rule(times, half):
    assert half_window_sec(times) == pytest.approx(half)


def test_redacted_narrations_are_read_if_the_other_file_is_missing(tmp_path):
    entries = [{"time": 5.0, "text": "#C C takes a cup"}, {"text": "#C C puts it down"}]
    write(tmp_path, {"all_narrations_redacted.json": {"videos": {U1: {"narrations": entries}}}})
    source = source_of(tmp_path, "narrations")
    assert [name for *_, name, _ in named(source)] == ["take"]
    assert any("narrations skipped: no time: narrations 1" in note for note in source.notes)


# splits


def test_no_video_is_in_two_splits_without_clip_splits(tmp_path):
    documents = {
        "fho_main.json": {
            "videos": [
                fho_video(U1, action(1, 9), action(11, 19), clip_uid=C1),
                {"video_uid": U2, "annotated_intervals": [
                    *fho_video(U2, action(1, 5, "put"), clip_uid=C2)["annotated_intervals"],
                    *fho_video(U2, action(20, 28), clip_uid=C3)["annotated_intervals"]]},
            ]
        },
        "fho_oscc-pnr_train.json": {"clips": [{"clip_uid": C1}, {"clip_uid": C2}]},
        "fho_lta_val.json": {"clips": [{"clip_uid": C3}]},
    }  # fmt: skip
    write(tmp_path, documents)
    source = source_of(tmp_path, "fho-verbs")
    assert [(uid, split) for uid, *_, split in named(source)] == [(U1, "train"), (U1, "train"), (U2, "val")]
    assert any(
        "each kept in the split of most annotated time: fho-verbs 1; clips of other splits dropped: fho-verbs 1" in note
        for note in source.notes
    )
    torn = source_of(tmp_path, "fho-verbs", clip_splits=True)
    assert [split for *_, split in named(torn)] == ["train", "train", "train", "val"]
    assert any(
        "videos with clips in several splits, which share frames (--clip-splits): fho-verbs 1" in note
        for note in torn.notes
    )


@pytest.mark.parametrize(
    ("splits", "split"),
    [({"split_fho": "test", "split_em": "val"}, "test"), ({"split_fho": "multi", "split_em": "val"}, "val"),
     ({"split_fho": "train", "split_em": "val"}, "val"), ({"split_em": "train", "split_goalstep": "test"}, "test"),
     ({"split_fho": "val", "split_av": "test"}, "test"), ({"split_fho": "multi", "split_em": "train"}, "val"),
     ({"split_fho": "multi"}, "val"), ({"split_av": "train", "split_goalstep": "val"}, "val"),
     ({"split_fho": None, "split_av": "train"}, "train"), ({}, split_by_hash(U1))],
)  # fmt: skip
def test_narrations_are_held_out_if_any_benchmark_holds_their_video_out(tmp_path, splits, split):
    write(tmp_path, {"narration.json": {U1: narrated(narration(5.0))}}, videos=[listed(U1, **splits)])
    assert [clip.split for clip in source_of(tmp_path, "narrations").clips] == [split]


def test_fho_does_not_use_the_split_of_another_benchmark(tmp_path):
    """By its own files, else by the video's split_fho; else the clip is dropped."""
    videos = {U1: {"split_fho": "multi", "split_em": "train"}, U2: {"split_fho": "val", "split_em": "train"},
              U3: {"split_em": "train"}}  # fmt: skip
    documents = {
        "fho_main.json": {"videos": [fho_video(uid, action(), clip_uid=f"c-{i}") for i, uid in enumerate(videos)]},
        "fho_sta_train.json": {"annotations": [{"clip_uid": "c-0"}]},
    }
    write(tmp_path, documents, [listed(uid, **splits) for uid, splits in videos.items()])
    source = source_of(tmp_path, "fho-verbs")
    assert [(uid, split) for uid, *_, split in named(source)] == [(U1, "train"), (U2, "val")]
    assert any("clip in no FHO split file, video without split_fho: fho-verbs 1" in n for n in source.notes)
    assert source.split_rules == (
        (U1, "train", "its clips in fho_sta_train.json"),
        (U2, "val", "split_fho of ego4d.json"),
    )
    documents["fho_lta_val.json"] = {"clips": [{"clip_uid": "c-0"}]}
    assert named(source_of(write(tmp_path, documents), "fho-verbs"))[0][-1] == "val"  # where files disagree: held out


def test_the_critical_window_is_from_the_pre_to_the_post_frame(tmp_path):
    frames = {"pre_45": 15, "pre_frame": 60, "contact_frame": 75, "pnr_frame": 90, "post_frame": 135}
    actions = [
        action(1.0, 9.0, critical_frames=frames),
        action(20.0, 28.0, "put", critical_frames=None),
        action(30.0, 38.0, "cut", critical_frames=frames | {"post_frame": 30}),
        action(40.0, 48.0, "cut", critical_frames={"pre_frame": 1, "post_frame": "9"}),
    ]
    video = listed(U1, split_fho="train", video_metadata={"video_start_sec": 0.021})
    write(tmp_path, {"fho_main.json": {"videos": [fho_video(U1, *actions)]}}, [video])
    assert len(source_of(tmp_path, "fho-verbs").clips) == 4
    source = source_of(tmp_path, "fho-verbs", fho_window="critical")
    ((_, start, end, name, _),) = named(source)
    assert (start, end, name) == (pytest.approx(2.021), pytest.approx(4.521), "take")
    notes = " | ".join(source.notes)
    assert "actions skipped: no pre and post frame (--fho-window critical): fho-verbs 2" in notes
    assert "actions whose post frame is not after their pre frame, dropped: fho-verbs 1" in notes


# object state change, GoalStep


def test_oscc_windows_with_and_without_a_state_change(tmp_path):
    def entry(uid, start, changes=None, **more) -> dict:
        return {"video_uid": uid, "parent_start_sec": start, "parent_end_sec": start + 8.0} | more | (
            {} if changes is None else {"clip_uid": C1, "state_change": changes})  # fmt: skip

    same = {"unique_id": "x"}
    documents = {
        "fho_oscc-pnr_train.json": {"clips": [entry(U1, 0.0, True, **same), entry(U1, 9.0, False)]},
        "fho_oscc-pnr_val.json": {"clips": [entry(U2, 4.0, False, **same), entry(U2, 14.0, False, **same)]},
        "fho_oscc-pnr_test_unannotated.json": {"clips": [entry(U3, 1.5)]},
    }
    source = source_of(write(tmp_path, documents), "oscc")
    assert source.classes == ("no object state change", "object state change")
    assert named(source) == [
        (U1, 0.0, 8.0, "object state change", "train"),
        (U1, 9.0, 17.0, "no object state change", "train"),
        (U2, 4.0, 12.0, "no object state change", "val"),
        (U3, 1.5, 9.5, None, "test"),
    ]
    assert any("duplicates, only the first is used: clips: oscc 1" in note for note in source.notes)


PUBLISHED_STEPS = {  # the example of the data set's own description, shortened
    "video_uid": U1, "start_time": 0.0210286458333333, "end_time": 80.1876953125, "is_procedural": True,
    "goal_category": "COOKING:MAKE_OMELET", "segments": [
        {"start_time": 0, "end_time": 56.99209, "step_category": "General cooking activity: Toast bread",
         "is_continued": False, "is_relevant": "essential", "segments": [
             {"start_time": 0, "end_time": 13.135, "step_category": "Cook on a stovetop: Turn on the stovetop"}]},
        {"start_time": 60, "end_time": 80, "step_category": "Serve", "segments": []}],
}  # fmt: skip


@pytest.mark.parametrize("val", ["goalstep_val.json", "goalstep_valid.json"])
def test_steps_and_substeps_become_clips(tmp_path, val):
    steps = [{"start_time": 1.0, "end_time": 4.0, "step_category": "Serve"}]
    documents = {
        "goalstep_train.json": {"videos": [PUBLISHED_STEPS]},
        val: {"videos": [{"video_uid": U2, "segments": steps}]},
        "goalstep_test.json": {"videos": [{"video_uid": U3, "step_segments": [{"step_description": "serve"}]}]},
    }
    source = source_of(write(tmp_path, documents), "goalstep")
    toast, stove = "General cooking activity: Toast bread", "Cook on a stovetop: Turn on the stovetop"
    assert source.classes == (stove, toast, "Serve")
    assert named(source) == [
        (U1, 0.0, 13.135, stove, "train"),
        (U1, 0.0, 56.99209, toast, "train"),
        (U1, 60.0, 80.0, "Serve", "train"),
        (U2, 1.0, 4.0, "Serve", "val"),
        (U3, 0.0, 100.0, None, "test"),
    ]


# plan-ego4d


def test_a_plan_lists_the_split_rule_of_each_video_and_the_share_of_frames_in_several_windows(tmp_path):
    documents = {
        "narration.json": {uid: narrated(narration(5.0)) for uid in (U1, U2)},
        "fho_main.json": {"videos": [fho_video(U1, action(0, 8), action(4, 12))]},
    }
    write(tmp_path, documents, [listed(U1, split_fho="train", split_em="val"), listed(U2)])
    config = PlanConfig(tmp_path, annotations="fho-verbs,narrations", fps=2.0, assume_downloaded=True)
    planned = plan(config)
    lines = "\n".join(planned.lines)
    assert f"{U1} train: split_fho of ego4d.json" in lines and f"{U1} val: split_em of ego4d.json" in lines
    assert f"{U2} {split_by_hash(U2)}: hash of the uid: ego4d.json names no split" in lines
    assert "fho-verbs: 1 videos are in train by split_fho of ego4d.json" in lines
    assert "fho-verbs: 33.3 % of the frames lie in several windows" in lines  # 8 of 24
    assert "narrations: 0.0 % of the frames lie in several windows" in lines
    kind = planned.document["kinds"]["fho-verbs"]
    assert (kind["frames"], kind["shared_frames"]) == (24, 8)
    assert kind["splits"] == {U1: {"split": "train", "rule": "split_fho of ego4d.json"}}


def test_the_help_lists_every_registered_kind():
    from embedonce import cli

    listed = " ".join(CliRunner().invoke(cli.main, ["extract-teacher", "--help"], terminal_width=1000).output.split())
    assert all(name in listed for name in KINDS) and tuple(KINDS) == KIND_NAMES


def test_a_missing_kind_is_reported_with_its_files_and_the_available_kinds(tmp_path):
    write(tmp_path, {"moments_val.json": {"videos": [moments_video(U1, "val", [label()])]}})
    for kind in set(KINDS) - {"moments"}:
        with pytest.raises(
            InputError, match=rf"no {KINDS[kind].files[0]}.*available --annotations: moments; download with"
        ):
            source_of(tmp_path, kind)


def documented_kind() -> AnnotationKind:
    """The kind that docs/ego4d.md shows as an example."""
    (code,) = code_blocks(DOCUMENTS / "ego4d.md", "Adding a kind of annotations")
    module: dict = {}
    exec(code, module)
    return module["KINDS"][0]


def test_the_documented_example_of_a_new_kind_is_planned_read_and_checked_like_the_others(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "gaze", documented_kind())
    looks = [{"video_uid": U1, "start_sec": 1, "end_sec": 3, "object": "cup"},
             {"video_uid": U1, "start_sec": 90, "end_sec": 110, "object": "pan"},
             {"video_uid": "nobody", "start_sec": 1, "end_sec": 3, "object": "cup"}]  # fmt: skip
    write(tmp_path, {"gaze.json": {"looks": looks}})
    planned = plan(PlanConfig(tmp_path, assume_downloaded=True))  # without --annotations: all kinds that have files
    assert planned.document["kinds"]["gaze"]["clips"] == {"train": 2, "val": 0, "test": 0}
    source = source_of(tmp_path, "gaze")
    assert named(source) == [(U1, 1.0, 3.0, "cup", "train"), (U1, 90.0, 100.0, "pan", "train")]
    assert any("clamped: gaze 1 (e.g. v2/annotations/gaze.json: looks[1]: got" in note for note in source.notes)
    with pytest.raises(InputError, match="2 problems in the annotations"):
        source_of(tmp_path, "gaze", strict=True)
    assert PlanConfig(tmp_path, annotations="gaze").annotations == "gaze"
    with pytest.raises(ValueError, match=r"--annotations must be one or more of moments, .*, gaze, comma-separated"):
        PlanConfig(tmp_path, annotations="gazes")
