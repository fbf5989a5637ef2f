"""Each setting of an extraction takes effect on videos, teacher and cache, and the metadata of the cache is right."""

import dataclasses
import io
import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from embedonce.cache.labels import ClipLabel
from embedonce.cache.store import open_reader
from embedonce.models.teachers import open_clip
from embedonce.models.teachers.open_clip import load_teacher
from embedonce.pipeline.engines.process_pool import WorkerPool
from embedonce.pipeline.engines.registry import ENGINES
from embedonce.pipeline.extraction import extract_teacher, teacher_loading
from embedonce.pipeline.extraction.dry_run import format_dry_run
from embedonce.pipeline.extraction.preflight import run_preflight
from embedonce.pipeline.extraction.runner import extract, make_identity
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.extraction.teacher_check import choose_rows, cosines
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.labeling.clip_index import ClipIndex
from embedonce.pipeline.sources.folder.video_source import folder_source
from embedonce.pipeline.sources.source import Clip, Source, Video
from embedonce.pipeline.teachers.teacher import CallTime
from tests.conftest import planned_video
from tests.extraction.test_runner import make_source, run
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_actions, write_video

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three videos of different shapes and lengths; the last starts at 5 s."""
    root = tmp_path_factory.mktemp("wiring")
    write_video(root / "a.mp4", 40)
    write_video(root / "b.mp4", 60, size=(128, 192))
    write_video(root / "late.mkv", 50, pts=[5000 + round(1000 * n / 30) for n in range(50)], ticks=1000, b_frames=0)
    return root


class Batches(FakeTeacher):
    """Records the batch sizes."""

    def __init__(self, **changes):
        super().__init__(**changes)
        self.sizes: list[int] = []

    def embed(self, crops):
        self.sizes.append(len(crops))
        return super().embed(crops)


def jpegs_of(reader) -> list[Image.Image]:
    units = [(unit, row) for unit, record in reader.records.items() for row in range(record.num_rows)]
    return [Image.open(io.BytesIO(reader.frames(unit).jpeg(row))) for unit, row in units]


# -- what is stored ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [90, 97])
@pytest.mark.integration
def test_frames_are_stored_with_the_jpeg_quality_of_the_identity(folder, tmp_path, quality):
    _, reader, _ = run(make_source(folder, ["a"]), tmp_path / "c", jpeg_quality=quality)
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", quality=quality)
    expected = Image.open(buffer).quantization
    assert reader.identity.jpeg_quality == quality
    assert all(image.quantization == expected for image in jpegs_of(reader))


@pytest.mark.integration
def test_frames_are_stored_with_the_short_side_of_the_identity(folder, tmp_path):
    _, reader, _ = run(make_source(folder, ["a", "b"]), tmp_path / "c", canonical_short_side=96)
    assert reader.identity.canonical_short_side == 96
    assert {min(image.size) for image in jpegs_of(reader)} == {96}
    assert {image.size for image in jpegs_of(reader)} == {(240, 96), (144, 96)}
    views = np.concatenate([reader.timeline(uid).views for uid in ("a", "b")])
    assert (views[:, 2] <= 96).all() and views[0, 2] == 96


def test_the_default_short_side_exceeds_the_teacher_input_size(tmp_path):
    config = ExtractConfig(tmp_path, False, tmp_path)
    for size, expected in ((32, 256), (224, 288), (336, 432)):
        assert make_identity(config, FakeTeacher(input_size=size)).canonical_short_side == expected


@pytest.mark.integration
def test_views_depend_on_their_number_the_seed_and_the_video(folder, tmp_path):
    teacher = FakeTeacher().identity
    for seed in (0, 7):
        _, reader, _ = run(make_source(folder, ["a", "b"]), tmp_path / str(seed), views=2, seed=seed)
        assert (reader.identity.num_views, reader.identity.view_seed) == (2, seed)
        for uid, size in (("a", (256, 640)), ("b", (256, 384))):
            expected = make_views(uid, size, 2, seed, teacher)
            np.testing.assert_array_equal(reader.timeline(uid).views, expected)
    assert not np.array_equal(make_views("a", (256, 640), 2, 0, teacher), make_views("a", (256, 640), 2, 7, teacher))
    usual = make_identity(ExtractConfig(folder, False, tmp_path), FakeTeacher())
    assert usual.num_views == 4  # docs/distillation.md says what they are worth
    _, reader, _ = run(make_source(folder, ["a"]), tmp_path / "none", views=0, seed=7)
    assert reader.identity.view_seed == 0 and len(reader.timeline("a").views) == 1  # nothing was drawn


@pytest.mark.integration
def test_each_row_of_a_shard_has_the_boxes_of_its_own_video(folder, tmp_path):
    """Including the first row of each video."""
    names = ["a", "b", "late"]
    source = dataclasses.replace(make_source(folder, names), videos=tuple(
        Video(name, next(folder.glob(f"{name}.*")), name) for name in names))  # fmt: skip
    _, reader, teacher = run(source, tmp_path / "c", views=2, shard_frames=100)
    (record,) = reader.records.values()
    assert len(record.segments) == 3
    row = 0
    for segment in record.segments:
        assert len(segment.views) == 3
        for _ in range(segment.num_rows):
            np.testing.assert_array_equal(reader.views_of(record.unit, row), segment.views)
            row += 1
    assert len({segment.views.tobytes() for segment in record.segments}) == 3
    np.testing.assert_allclose(cosines(reader, teacher, choose_rows(reader, 10**6, seed=0)), 1, atol=1e-3)


@pytest.mark.slow
def test_shards_and_batches_have_the_configured_sizes(folder, tmp_path):
    source = make_source(folder, ["a", "b"])
    for frames in (3, 7):
        _, reader, _ = run(source, tmp_path / str(frames), shard_frames=frames)
        assert frames / 2 < max(record.num_rows for record in reader.records.values()) <= frames
    sizes = []
    for number, batch_size in enumerate((1, 64)):
        _, _, teacher = run(source, tmp_path / f"batch{number}", teacher=Batches(), batch_size=batch_size, fps=30.0)
        sizes.append(teacher.sizes)
    assert sizes == [[1] * 100, [64, 36]]


def test_the_sampling_the_backend_and_the_rate_are_in_the_identity(tmp_path):
    config = ExtractConfig(tmp_path, False, tmp_path, backend="webdataset", fps=7.0)
    identity = make_identity(config, FakeTeacher())
    assert (identity.backend, identity.fps, identity.sampling) == ("webdataset", 7.0, "fps")
    keyed = make_identity(dataclasses.replace(config, sampling="keyframe"), FakeTeacher())
    assert keyed.fps is None and keyed.sampling == "keyframe"
    snapped = make_identity(dataclasses.replace(config, sampling="snap"), FakeTeacher())
    assert (snapped.sampling, snapped.fps, snapped.snap_tolerance, snapped.format_version) == ("snap", 7.0, 0.5 / 7, 2)
    near = make_identity(dataclasses.replace(config, sampling="snap", snap_tolerance=0.01), FakeTeacher())
    assert near.snap_tolerance == 0.01 and identity.snap_tolerance is keyed.snap_tolerance is None
    assert identity.teacher == FakeTeacher().identity and identity.decoder


@pytest.mark.integration
def test_the_plan_records_the_file_of_a_video(folder, tmp_path):
    source = make_source(folder, ["b"])
    writer, _, _ = extract(ExtractConfig(folder, False, tmp_path / "c", decode_workers=1), source, FakeTeacher)
    writer.close()
    (video,) = writer.planned_videos.values()
    stat = (folder / "b.mp4").stat()
    assert (video.num_bytes, video.modified_ns, video.source) == (stat.st_size, stat.st_mtime_ns, "b.mp4")
    assert (video.codec, tuple(video.decoded_size), video.rotation) == ("h264", (128, 192), 0)
    assert video.num_frames == 60 and video.end_sec == pytest.approx(2.0) and not video.by_order


@pytest.mark.integration
def test_records_contain_the_provenance(folder, tmp_path):
    class Told(FakeTeacher):
        def device_facts(self):
            return {"device": "abacus", "precision": "whole numbers"}

    _, reader, _ = run(make_source(folder, ["a"]), tmp_path / "c", teacher=Told(), shard_frames=100)
    (record,) = reader.records.values()
    assert (record.provenance["device"], record.provenance["precision"]) == ("abacus", "whole numbers")
    assert set(record.provenance["decoding"]) == {"a"} and record.provenance["libraries"]["numpy"] == np.__version__


@pytest.mark.integration
def test_records_contain_the_precision_that_was_used_in_the_end(folder, tmp_path):
    """A teacher may embed rows that overflow in another precision."""

    class Overflowing(FakeTeacher):
        precision = "float16"

        def embed(self, crops):
            self.precision = "float32"
            return super().embed(crops)

        def device_facts(self):
            return {"precision": self.precision}

    _, reader, _ = run(make_source(folder, ["a"]), tmp_path / "c", teacher=Overflowing())
    assert {record.provenance["precision"] for record in reader.records.values()} == {"float32"}


# -- clips ---------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_windows_start_at_the_first_frame_of_a_video_that_starts_late(folder, tmp_path):
    source = folder_source(folder)
    config = ExtractConfig(folder, False, tmp_path / "c", decode_workers=1, shard_frames=100)
    writer, _, _ = extract(config, source, FakeTeacher)
    writer.close()
    clips = [clip for clip in ClipIndex(source).over(writer.planned_videos.values()) if "late" in clip.video_uid]
    (clip,) = clips
    assert clip.start_sec == pytest.approx(5.0) and clip.end_sec == pytest.approx(5 + 5 / 3, abs=0.02)
    timeline = open_reader(tmp_path / "c").timeline(clip.video_uid)
    assert timeline.window(clip.start_sec, clip.end_sec) == slice(0, len(timeline.k)) and timeline.t_sec[0] == 5.0


def test_windows_of_a_long_video_that_starts_late_are_equal(tmp_path):
    video = planned_video("v", time_base=(1, 1000), first_pts=5000, end_sec=30.0)
    whole = Clip("c", "v", -math.inf, math.inf, 2, "val")
    clips = ClipIndex(Source(tmp_path, "folder", (), (whole,), ())).over([video])
    bounds = np.linspace(5.0, 30.0, 4)
    np.testing.assert_allclose([(clip.start_sec, clip.end_sec) for clip in clips], [*itertools.pairwise(bounds)])
    assert {(clip.label, clip.split, clip.video_uid) for clip in clips} == {(2, "val", "v")}
    (one,) = ClipIndex(Source(tmp_path, "folder", (), (whole,), (), one_clip_per_video=True)).over([video])
    assert (one.start_sec, one.end_sec) == (5.0, 30.0)
    known = Clip("c", "v", 7.0, 9.0, 1, "train")
    (clip,) = ClipIndex(Source(tmp_path, "folder", (), (known,), ())).over([video])
    assert clip == ClipLabel("c", "v", 7.0, 9.0, 1, "train")


# -- processes -----------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_engines_get_the_configured_workers_and_timeout(folder, tmp_path, monkeypatch):
    pools = []

    class Recorded(WorkerPool):
        def __init__(self, function, options):
            pools.append((function.__name__, options.workers, options.timeout_sec))
            super().__init__(function, options)

    monkeypatch.setitem(ENGINES, "local", Recorded)
    source = make_source(folder, ["a"])
    config = ExtractConfig(folder, False, tmp_path / "c", decode_workers=3, video_timeout=44.0)
    writer, _, _ = extract(config, source, FakeTeacher)
    writer.close()
    assert pools == [("scan_video", 3, 44.0), ("work_on_video", 3, 44.0)]
    run_preflight(dataclasses.replace(config, cache_dir=tmp_path / "d"), source, calibrated=True)
    assert ("timed_decode", 44.0) in {(name, silence) for name, _, silence in pools}


@pytest.mark.slow
def test_a_video_without_progress_fails_after_the_configured_timeout(folder, tmp_path):
    """A pipe without a writer, once while it is scanned and once while it is decoded."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "a.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (tmp_path / "b.mp4").write_bytes((folder / "b.mp4").read_bytes())

    def load():
        (tmp_path / "b.mp4").unlink()
        os.mkfifo(tmp_path / "b.mp4")
        return FakeTeacher()

    config = ExtractConfig(tmp_path, False, tmp_path / "c", video_timeout=4.0, decode_workers=2)
    writer, _, result = extract(config, make_source(tmp_path, ["a", "b", "pipe"]), load)
    writer.close()
    reasons = {name: reason for name, reason in result.quarantined.items() if "no progress for 4 s" in reason}
    assert set(reasons) == {"b.mp4", "pipe.mp4"} and result.exit_code == 3


