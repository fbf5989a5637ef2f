"""Dry runs compared with real runs, and saved settings that repeat a run."""

import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from embedonce import cli
from embedonce.cache.store import open_reader
from embedonce.models.teachers.configuration import shape_of
from embedonce.pipeline.commands.registry import COMMANDS
from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.estimates import FRAMES_PER_SAMPLE, NUM_SAMPLES, sample_positions
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.sources.folder.layouts import LAYOUTS
from embedonce.pipeline.teachers.teacher import CallTime
from embedonce.pipeline.training.settings import TrainConfig
from tests.commands.test_cli import HERE, SMALL, call, error_of
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

DEMO = ["--teacher-size", "demo", "--device", "cpu"]


class Teacher(FakeTeacher):
    """Has the name of the demo teacher, which a dry run compares."""

    def __init__(self):
        super().__init__(name="demo-clip", weights="demo")

    def drop_text_tower(self):
        self.class_text = None


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: Teacher())
    monkeypatch.setattr(teacher_loading, "teacher_time", lambda config: CallTime(0.01, 0.01))


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ahead")
    for name, size in (("cut/1", (64, 160)), ("cut/2", (240, 320)), ("stir/1", (64, 160)), ("stir/2", (128, 128))):
        (root / name).parent.mkdir(exist_ok=True)
        write_video(root / f"{name}.mp4", 60, size=size)
    return root


@pytest.fixture
def videos(originals, tmp_path) -> Path:
    return shutil.copytree(originals, tmp_path / "v")


# -- dry runs ------------------------------------------------------------------------------------------------------


OTHERS = {
    "fps": (["--fps", "8"], "fps: 2.0 -> 8.0"),
    "views": (["--views", "2"], "num_views: 4 -> 2"),
    "quality": (["--jpeg-quality", "95"], "jpeg_quality: 90 -> 95"),
    "short side": (["--canonical-short-side", "300"], "canonical_short_side: 256 -> 300"),
    "backend": (["--backend", "webdataset"], "backend: hdf5 -> webdataset"),
    "sampling": (["--sampling", "keyframe"], "sampling: fps -> keyframe"),
    "snap": (
        ["--sampling", "snap"],
        "requested): sampling: fps -> snap; snap_tolerance: None -> 0.25. Nothing",
    ),
    "weights": (["--teacher-weights", "random"], "teacher.weights: demo -> random"),
    "teacher": (["--teacher-size", "base16"], "teacher.name: demo-clip -> ViT-B-16-quickgelu"),
}


@pytest.mark.parametrize(("options", "message"), OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.integration
def test_a_dry_run_refuses_what_the_run_would_refuse(quick, videos, options, message):
    place = ["--data-dir", videos, "--cache-dir", videos.parent / "c", *DEMO]
    if not (videos.parent / "c").exists():
        call("extract-teacher", *place)
    told = error_of("extract-teacher", *place, *options, "--dry-run", code=4)
    assert message in told and "Nothing was changed" in told
    assert "next:" in call("extract-teacher", *place, "--dry-run")


@pytest.mark.integration
def test_quarantined_videos_are_counted_as_unusable(quick, videos):
    (videos / "cut/bad.mp4").write_bytes(b"no video")
    place = ["--data-dir", videos, "--cache-dir", videos.parent / "c", *DEMO]
    line = "videos: 5 listed = {} new + {} known + 1 that cannot be used"
    assert line.format(4, 0) in call("extract-teacher", *place, "--dry-run")
    call("extract-teacher", *place, code=3)
    told = call("extract-teacher", *place, "--dry-run")
    assert line.format(0, 4) in told and "  cannot use cut/bad.mp4: it cannot be read" in told
    (videos / "cut/bad.mp4").unlink()
    (videos / "cut/bad.mp4").symlink_to("nowhere.mp4")
    assert call("extract-teacher", *place, "--dry-run").count("cut/bad.mp4: it is a broken link") == 1


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.integration
def test_the_estimated_space_is_right_within_a_third(videos, count, monkeypatch):
    """For small sets of different videos and the real demo teacher."""
    monkeypatch.setattr(teacher_loading, "teacher_time", lambda config: CallTime(0.01, 0.01))
    for path in sorted(videos.rglob("*.mp4"))[count:]:
        path.unlink()
    place = ["--data-dir", videos, "--cache-dir", videos.parent / "c", *DEMO]
    told = call("extract-teacher", *place, "--dry-run")
    number, unit = re.search(r"space: about ([\d.]+) (kB|MB)", told).groups()
    said = float(number) * {"kB": 1e3, "MB": 1e6}[unit]
    call("extract-teacher", *place)
    cache = videos.parent / "c"
    took = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file() and "labels" not in p.parts)
    assert 1 / 1.3 < said / took < 1.3


