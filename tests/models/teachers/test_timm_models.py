"""Image models of timm as teachers: pixels, features, files of weights, and errors."""

import math

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelError, ModelOptionError, WeightsError
from embedonce.models.teachers import timm_models
from embedonce.models.teachers.timm_models import load_timm
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import evaluation_box, make_views
from embedonce.pipeline.teachers.registry import loader_of
from embedonce.pipeline.teachers.teacher import TeacherOptions
from tests.models.teachers.test_preprocessing import photo

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teacher():
    return load_timm("test_vit", "random", CPU, 3)


def test_a_teacher_has_the_preprocessing_that_timm_has_for_its_tag(teacher):
    description = teacher.describe()
    config = timm.data.resolve_model_data_config(timm.create_model("test_vit", num_classes=0))
    size = config["input_size"][1]
    assert description["name"] == "timm:test_vit.r160_in1k" and description["weights"] == "random"
    assert (description["mean"], description["std"]) == (config["mean"], config["std"])
    assert (description["input_size"], description["interpolation"]) == (size, config["interpolation"])
    assert description["crop_fraction"] == size / math.floor(size / config["crop_pct"]) < 1


@pytest.mark.parametrize(("mode", "bound"), [("center", 2.5), ("squash", 2.5)])
def test_crops_are_those_of_timm(mode, bound):
    """Up to the fraction of a pixel that timm's two steps, resize and crop, round away."""
    model = timm.create_model("test_vit", num_classes=0)
    model.pretrained_cfg["crop_mode"] = mode
    preprocessing = timm_models._preprocessing(model, "test_vit")
    size = preprocessing["input_size"]
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config | {"mean": (0.0,) * 3, "std": (1.0,) * 3})
    identity = TeacherIdentity(**load_timm("test_vit", "random", CPU, 3).describe() | preprocessing)
    image = photo((512, 512 if mode == "center" else 910))
    expected = 255 * transform(image).permute(1, 2, 0).numpy()

    def difference(changes: dict) -> float:
        fields = identity.__dict__ | changes
        view = make_views("v", image.size[::-1], 0, 0, TeacherIdentity(**fields))[0]
        return float(np.abs(canonical_frame.crop(image, view, size) - expected).mean())

    assert difference({}) < bound < 5 < difference({"crop_fraction": 1.0})


def test_a_crop_fraction_keeps_whole_pixels_around_the_center():
    assert evaluation_box((256, 454), "shortest", 0.875) == (16, 115, 224, 224)
    assert evaluation_box((256, 454), "squash", 0.5) == (64, 114, 128, 226)
    assert evaluation_box((256, 454)) == (0, 99, 256, 256)


def test_embeddings_are_the_pooled_features_before_the_classifier(teacher):
    size = teacher.describe()["input_size"]
    crops = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    mean, std = (torch.tensor(teacher.describe()[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    images = (torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        model = teacher._model
        features = model.forward_head(model.forward_features(images), pre_logits=True)
    expected = torch.nn.functional.normalize(features, dim=-1).numpy()
    np.testing.assert_allclose(teacher.embed(crops), expected, atol=1e-6)


def test_a_file_may_have_the_classifier_that_a_teacher_lacks(teacher, tmp_path):
    torch.manual_seed(0)
    whole = timm.create_model("test_vit")
    safetensors.torch.save_file(whole.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in whole.state_dict().items()}}, tmp_path / "w.pt")
    first, second = (
        load_timm("test_vit", str(tmp_path / name), CPU, 9).describe() for name in ("w.safetensors", "w.pt")
    )
    assert first == second and first["weights"] == "file"
    assert first["weights_sha256"] != teacher.describe()["weights_sha256"]


def test_files_that_do_not_fit_are_refused(tmp_path):
    safetensors.torch.save_file({"blocks.0.x": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(WeightsError, match=r"other.safetensors does not hold weights of test_vit"):
        load_timm("test_vit", str(tmp_path / "other.safetensors"), CPU, 0)
    with pytest.raises(WeightsError, match=r"text.pt is damaged or not a plain weights file"):
        load_timm("test_vit", str(tmp_path / "text.pt"), CPU, 0)


def test_a_file_is_not_damaged_because_memory_ran_out(monkeypatch):
    def fail(path):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(timm_models, "check_entries", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_timm("test_vit", __file__, CPU, 0)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("convnxt_tiny", "random", "timm has no model 'convnxt_tiny'; close names: convnext_tiny"),
        ("convnext_tiny.x", "random", "timm has no weights 'x' of convnext_tiny; it has .*in12k_ft_in1k"),
        ("test_vit", "/absent.pt", "the weights file /absent.pt does not exist"),
        (
            "convnext_tiny",
            __file__,
            r"are preprocessed differently: name the one .*--teacher-model timm:convnext_tiny\.",
        ),
    ],
)
def test_wrong_names_are_one_sentence(name, weights, message):
    with pytest.raises(ModelOptionError, match=message):
        load_timm(name, weights, CPU, 0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("crop_mode", "border", "has the crop_mode 'border'; only center and squash can be replayed"),
        ("interpolation", "lanczos", "has the interpolation 'lanczos'; only bicubic and bilinear can be replayed"),
        ("input_size", (3, 160, 128), "takes images of 128x160 in 3 channels, not square RGB"),
        ("input_size", (1, 160, 160), "in 1 channels, not square RGB"),
    ],
)
def test_preprocessing_that_cannot_be_replayed_is_refused(field, value, message):
    model = timm.create_model("test_vit", num_classes=0)
    model.pretrained_cfg[field] = value
    with pytest.raises(ModelOptionError, match=message):
        timm_models._preprocessing(model, "test_vit")


def test_weights_that_cannot_be_downloaded_are_one_sentence(monkeypatch):
    def offline(*names, **settings):
        raise OSError("offline")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"the weights of test_vit.r160_in1k could not be downloaded; connect"):
        load_timm("test_vit", "pretrained", CPU, 0)


def test_options_of_open_clip_are_refused():
    for options in ({"activation": "gelu"}, {"preprocess": "openai"}):
        with pytest.raises(ModelOptionError, match=f"--teacher-{next(iter(options))} is for models of open_clip"):
            loader_of("timm:x").load(TeacherOptions("timm:test_vit", "random", **options))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3", "vit_small_patch14_dinov2", "convnext_tiny", "resnet18"])
def test_well_known_models_are_teachers(name):
    assert load_timm(name, "random", CPU, 0).describe()["embed_dim"] >= 384
