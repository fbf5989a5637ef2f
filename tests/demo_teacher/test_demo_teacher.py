"""The demo teacher: its weights file, accuracy, options, and training data."""

import hashlib
import logging
import re
import shutil

import numpy as np
import pytest
import safetensors
import torch
from click.testing import CliRunner

from embedonce import cli
from embedonce.cache.store import open_reader
from embedonce.models.contrastive import contrastive_loss
from embedonce.models.errors import ModelOptionError, WeightsError
from embedonce.models.teachers import weights
from embedonce.models.teachers.open_clip import ClipTeacher, load_teacher
from embedonce.models.teachers.weights import SHIPPED
from embedonce.pipeline.commands.cache_assertions import check_cache
from embedonce.pipeline.demo_teacher import train
from embedonce.pipeline.demo_teacher.batches import CaptionedCrops, augmented
from embedonce.pipeline.demo_teacher.recipe import (
    HELD_OUT,
    NOT_VISIBLE,
    SLEEVES,
    STAGES,
    TRAIN,
    UNSPECIFIED,
    Frames,
    captions,
    draw_video,
    joined,
    matches,
    video_rng,
)
from embedonce.pipeline.errors import CheckpointError
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.prompts.templates import class_prompts
from embedonce.pipeline.sources.synthetic.plan import Parameters
from embedonce.pipeline.sources.synthetic.scene.actions import ACTIONS

CPU = torch.device("cpu")
WEIGHTS = SHIPPED / "demo-clip.safetensors"
FRESH_SEED = 1  # of held-out videos that neither training nor its figures saw
FRAMES = 48


@pytest.fixture(scope="module")
def teacher() -> ClipTeacher:
    return load_teacher("demo-clip", "demo", None, CPU, 0)


@pytest.fixture(scope="module")
def fresh() -> Frames:
    """Four frames of each action, from eight new videos."""
    found = [draw_video(FRESH_SEED, HELD_OUT, index) for index in range(8)]
    frames = joined(found)
    chosen = [np.flatnonzero(frames.labels == label)[1:5] for label in range(len(ACTIONS))]
    return part(frames, np.concatenate(chosen))


def part(frames: Frames, rows: np.ndarray) -> Frames:
    return Frames(
        tuple(frames.jpegs[i] for i in rows), frames.attributes[rows], frames.labels[rows], frames.clips[rows]
    )


def frame_top1(teacher: ClipTeacher, frames: Frames) -> float:
    return float(re.search(r"frames: top-1 ([\d.]+)", "\n".join(train.evaluate(teacher, frames)))[1])


# -- the file --------------------------------------------------------------------------------------------------------