def test_samples_are_spread_over_all_requested_frames():
    counts = {f"v{i}": 10 for i in range(3)} | {"long": 3000}
    found = sample_positions(counts)
    assert len(found["long"]) > 0.9 * NUM_SAMPLES * FRAMES_PER_SAMPLE * 0.9 and max(found["long"]) > 2800
    assert all(rows.min() >= 0 and rows.max() < counts[uid] for uid, rows in found.items())
    many = sample_positions({f"v{i}": 5 for i in range(400)})
    assert len(many) == NUM_SAMPLES and all(len(rows) == 5 for rows in many.values())
    assert sample_positions({}) == {} and sample_positions({"a": 1})["a"].tolist() == [0]
    assert np.array_equal(sample_positions({"a": 3})["a"], [0, 1, 2])


def test_the_input_size_of_a_teacher_is_read_without_a_model_library(tmp_path):
    assert shape_of("demo-clip") == (128, 512) and shape_of("ViT-L-14-quickgelu") == (224, 768)
    assert shape_of("no-such-model") is None and shape_of(str(tmp_path / "none.json")) is None
    (tmp_path / "x.json").write_text(json.dumps({"embed_dim": 8, "vision_cfg": {"image_size": [64, 64]}}))
    assert shape_of(str(tmp_path / "x.json")) == (64, 8)


@pytest.mark.parametrize("teacher", [["--teacher-size", "demo"], ["--teacher-size", "base"]])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_an_activation_that_contradicts_the_weights_is_refused_before_any_work(videos, teacher, dry):
    wrong = "gelu"
    told = error_of("extract-teacher", "--data-dir", videos, "--cache-dir", videos.parent / "c", *teacher,
                    "--teacher-activation", wrong, *dry)  # fmt: skip
    assert f"not {wrong}" in told and "leave out --teacher-activation" in told
    assert not (videos.parent / "c").exists()


@pytest.mark.integration
def test_a_stray_video_does_not_create_a_second_label_set(quick, videos, monkeypatch):
    place = ["--data-dir", videos, "--cache-dir", videos.parent / "c", *DEMO]
    call("extract-teacher", *place)
    write_video(videos / "stray.mp4", 30)
    flat = [*place, "--layout", "flat"]
    for dry in ([], ["--dry-run"]):
        assert "stray.mp4" in error_of("extract-teacher", *place, *dry, code=2)
        told = error_of("extract-teacher", *flat, *dry, code=2)
        assert "has label set 'zero-shot' with classes, but the data has no classes now" in told
    shutil.copytree(videos, flattened := videos.parent / "flattened")
    for number, path in enumerate(sorted(flattened.rglob("*.mp4"))):
        path.rename(flattened / f"{number}.mp4")
    told = error_of("extract-teacher", "--data-dir", flattened, *place[2:], code=2)
    assert "(no classes: the videos are not in two or more sub-folders)" in told
    assert open_reader(videos.parent / "c").label_sets() == ("zero-shot",)
    call("extract-teacher", *flat, "--teacher-head", "none", "--label-set", "bare")
    call("extract-teacher", *place, "--layout", "classes")
    labels = open_reader(videos.parent / "c").label_set("zero-shot")
    assert open_reader(videos.parent / "c").label_sets() == ("bare", "zero-shot") and len(labels.clips) == 5


# -- saved settings ------------------------------------------------------------------------------------------------