# -- the teacher ---------------------------------------------------------------------------------------------------

SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "small-clip.json"
    path.write_text(json.dumps(SMALL))
    return path


def test_the_teacher_sizes_equal_those_computed_by_hand(small_clip):
    """The image tower by its layers, the whole model by its tensors, four bytes per parameter."""
    teacher = load_teacher(str(small_clip), "random", None, torch.device("cpu"), seed=0)
    facts = teacher.describe()
    width, tokens = 32, 17
    block = 4 * width + (3 * width * width + 3 * width) + (width * width + width) + (8 * width * width + 5 * width)
    image = width + tokens * width + 3 * 16 * 16 * width + 4 * width + block + width * 24
    whole = sum(p.numel() for p in teacher._clip.parameters())
    assert (facts["parameters_image"], facts["parameters_total"]) == (image, whole) and image < whole
    assert (facts["bytes_image"], facts["bytes_total"]) == (4 * image, 4 * whole)
    assert (facts["input_size"], facts["embed_dim"], facts["weights"]) == (64, 24, "random")
    assert facts["mean"] != facts["std"] and facts["mean"] == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_the_teacher_normalizes_by_its_own_mean_and_deviation(small_clip):
    teacher = load_teacher(str(small_clip), "random", None, torch.device("cpu"), seed=0)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    facts = teacher.describe()
    mean, std = (torch.tensor(facts[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(teacher._clip.encode_image((images - mean) / std), dim=-1).numpy()
    np.testing.assert_allclose(teacher.embed(crops), expected, atol=1e-5)


def test_the_teacher_is_loaded_as_configured(tmp_path, monkeypatch):
    asked = []

    class Clip:
        device, precision, runtime = torch.device("cpu"), "float32", "pytorch"

        def describe(self):
            return dataclasses.asdict(FakeTeacher().identity)

    monkeypatch.setattr(open_clip, "load_teacher", lambda *arguments: asked.append(arguments) or Clip())
    usual = ExtractConfig(tmp_path, False, tmp_path / "c", device="cpu")
    told = {"teacher_model": "m.json", "teacher_weights": "w.pt", "teacher_activation": "quickgelu", "seed": 9}
    loaded = teacher_loading.load_teacher(dataclasses.replace(usual, **told))
    assert loaded.identity == FakeTeacher().identity
    assert loaded.device_facts() == {"device": "cpu", "precision": "float32"}
    teacher_loading.load_teacher(dataclasses.replace(usual, teacher_size="large"))
    teacher_loading.load_teacher(dataclasses.replace(usual, teacher_size="demo"))
    (model, weights, activation, device, seed), large, demo = (arguments[:5] for arguments in asked)
    assert (model, weights, activation, device.type, seed) == ("m.json", "w.pt", "quickgelu", "cpu", 9)
    assert large[:3] == ("ViT-L-14-quickgelu", "openai", None) and large[4] == 0
    assert demo[:2] == ("demo-clip", "demo")


@pytest.mark.integration
def test_random_weights_depend_on_the_seed(small_clip):
    hashes = [load_teacher(str(small_clip), "random", None, torch.device("cpu"), seed=s).describe() for s in (0, 0, 1)]
    assert hashes[0] == hashes[1] and hashes[0]["weights_sha256"] != hashes[2]["weights_sha256"]


# -- a whole extraction --------------------------------------------------------------------------------------------


class WithTower(FakeTeacher):
    def drop_text_tower(self):
        pass


@pytest.fixture
def labeled(tmp_path_factory, monkeypatch) -> Path:
    """A folder of two classes; the fake teacher replaces the real one."""
    root = write_actions(tmp_path_factory.mktemp("labeled"), 4, 12)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: WithTower())
    return root


@pytest.mark.integration
def test_a_fitted_head_depends_on_the_seed(labeled, tmp_path):
    heads = []
    for number, seed in enumerate((0, 0, 4)):
        config = ExtractConfig(labeled, False, tmp_path / str(number), teacher_head="fitted", seed=seed)
        result = extract_teacher.run(config)
        assert result.label_sets[0].kind == result.label_sets[0].name == "fitted"
        heads.append(open_reader(tmp_path / str(number)).label_tensors("fitted"))
    assert heads[0] == heads[1] != heads[2]


@pytest.mark.integration
def test_label_sets_have_the_configured_name_and_kind(labeled, tmp_path):
    settings = {"teacher_head": "none", "label_set": "mine", "fps": 30.0}
    result = extract_teacher.run(ExtractConfig(labeled, False, tmp_path / "c", **settings))
    assert [(labels.name, labels.kind) for labels in result.label_sets] == [("mine", "none")]
    assert "label_set: mine" in (tmp_path / "c" / "extract_config.yaml").read_text()
    (labels,) = result.label_sets
    reader = open_reader(tmp_path / "c")
    for clip in labels.clips:  # the label is the folder name
        assert labels.classes[clip.label].split()[0] in clip.video_uid
    assert reader.num_rows == 8 * 12 == result.extraction.rows and result.with_frames == (len(labels.clips),)


def test_synthetic_videos_are_generated_as_configured(tmp_path, monkeypatch):
    from embedonce.pipeline.sources.synthetic import generate

    asked = []

    class DoneError(Exception):
        pass

    def made(root, num_samples, num_actions, seed, progress):
        asked.append((root, num_samples, num_actions, seed))
        raise DoneError

    monkeypatch.setattr(generate, "make_synthetic", made)
    usual = ExtractConfig(None, True, tmp_path / "c", num_samples=24, num_actions=3, seed=8)
    for config in (usual, dataclasses.replace(usual, data_dir=tmp_path / "d", num_actions=None)):
        with pytest.raises(DoneError):
            extract_teacher.run(config)
    assert asked == [
        (tmp_path / "synthetic_ego4d_24x3_seed8", 24, 3, 8),
        (tmp_path / "d", 24, generate.MAX_ACTIONS, 8),
    ]


# -- dry runs ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dry_run_depends_on_the_settings(folder, tmp_path):
    source = make_source(folder, ["a"])
    usual = ExtractConfig(folder, False, tmp_path / "c", decode_workers=1, fps=10.0, views=0)

    def told(**changes) -> str:
        return format_dry_run(dataclasses.replace(usual, **changes), {"": source}, lambda config: CallTime(6.0, 6.0))

    def num_bytes(**changes) -> int:
        return run_preflight(dataclasses.replace(usual, **changes), source, calibrated=True).estimate.num_bytes

    plain, more = told(), told(views=2, decode_workers=2, fps=5.0)
    assert "frames: 14 to extract" in plain and "teacher 84 s" in plain and "with 1 process," in plain
    assert "frames: 7 to extract" in more and "teacher 2 min" in more and "with 2 processes" in more
    least = num_bytes()
    assert all(
        num_bytes(**more) > least for more in ({"views": 9}, {"canonical_short_side": 600}, {"jpeg_quality": 100})
    )