def test_the_shipped_file_matches_its_readme_and_is_small():
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest in (SHIPPED / "README.md").read_text()
    assert WEIGHTS.with_suffix(".sha256").read_text() == f"{digest}  {WEIGHTS.name}\n"
    assert WEIGHTS.stat().st_size <= 25e6
    with safetensors.safe_open(WEIGHTS, "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} <= {torch.float16, torch.int64}  # noqa: SIM118


@pytest.mark.integration
def test_identity_of_the_demo_teacher(teacher):
    description = teacher.describe()
    assert (description["name"], description["weights"], description["input_size"], description["embed_dim"]) == (
        "demo-clip",
        "demo",
        128,
        512,
    )
    assert description["parameters_image"] >= 6e6
    as_file = load_teacher("demo-clip", str(WEIGHTS), "quickgelu", CPU, 5).describe()
    assert as_file == description | {"weights": "file"}


@pytest.mark.slow
def test_zero_shot_accuracy_on_new_videos(teacher, fresh):
    assert len(fresh) == FRAMES and len(set(fresh.labels.tolist())) == len(ACTIONS)
    assert frame_top1(teacher, fresh) >= 0.8  # open and close box are one picture: 11 of 12 at most, but for luck
    assert frame_top1(load_teacher("demo-clip", "random", None, CPU, 0), fresh) < 0.3
    harmed = load_teacher("demo-clip", "demo", None, CPU, 0)
    kernels = harmed._clip.visual.conv1.weight
    kernels.copy_(kernels.flip(1))  # blue for red
    assert frame_top1(harmed, fresh) < 0.7


@pytest.mark.integration
def test_words_outside_the_captions_do_not_change_embeddings(teacher):
    tokens = teacher._tokenizer(list(captions().texts)).unique()
    table = teacher._clip.token_embedding.weight
    assert not table[teacher._tokenizer(["zebra"])[0, 1]].any() and table[tokens].any(1).all()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"), "is damaged"),
        (lambda path: path.unlink(), "cannot be read .No such file or directory.; reinstall embedonce"),
        (lambda path: path.with_suffix(".sha256").unlink(), "cannot be read"),
        (lambda path: path.with_suffix(".sha256").write_bytes(b""), "is damaged"),
        (lambda path: path.with_suffix(".sha256").write_bytes(b"\xff"), "it is not text"),
    ],
)
@pytest.mark.integration
def test_damaged_or_missing_weights_are_refused(harm, message, tmp_path, monkeypatch):
    for path in SHIPPED.glob("demo-clip.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    load_teacher("demo-clip", "demo", None, CPU, 0)
    harm(tmp_path / WEIGHTS.name)
    with pytest.raises(WeightsError, match=message) as caught:
        load_teacher("demo-clip", "demo", None, CPU, 0)
    assert "\n" not in str(caught.value) and WEIGHTS.name in str(caught.value)


@pytest.mark.integration
def test_another_configuration_of_the_same_name_has_no_shipped_weights(tmp_path):
    shutil.copy(SHIPPED / "demo-clip.json", tmp_path)
    load_teacher(str(SHIPPED / "demo-clip.json"), "demo", None, CPU, 0)
    with pytest.raises(ModelOptionError, match="is not the demo-clip of the weights"):
        load_teacher(str(tmp_path / "demo-clip.json"), "demo", None, CPU, 0)
    with pytest.raises(ModelOptionError, match="'demo' is neither a file nor a weights tag of ViT-B-32-quickgelu"):
        load_teacher("ViT-B-32-quickgelu", "demo", None, CPU, 0)


# -- choosing it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("ViT-B-32-quickgelu", "openai")),
        ({"teacher_size": "demo"}, ("demo-clip", "demo")),
        ({"teacher_model": "demo-clip"}, ("demo-clip", "demo")),
        ({"teacher_size": "demo", "teacher_weights": "random"}, ("demo-clip", "random")),
        ({"teacher_size": "demo", "teacher_model": "RN50-quickgelu"}, ("RN50-quickgelu", "openai")),
    ],
)
def test_default_weights_depend_on_the_model(tmp_path, options, expected):
    config = ExtractConfig(None, True, tmp_path, **options)
    assert (config.model, config.weights) == expected


@pytest.mark.slow
def test_extraction_with_teacher_size_demo(tmp_path, teacher, caplog):
    cache = tmp_path / "cache"
    command = ["extract-teacher", "--use-synthetic", "--num-samples", "12", "--teacher-size", "demo", "--fps", "1"]
    command += ["--cache-dir", str(cache), "--device", "cpu"]
    ran = CliRunner().invoke(cli.main, command)
    assert ran.exit_code == 0, ran.output
    assert "DEMO TEACHER" not in caplog.text and "random" not in ran.stdout
    assert open_reader(cache).identity.teacher.weights == "demo"
    assert open_reader(cache).identity.teacher.weights_sha256 == teacher.describe()["weights_sha256"]
    ran = CliRunner().invoke(cli.main, ["verify-cache", "--cache-dir", str(cache), "--recompute", "3"])
    assert ran.exit_code == 0 and "embedded 3 rows again" in ran.output, ran.output
    check_cache(cache, None, "demo", None)
    with pytest.raises(CheckpointError, match="--teacher-size base is ViT-B-32-quickgelu"):
        check_cache(cache, None, "base", None)
    videos = shutil.copytree(next(tmp_path.glob("synthetic*")) / "v2" / "full_scale", tmp_path / "videos")
    command = ["extract-teacher", "--data-dir", str(videos), "--teacher-size", "demo", "--fps", "0.2"]
    with caplog.at_level(logging.WARNING):
        ran = CliRunner().invoke(cli.main, [*command, "--cache-dir", str(tmp_path / "other"), "--device", "cpu"])
    assert ran.exit_code == 0 and "DEMO TEACHER: it was trained on the twelve actions" in caplog.text, ran.output


