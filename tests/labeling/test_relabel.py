"""Several label sets over one cache: written together or added later, without reading videos or embedding images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.cache.verify import verify
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.labeling.prompts.templates import ACTION_PROMPTS, ENGLISH_OBJECT_PROMPTS, class_prompts
from embedonce.pipeline.teachers.teacher import CallTime
from tests.commands.test_cli import call, error_of
from tests.support.ego4d_files import (
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
    narrated,
    narration,
    write,
)
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("forked_workers")]

LASTS = 8.0
CUP = [frame("pnr_frame", ("object_of_change", "cup"))]
FILES = {
    "moments_train.json": {"videos": [moments_video(U1, "train", [label("wash", 0, 4), label("cook", 4, 8)])]},
    "moments_val.json": {"videos": [moments_video(U2, "val", [label("wash", 0, 4)])]},
    "fho_main.json": {"videos": [fho_video(U1, action(1, 3, "take", frames=CUP), action(3, 7, "put"))]},
    "fho_lta_val.json": {"clips": [lta(U3, clip_parent_start_sec=0.0, action_clip_end_sec=5.0)]},
    "narration.json": {U2: narrated(narration(1.0), narration(3.0, "#C C puts down a cup"))},
}


class NoImages(FakeTeacher):
    """A teacher whose image encoder must not be used."""

    def embed(self, crops):
        raise AssertionError("an image was embedded")

    def drop_text_tower(self):
        self.class_text = None


class Images(FakeTeacher):
    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """An Ego4D folder and a cache with its moments."""
    root = tmp_path_factory.mktemp("ego4d")
    write(root / "data", FILES, [listed(uid, duration_sec=LASTS) for uid in (U1, U2, U3)], on_disk=())
    (root / "data" / "v2" / "full_scale").mkdir(parents=True)
    for uid in (U1, U2, U3):
        write_video(root / "data" / "v2" / "full_scale" / f"{uid}.mp4", int(LASTS * 30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Images())
        call("extract-teacher", "--data-dir", root / "data", "--cache-dir", root / "cache")
    return root


@pytest.fixture
def cache(made, tmp_path, monkeypatch) -> Path:
    """A copy of that cache, without the videos and with a teacher that must not embed images."""
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: NoImages())
    shutil.copytree(made / "data" / "v2" / "annotations", tmp_path / "data" / "v2" / "annotations")
    shutil.copy(made / "data" / "ego4d.json", tmp_path / "data")
    return shutil.copytree(made / "cache", tmp_path / "cache")


def rows(cache: Path) -> dict:
    return {p: p.read_bytes() for folder in ("frames", "records", "plan") for p in (cache / folder).iterdir()}


def test_a_label_set_is_named_after_its_annotations(made):
    reader = open_reader(made / "cache")
    assert reader.label_sets() == ("moments",)
    assert reader.video_uids == (U1, U2)  # the third has no annotation


def test_annotations_are_added_to_an_existing_cache(cache, tmp_path):
    before = rows(cache)
    arguments = ["--cache-dir", cache, "--data-dir", tmp_path / "data", "--annotations"]
    output = call("relabel", *arguments, "fho-verbs,fho-nouns")
    assert "label set fho-verbs: 2 classes, 2 clips" in output and "--label-set fho-verbs" in output
    assert rows(cache) == before
    reader = open_reader(cache)
    assert reader.label_sets() == ("fho-nouns", "fho-verbs", "moments")
    verbs, nouns = reader.label_set("fho-verbs"), reader.label_set("fho-nouns")
    assert [(c.start_sec, c.end_sec, verbs.classes[c.label]) for c in verbs.clips] == [(1, 3, "take"), (3, 7, "put")]
    assert nouns.classes == ("cup",) and [c.label for c in nouns.clips] == [0, -1]
    assert nouns.prompts[0] == tuple(text.format(noun="a cup") for text in ENGLISH_OBJECT_PROMPTS)
    text, scale = FakeTeacher().class_text([list(texts) for texts in verbs.prompts])
    for unit, record in reader.records.items():
        stored = reader.logits("fho-verbs", unit).logits(0, record.num_rows, 0)
        np.testing.assert_allclose(
            stored, scale * reader.all_embeddings(unit)[:, 0].astype(np.float32) @ text.T, atol=1e-4
        )
    assert not verify(cache, canonical_frame.replayed_crc32).problems
    again = call("relabel", *arguments, "fho-verbs")
    assert "label set fho-verbs: 2 classes, 2 clips" in again  # the same again changes nothing


def test_new_class_names_apply_to_existing_clips(cache, tmp_path):
    (tmp_path / "kitchen.txt").write_text("cut bread\nstir pot\n")
    output = call("relabel", "--cache-dir", cache, "--classes", tmp_path / "kitchen.txt")
    assert "label set kitchen: 2 classes, 3 clips" in output
    labels, moments = (open_reader(cache).label_set(name) for name in ("kitchen", "moments"))
    assert [(c.video_uid, c.start_sec, c.split) for c in labels.clips] == [
        (c.video_uid, c.start_sec, c.split) for c in moments.clips
    ]
    assert {c.label for c in labels.clips} == {-1}
    (tmp_path / "other.txt").write_text("x\ny\n")
    output = error_of("relabel", "--cache-dir", cache, "--classes", tmp_path / "other.txt")
    assert "whose clips to use: --clips-from kitchen|moments" in output
    call("relabel", "--cache-dir", cache, "--classes", tmp_path / "other.txt", "--clips-from", "moments")


def test_other_prompts_for_the_same_classes_and_clips(cache, tmp_path):
    (tmp_path / "bare.txt").write_text("{}\n")
    before = rows(cache)
    assert "label set bare: 2 classes, 3 clips" in call(
        "relabel", "--cache-dir", cache, "--prompts", tmp_path / "bare.txt"
    )
    labels, moments = (open_reader(cache).label_set(name) for name in ("bare", "moments"))
    assert (labels.clips, labels.classes) == (moments.clips, moments.classes)
    assert labels.prompts == (("cook",), ("wash",)) and rows(cache) == before


def test_a_fitted_head_needs_no_teacher(cache, tmp_path, monkeypatch):
    def never(config):
        raise AssertionError("the teacher was loaded")

    monkeypatch.setattr(teacher_loading, "load_teacher", never)
    arguments = ["--data-dir", tmp_path / "data", "--annotations", "moments", "--teacher-head"]
    output = call("relabel", "--cache-dir", cache, *arguments, "fitted", "--label-set", "by-head")
    assert "label set by-head: 2 classes, 3 clips" in output
    call("relabel", "--cache-dir", cache, *arguments, "none", "--label-set", "bare")
    assert not (cache / "labels" / "bare" / "tensors.safetensors").exists()


def test_clips_without_a_frame_are_reported(cache, tmp_path):
    documents = FILES | {
        "fho_main.json": {"videos": [fho_video(U2, action(1, 3), action(5, 7)), fho_video(U3, action(1, 3))]}
    }
    write(tmp_path / "data", documents, [listed(u, duration_sec=LASTS) for u in (U1, U2, U3)], on_disk=())
    output = call("relabel", "--cache-dir", cache, "--data-dir", tmp_path / "data", "--annotations", "fho-verbs")
    assert "label set fho-verbs: 1 classes, 2 clips; 1 have no frame in the cache: their times" in output
    assert "not on disk" not in output


MISTAKES = {
    "nothing": ([], "no labels given: give --manifest TABLE, --annotations KIND --data-dir FOLDER, or --classes FILE"),
    "kind": (["--annotations", "verbs"], "--annotations must be one or more of moments, fho-verbs"),
    "twice": (["--annotations", "moments,moments"], "--annotations must be different kinds, got 'moments,moments'"),
    "folder": (["--annotations", "moments"], "annotations need --data-dir, the folder that has them"),
    "name": (
        ["--annotations", "moments,fho-verbs", "--label-set", "x"],
        "--label-set needs a single kind of annotations",
    ),
    "absent": (["--annotations", "moments", "--data-dir", "nowhere"], "there is no ego4d.json in nowhere"),
    "whose": (
        ["--annotations", "moments", "--data-dir", "x", "--clips-from", "moments"],
        "--clips-from cannot be used with --annotations",
    ),
    "how many": (["--classes", "NAMES", "--num-actions", "1"], "cannot be used with --classes"),
    "clips": (["--classes", "NAMES", "--clips-from", "x"], "whose clips to use: --clips-from moments"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(cache, tmp_path, arguments, message):
    (tmp_path / "n.txt").write_text("a\nb\n")
    given = [tmp_path / "n.txt" if a == "NAMES" else a for a in arguments]
    assert message in error_of("relabel", "--cache-dir", cache, *given)
    assert open_reader(cache).label_sets() == ("moments",)


def test_annotations_of_other_videos_only_are_refused(cache, tmp_path):
    output = error_of("relabel", "--cache-dir", cache, "--data-dir", tmp_path / "data", "--annotations", "lta-verbs")
    assert "the lta-verbs annotations under" in output and "have no clip of a video of" in output


def test_a_different_label_set_of_the_same_name_is_not_overwritten(cache, tmp_path):
    documents = FILES | {"moments_train.json": {"videos": [moments_video(U1, "train", [label("new", 0, 4)])]}}
    write(tmp_path / "data", documents, [listed(u, duration_sec=LASTS) for u in (U1, U2, U3)], on_disk=())
    output = error_of(
        "relabel", "--cache-dir", cache, "--data-dir", tmp_path / "data", "--annotations", "moments", code=4
    )
    assert "label set 'moments' of this cache has other classes" in output and "--label-set" in output


# several at once


def test_several_kinds_of_annotations_extract_each_frame_once(made, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Images())
    kinds = "moments,fho-verbs,lta-nouns,narrations"
    arguments = [
        "--data-dir",
        made / "data",
        "--annotations",
        kinds,
        "--num-actions",
        "1",
        "--cache-dir",
        tmp_path / "c",
    ]
    output = call("extract-teacher", *arguments)
    assert "next: python cli.py train-student" in output and "--label-set moments" in output
    reader = open_reader(tmp_path / "c")
    assert reader.label_sets() == ("fho-verbs", "lta-nouns", "moments", "narrations")
    assert all(len(reader.label_set(name).classes) == 1 for name in reader.label_sets())
    assert reader.video_uids == (U1, U2, U3)
    assert "has several label sets; choose one" in error_of("train-student", "--cache-dir", tmp_path / "c", code=4)


def test_dry_run_and_plan_give_the_same_figures(made, tmp_path):
    arguments = ["--data-dir", made / "data", "--annotations", "moments,narrations"]
    planned = call("plan-ego4d", *arguments, "--json", tmp_path / "plan.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_loading, "teacher_time", lambda config: CallTime(0.01, 0.01))
        dry = call("extract-teacher", *arguments, "--dry-run", "--cache-dir", tmp_path / "c")
    lines = [line for line in planned.splitlines() if not line.startswith(("note", "counts"))]
    assert len(lines) > 6 and set(lines) <= set(dry.splitlines())
    assert "frames: 24 at 2 per second" in planned and "frames: 24 to extract" in dry
    assert '"frames": 24' in (tmp_path / "plan.json").read_text()


def test_names_become_prompts():
    classes = ("take_(pick,_grab)", "open-door", "chip_(food)", "chip_(wood)", "(odd)")
    texts = [prompts[-1] for prompts in class_prompts(classes, style="v1")]
    ends = ["take", "open door", "chip (food)", "chip (wood)", "(odd)"]
    assert texts == [ACTION_PROMPTS[-1].format(name=end) for end in ends]


# label sets that are there already


def test_different_clips_under_the_same_name_are_refused(cache, tmp_path):
    documents = FILES | {"moments_val.json": {"videos": [moments_video(U2, "val", [label("wash", 0, 5)])]}}
    write(tmp_path / "data", documents, [listed(u, duration_sec=LASTS) for u in (U1, U2, U3)], on_disk=())
    arguments = ["--cache-dir", cache, "--data-dir", tmp_path / "data", "--annotations", "moments"]
    assert "label set 'moments'" in error_of("relabel", *arguments, code=4)
    assert "3 clips" in call("relabel", *arguments, "--label-set", "moments-2")


def test_videos_with_deleted_files_keep_their_labels(made, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Images())
    shutil.copytree(made, tmp_path / "m")
    arguments = ["--data-dir", tmp_path / "m/data", "--cache-dir", tmp_path / "m/cache", "--annotations"]
    (tmp_path / "m/data/v2/full_scale" / f"{U2}.mp4").unlink()
    output = call("extract-teacher", *arguments, "moments,narrations")
    assert "label set moments: 2 classes, 3 clips" in output and "label set narrations: 2 classes, 2 clips" in output
    assert {clip.video_uid for clip in open_reader(tmp_path / "m/cache").label_set("narrations").clips} == {U2}


def test_clips_at_times_that_were_not_extracted_are_reported(made, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Images())
    shutil.copytree(made, tmp_path / "m")
    documents = FILES | {"fho_main.json": {"videos": [fho_video(U2, action(1, 3), action(5, 7))]}}
    for name, document in documents.items():
        (tmp_path / "m/data/v2/annotations" / name).write_text(json.dumps(document))
    arguments = ["--data-dir", tmp_path / "m/data", "--cache-dir", tmp_path / "m/cache", "--annotations", "fho-verbs"]
    output = call("extract-teacher", *arguments)
    assert (
        "label set fho-verbs: 1 classes, 2 clips; 1 have no frame in the cache: their times were not requested"
        in output
    )


def test_a_label_set_of_nouns_with_its_own_name_has_object_prompts(cache, tmp_path):
    (tmp_path / "things.txt").write_text("cup\npan\n")
    arguments = ["--cache-dir", cache, "--data-dir", tmp_path / "data", "--annotations", "fho-nouns"]
    call("relabel", *arguments, "--classes", tmp_path / "things.txt")
    assert open_reader(cache).label_set("things").prompts[0][-1] == ENGLISH_OBJECT_PROMPTS[-1].format(noun="a cup")
    call("relabel", *arguments, "--label-set", "mine")
    assert open_reader(cache).label_set("mine").prompts[0][-1] == ENGLISH_OBJECT_PROMPTS[-1].format(noun="a cup")