PREPROCESS = "mean=0.5,0.5,0.5;std=0.25,0.25,0.25;interpolation=bicubic;resize=squash"
CONFIGS = {
    "extract-teacher": (
        ExtractConfig(Path("v é"), False, Path("c"), backend="webdataset", fps=3.5, views=2, label_set="l",
                      teacher_weights="random", teacher_activation="gelu", shard_frames=7, batch_size=3, seed=4,
                      canonical_short_side=300, decode_workers=1, jpeg_quality=91, video_timeout=9.0, num_samples=9,
                      num_actions=3, teacher_head="none", device="cpu", sampling="keyframe", skip_invalid=True,
                      clip_splits=True, annotations="moments", teacher_model="demo-clip", teacher_size="demo",
                      class_names=Path(__file__), layout=LAYOUTS[1], decoder="nvdec", teacher_preprocess=PREPROCESS,
                      strict=True, fho_window="critical", max_narration_window=3.5, prompt_style="english",
                      view_area=0.2),
        ExtractConfig(Path("v"), False, Path("c"), batch_size="auto", teacher_runtime="onnx"),
    ),
    "train-student": (
        TrainConfig(Path("c"), Path("o"), label_set="l", student_size="tiny", student_resolution=128,
                    student_pretrained=False, projection="linear", epochs=3, batch_size=5, lr=0.01, weight_decay=0.2,
                    alpha=0.5, beta=0.0, gamma=0.25, temperature=2.0, frames_per_clip=3, views=0, jitter=0.1, ema=0.9,
                    accumulate_steps=2, patience=4, amp=False, compile=True, checkpoint_steps=7, tensorboard=True,
                    num_workers=0, device="cpu", seed=9, overwrite=True, evaluation_view_share=0.5,
                    evaluation_view_warmup=0.25),
        TrainConfig(Path("c"), Path("o"), student_pretrained=True),
    ),
    "evaluate": (
        EvaluateConfig(Path("c"), Path("s.pt"), Path("o"), label_set="l", split="test", batch_size=3, num_samples=4,
                       num_workers=0, device="cpu", seed=5, runtime="onnx", teacher_latency=True,
                       teacher_model="m.json"),
    ),
    "compare": (
        CompareConfig((Path("a b"), Path("b.pt")), Path("o"), Path("c"), "l", split="test", batch_size=3, num_workers=0,
                      device="cpu", seed=5),
    ),
    "export-student": (
        ExportConfig(Path("c"), Path("s.pt"), Path("o"), "l", formats="fp32,int8", split="test", num_samples=3,
                     calibration_frames=4, seed=5, overwrite=True),
    ),
    "relabel": (
        RelabelConfig(Path("c"), Path("d"), annotations="moments", skip_invalid=True, clip_splits=True, num_actions=3,
                      teacher_head="none", label_set="l",
                      teacher_model="m", teacher_weights="w", teacher_activation="gelu", device="cpu", seed=5,
                      teacher_preprocess=PREPROCESS, strict=True, fho_window="critical", max_narration_window=3.5,
                      prompt_style="v1", store_logits=False, embed_texts=True),
        RelabelConfig(Path("c"), class_names=Path(__file__), label_set="l"),
        RelabelConfig(Path("c"), classes=Path(__file__), clips_from="x", label_set="l"),
    ),
    "plan-ego4d": (
        PlanConfig(Path("d"), 1.5, 2, True, 4, annotations="moments", skip_invalid=True, clip_splits=True,
                   num_actions=3, strict=True, fho_window="critical", max_narration_window=3.5),
    ),
}  # fmt: skip
REPLAYS = [pytest.param(name, config, id=f"{name} {i}") for name, c in CONFIGS.items() for i, config in enumerate(c)]


@pytest.mark.parametrize(("name", "config"), REPLAYS)
def test_saved_settings_equal_the_settings_of_the_run(name, config, tmp_path, monkeypatch):
    """Field by field, through the file and the command line: each saved field is an option, and is read."""

    class SeenError(Exception):
        pass

    def seen(kind, settings):
        raise SeenError(kind.from_options(settings))

    for command in COMMANDS:
        module = sys.modules[command.callback.__module__]
        monkeypatch.setattr(module, "build_config", seen, raising=False)
    saved = yaml.safe_load(config.as_yaml())
    (tmp_path / "saved.yaml").write_text(yaml.safe_dump(saved))
    with pytest.raises(SeenError) as caught:
        cli.main.main([name, "--config", str(tmp_path / "saved.yaml")], standalone_mode=False)
    (found,) = caught.value.args
    # --overwrite is never saved
    expected = dataclasses.asdict(config) | ({"overwrite": False} if hasattr(config, "overwrite") else {})
    assert dataclasses.asdict(found) == expected


@pytest.mark.slow
def test_an_evaluation_that_was_timed_is_timed_again(tmp_path, monkeypatch):
    cache, asked = make_tiny_cache(tmp_path / "c", 4), []
    monkeypatch.setattr(
        "embedonce.pipeline.evaluation.teacher_latency.image_encoders", lambda *arguments: asked.append(arguments) or {}
    )
    place = ["--cache-dir", cache, "--output-dir", tmp_path / "o"]
    call("train-student", *place, *SMALL, *HERE)
    call("evaluate", *place, "--student-checkpoint", tmp_path / "o/best_student.pt", *HERE, "--teacher-latency")
    call("evaluate", "--config", tmp_path / "o/evaluate_config.yaml")
    assert len(asked) == 2 and asked[0] == asked[1]
    told = error_of("evaluate", *place, "--teacher-model", "x.json")
    assert "--teacher-model requires --teacher-latency" in told


@pytest.mark.integration
def test_saved_relabel_settings_create_the_same_label_set_elsewhere(quick, videos):
    place = ["--data-dir", videos, "--cache-dir", videos.parent / "c", *DEMO]
    call("extract-teacher", *place)
    shutil.copytree(videos.parent / "c", videos.parent / "d")
    (videos.parent / "names.txt").write_text("open\nshut\n")
    call("relabel", "--cache-dir", videos.parent / "c", "--classes", videos.parent / "names.txt", "--device", "cpu")
    saved = videos.parent / "c" / "relabel_config.yaml"
    call("relabel", "--config", saved, "--cache-dir", videos.parent / "d")
    ours, theirs = (open_reader(videos.parent / name).label_set("names") for name in ("c", "d"))
    assert ours == theirs and len(ours.clips) == 4