# -- the recipe ------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_frames_depend_on_seed_stream_and_index_only():
    one, same = (draw_video(0, TRAIN, 3) for _ in range(2))
    assert one.jpegs == same.jpegs
    np.testing.assert_array_equal(one.attributes, same.attributes)
    others = [draw_video(1, TRAIN, 3), draw_video(0, HELD_OUT, 3), draw_video(0, TRAIN, 4)]
    assert all(not set(one.jpegs) & set(other.jpegs) for other in others)
    assert len(one) == 36 and len(set(one.clips.tolist())) == 6 and min(one.clips) == 18


def test_training_seeds_are_disjoint_from_those_of_generated_data():
    """PCG64 seeds are sequences of words; those of generated data end in (1, index), for long seeds too."""

    def state(generator: np.random.Generator) -> int:
        return generator.bit_generator.state["state"]["state"]

    ours = {state(video_rng(0, stream, i)) for stream in (TRAIN, HELD_OUT) for i in range(300)}
    seeds = [*range(50), *(stream << 32 * word for stream in (TRAIN, HELD_OUT) for word in (1, 2, 3, 4))]
    users = {state(Parameters(480, 12, seed).rng(kind, i)) for seed in seeds for kind in (0, 1, 2) for i in range(20)}
    assert len(ours) == 600 and not ours & users


@pytest.mark.integration
def test_frame_attributes_match_the_scene():
    frames = joined([draw_video(0, TRAIN, index) for index in range(6)])
    assert set(frames.labels.tolist()) == set(range(len(ACTIONS)))
    for label, (action, stage, sleeves) in zip(frames.labels, frames.attributes, strict=True):
        name = ACTIONS[label]
        assert ACTIONS[action] == ("open box" if name == "close box" else name)
        assert stage == NOT_VISIBLE if name in ("stir pot", "shake bottle") else stage in range(len(STAGES))
        assert sleeves in range(len(SLEEVES))


def test_opening_and_closing_a_box_have_mirrored_attributes():
    all_captions = captions()
    attributes = dict(zip(all_captions.texts, all_captions.attributes.tolist(), strict=True))
    assert attributes["open box"] == attributes["close the box"] == [0, UNSPECIFIED, UNSPECIFIED]
    assert attributes["open box, at the start"] == attributes["close box, near the end"] == [0, 0, UNSPECIFIED]
    assert attributes["pick up the cup, half way, red sleeves"] == [ACTIONS.index("pick up cup"), 1, 0]
    assert "stir pot, at the start" not in attributes and "stir pot, blue sleeves" in attributes
    assert len(attributes) == len(all_captions.texts)
    assert {text for texts in class_prompts(ACTIONS, style="v1") for text in texts} <= set(attributes)


def test_a_caption_matches_if_all_its_attributes_do():
    frames = np.array([[4, 0, 2], [4, 1, 2], [6, NOT_VISIBLE, 2]])
    captions = np.array(
        [[4, UNSPECIFIED, UNSPECIFIED], [4, 1, UNSPECIFIED], [UNSPECIFIED, UNSPECIFIED, 2], [6, 0, UNSPECIFIED]]
    )
    expected = [[True, False, True, False], [True, True, True, False], [False, False, True, False]]
    np.testing.assert_array_equal(matches(captions, frames), expected)


