"""Families of open_clip beside CLIP: SigLIP, PE-Core, MobileCLIP 2 and EVA, small and with random weights.

Each has the image tower of its family's class, and the preprocessing of its smallest published model.
"""

import json
import shutil

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2

from embedonce.cache.heads import logits_from
from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.models.names import default_weights
from embedonce.models.teachers.configuration import shape_of
from embedonce.models.teachers.open_clip import ClipTeacher, load_teacher
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.teachers.open_clip import OpenClipTeacher
from tests.models.teachers.test_preprocessing import photo

CPU = torch.device("cpu")


def family(dim: int, size: int, trunk: str, pool: str, projection: str | None, context: int, **text) -> dict:
    vision = {"image_size": size, "timm_model_name": trunk, "timm_pool": pool, "timm_proj": projection}
    tower = {"context_length": context, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return {"embed_dim": dim, "custom_text": True, "vision_cfg": vision, "text_cfg": tower | text}


SIGLIP_TEXT = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
SIGLIP = family(192, 224, "vit_tiny_patch16_224", "map", "none", 64, **SIGLIP_TEXT) | {"init_logit_bias": -10}
SIGLIP_2 = family(
    192, 224, "vit_tiny_patch16_224", "map", "none", 64, act_kwargs={"approximate": "tanh"}, **SIGLIP_TEXT
)
# open_clip takes the tokenizer of SigLIP, of transformers, for any model named so that states none
FAMILIES = {
    "sigmoid": (SIGLIP, "ViT-B-16-SigLIP:webli"),
    "sigmoid2": (SIGLIP_2 | {"init_logit_bias": -10}, "ViT-B-16-SigLIP2:webli"),
    "pe-core": (family(24, 384, "vit_pe_core_tiny_patch16_384", "map", None, 32), "PE-Core-T-16-384:meta"),
    "mobileclip2": (family(24, 256, "fastvit_t8", "avg", None, 77, no_causal_mask=True), "MobileCLIP2-S0:dfndr2b"),
    "eva": (family(24, 224, "eva02_tiny_patch14_224", "token", None, 77), "EVA02-B-16:merged2b_s8b_b131k"),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """loaded(name): the teacher of a family, made once."""
    folder, made = tmp_path_factory.mktemp("families"), {}

    def load(name: str) -> ClipTeacher:
        if name not in made:
            config, preprocess = FAMILIES[name]
            path = folder / f"{name}.json"
            path.write_text(json.dumps(config))
            made[name] = load_teacher(str(path), "random", None, CPU, 0, preprocess)
        return made[name]

    return load


@pytest.mark.parametrize("name", FAMILIES)
def test_the_preprocessing_of_a_family_is_replayed(name, loaded, monkeypatch):
    """The tensor that the image tower gets is what open_clip's transform makes of the same canonical frame."""
    teacher, (model, tag) = loaded(name), FAMILIES[name][1].split(":")
    identity = TeacherIdentity(**teacher.describe())
    size, seen = identity.input_size, []
    monkeypatch.setattr(teacher, "_encode", lambda images: seen.append(images) or torch.ones(1, identity.embed_dim))
    published = PreprocessCfg(
        size=size, **{k: v for k, v in open_clip.get_pretrained_cfg(model, tag).items() if k in KEYS}
    )
    image = photo((512, 910))
    view = make_views("v", (512, 910), 0, 0, identity)[0]
    teacher.embed(np.stack([canonical_frame.crop(image, view, size)]))
    if identity.resize_mode == "shortest":  # without open_clip's rounding of the width that it resizes to
        image = image.crop((199, 0, 711, 512))
    expected = image_transform_v2(published, is_train=False)(image)
    torch.testing.assert_close(seen[0][0], expected, rtol=0, atol=1e-5)


KEYS = ("mean", "std", "interpolation", "resize_mode")


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_and_logits_of_a_family_are_those_of_open_clip(name, loaded):
    teacher = loaded(name)
    size = teacher.describe()["input_size"]
    crops = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    text, scale, bias = teacher.class_text([["a cat"], ["a dog"], ["cutting bread"]])
    assert (bias is not None) == name.startswith("sigmoid")
    head = {"class_text": text, "logit_scale": np.array([scale], np.float32)}
    head |= {} if bias is None else {"logit_bias": np.array([bias], np.float32)}
    mean, std = (torch.tensor(teacher.describe()[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    images = (torch.from_numpy(crops).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        expected, _ = teacher._clip.get_logits(images, teacher._tokenizer(["a cat", "a dog", "cutting bread"]))
    np.testing.assert_allclose(logits_from(head, teacher.embed(crops)), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize(("name", "length"), [("sigmoid", 64), ("pe-core", 32), ("eva", 77)])
def test_prompts_that_are_cut_at_another_length_than_77_are_found(name, length, loaded):
    fits, long = (" ".join(["go"] * (length - special)) for special in (2, 1))
    texts = OpenClipTeacher(loaded(name)).long_texts([[fits], ["go", long]])
    assert (texts.count, texts.context) == (1, length)
    assert [(label, text) for label, text, _ in texts.first] == [(1, long)]


def test_a_folder_with_a_published_model_is_a_teacher(tmp_path, loaded):
    """local-dir: with the configuration, preprocessing and weights in it; known by the name of the folder."""
    folder = tmp_path / "My-SigLIP"
    publish(folder, loaded("sigmoid"))
    model = f"local-dir:{folder}"
    teacher = load_teacher(model, default_weights(model), None, CPU, 5)
    assert teacher.describe() == loaded("sigmoid").describe() | {"name": "local-dir:My-SigLIP", "weights": "own"}
    assert shape_of(model) == (224, 192)
    folder.rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "My-SigLIP")
    random = load_teacher(model, "random", None, CPU, 5).describe()
    assert random["weights_sha256"] != teacher.describe()["weights_sha256"]


def publish(folder, teacher: ClipTeacher) -> None:
    folder.mkdir(parents=True)
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    document = {"model_cfg": SIGLIP, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    safetensors.torch.save_file(teacher._clip.state_dict(), folder / "open_clip_model.safetensors")


def test_a_repository_of_the_hub_is_a_teacher(tmp_path, loaded, monkeypatch):
    """hf-hub: from the local copies that the hub's client keeps."""
    import huggingface_hub.constants as constants

    repository = tmp_path / "models--someone--small-siglip"
    publish(repository / "snapshots" / "0123abc", loaded("sigmoid"))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = "hf-hub:someone/small-siglip"
    teacher = load_teacher(model, default_weights(model), None, CPU, 5)
    assert teacher.describe() == loaded("sigmoid").describe() | {"name": model, "weights": "own"}
    with pytest.raises(
        ModelError, match=r"hf-hub:someone/other could not be downloaded; .*--teacher-model local-dir:FOLDER"
    ):
        load_teacher("hf-hub:someone/other", "own", None, CPU, 0)


def test_mistakes_with_folders_are_one_sentence(tmp_path, loaded):
    publish(tmp_path / "m", loaded("sigmoid"))
    (tmp_path / "m" / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelOptionError, match=r"has no weights file beside open_clip_config.json"):
        load_teacher(f"local-dir:{tmp_path / 'm'}", "own", None, CPU, 0)
    with pytest.raises(ModelOptionError, match=r"there is no file .*open_clip_config.json; give the folder with"):
        load_teacher("local-dir:My-SigLIP", "own", None, CPU, 0)
    with pytest.raises(ModelOptionError, match=r"local-dir: names no model"):
        load_teacher("local-dir:", "own", None, CPU, 0)
    (tmp_path / "m" / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"embed_dim": 3}}))
    with pytest.raises(ModelOptionError, match=r"lacks vision_cfg, text_cfg"):
        load_teacher(f"local-dir:{tmp_path / 'm'}", "own", None, CPU, 0)
    shutil.rmtree(tmp_path / "m")


def test_an_image_size_that_the_tower_does_not_take_is_refused(tmp_path):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(family(192, 64, "vit_tiny_patch16_224", "map", "none", 16)))
    with pytest.raises(
        ModelOptionError, match="wrong does not embed images of 64 pixels, the size in its configuration"
    ):
        load_teacher(str(path), "random", None, CPU, 0)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["PE-Core-T-16-384", "MobileCLIP2-S0", "EVA02-B-16", "ViT-B-32-SigLIP2-256"])
def test_the_smallest_published_configurations_are_teachers(model):
    if "SigLIP" in model:
        pytest.importorskip("transformers")  # for the tokenizer, which is downloaded
    description = load_teacher(model, "random", None, CPU, 0).describe()
    assert shape_of(model) == (description["input_size"], description["embed_dim"])