@pytest.mark.integration
def test_every_crop_has_a_matching_caption_and_changes_by_epoch(teacher):
    from embedonce.cache.schema import TeacherIdentity

    frames, all_captions = draw_video(0, TRAIN, 0), captions()
    data = CaptionedCrops(frames, all_captions, TeacherIdentity(**teacher.describe()), seed=0)
    items = [data[i] for i in range(len(data))]
    assert all(matches(all_captions.attributes[[i["caption"]]], frames.attributes[[i["frame"]]]).all() for i in items)
    np.testing.assert_array_equal(items[7]["crop"], data[7]["crop"])
    batch = torch.utils.data.default_collate(items)
    assert batch["crop"].shape == (36, 128, 128, 3) and data.matches(batch).diagonal().all()
    data.epoch = 1
    assert any(items[i]["caption"] != data[i]["caption"] for i in range(8))
    images = augmented(batch["crop"])
    assert images.shape == (36, 3, 128, 128) and 0 <= images.min() < images.max() <= 1


# -- the loss and the training ---------------------------------------------------------------------------------------


def test_contrastive_loss_of_a_case_computed_by_hand():
    """Two frames of one action and one of another, in the plane; the scale is ln 2, so that exp(logit) is 2^cos.

    Frames e1, e1, e2; captions e1, e1, e2: the logits of a frame of the pair are ln 2 · (1, 1, 0), and it has to
    answer (1/2, 1/2, 0): -ln(2 / (2 + 2 + 1)) = ln 2.5. The third: logits ln 2 · (0, 0, 1), -ln(2 / 4) = ln 2. Both
    directions are alike.
    """
    one, two = [3.0, 0.0], [0.0, 0.5]  # lengths do not count
    vectors = torch.tensor([one, one, two])
    truth = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    loss = contrastive_loss(vectors, vectors, truth, np.log(2))
    assert float(loss) == pytest.approx((2 * np.log(2.5) + np.log(2)) / 3, rel=1e-6)


def test_with_one_match_per_row_the_contrastive_loss_is_that_of_clip():
    images, texts = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)).unbind()
    logits = 10 * torch.nn.functional.normalize(images, dim=-1) @ torch.nn.functional.normalize(texts, dim=-1).T
    there, back = (torch.nn.functional.cross_entropy(one, torch.arange(5)) for one in (logits, logits.T))
    loss = contrastive_loss(images, texts, torch.eye(5, dtype=torch.bool), 10.0)
    assert float(loss) == pytest.approx(float(there + back) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="matching text"):
        contrastive_loss(images, texts, torch.zeros(5, 5, dtype=torch.bool), 10.0)


@pytest.mark.slow
def test_training_is_deterministic_and_its_weights_load(tmp_path, monkeypatch):
    frames = draw_video(0, TRAIN, 0)
    monkeypatch.setattr(train, "BATCH_SIZE", 18)
    digests = []
    for name in ("one", "two"):
        clip = train.train(frames, epochs=1, seed=0)
        digests.append(train.save(clip, tmp_path / f"{name}.safetensors"))
    assert digests[0] == digests[1]
    assert (tmp_path / "one.sha256").read_text() == f"{digests[0]}  one.safetensors\n"
    loaded = load_teacher("demo-clip", str(tmp_path / "one.safetensors"), "quickgelu", CPU, 0)
    untrained = load_teacher("demo-clip", "random", None, CPU, 0)
    assert loaded.describe()["weights_sha256"] != untrained.describe()["weights_sha256"]


def test_make_demo_uses_the_demo_teacher():
    makefile = (SHIPPED.parents[1] / "Makefile").read_text()
    assert "--teacher-size demo" in makefile and "embedonce.pipeline.demo_teacher.train" in makefile
