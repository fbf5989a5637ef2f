"""Image preprocessing of teachers: the choice for every open_clip model, and the resulting pixels."""

import json
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import av
import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from embedonce import cli
from embedonce.cache.schema import TeacherIdentity
from embedonce.cache.store import open_reader
from embedonce.models.errors import ModelOptionError
from embedonce.models.preprocessing import EXAMPLE, Preprocessing, from_config, parse
from embedonce.models.teachers.open_clip import load_teacher
from embedonce.models.teachers.preprocessing import default_preprocessing
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.canonical_frame import canonical_size, encode_canonical, load_view
from embedonce.pipeline.frames.views import make_views
from embedonce.pipeline.video.color import Scaler
from tests.models.teachers.test_teacher import CPU, SMALL

pytestmark = pytest.mark.usefixtures("forked_workers")

KEYS = ("mean", "std", "interpolation", "resize_mode")
OPENAI = from_config({}, "open_clip", default_preprocessing(open_clip))
SIGLIP = parse(EXAMPLE)
MODELS = open_clip.list_models()


class BuiltError(Exception):
    """Raised instead of building a model of gigabytes, with the arguments of open_clip."""


@pytest.fixture
def chosen_preprocessing(monkeypatch):
    """(model, weights, activation, preprocess) -> the preprocess_cfg passed to open_clip's create_model."""

    def create_model(name, pretrained, **settings):
        raise BuiltError(settings["force_preprocess_cfg"])

    monkeypatch.setattr(open_clip, "create_model", create_model)
    there = ModuleType("transformers")
    there.__spec__ = ModuleSpec("transformers", None)
    monkeypatch.setitem(sys.modules, "transformers", there)

    def chosen_preprocessing(
        model: str, weights: str, activation: str | None, preprocess: str | None = None
    ) -> Preprocessing:
        with pytest.raises(BuiltError) as caught:
            load_teacher(model, weights, activation, CPU, 0, preprocess)
        return Preprocessing(**caught.value.args[0])

    return chosen_preprocessing


def of_tags(model: str) -> dict[str, Preprocessing]:
    """The preprocessing that open_clip's create_model chooses for each tag."""
    from open_clip.transform import merge_preprocess_dict

    by_tag = {}
    for tag in open_clip.list_pretrained_tags_by_model(model):
        merged = merge_preprocess_dict(PreprocessCfg(), open_clip.get_pretrained_cfg(model, tag))
        by_tag[tag] = Preprocessing(*(tuple(v) if isinstance(v, (list, tuple)) else v for v in map(merged.get, KEYS)))
    return by_tag


def activation_of(model: str) -> str:
    return "quickgelu" if open_clip.get_model_config(model).get("quick_gelu") else "gelu"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.integration
def test_every_open_clip_model_has_the_preprocessing_of_its_tags_or_requires_the_option(
    model, chosen_preprocessing, tmp_path
):
    weights, tags = tmp_path / "w.safetensors", of_tags(model)
    weights.touch()
    for tag, expected in tags.items():
        if bool(open_clip.get_pretrained_cfg(model, tag).get("quick_gelu")) == (activation_of(model) == "quickgelu"):
            assert chosen_preprocessing(model, tag, None) == expected
        assert chosen_preprocessing(model, str(weights), activation_of(model), tag) == expected
    for kind, source, activation in (("file", str(weights), activation_of(model)), ("random", "random", None)):
        if len(set(tags.values())) == 1:
            assert chosen_preprocessing(model, source, activation) == next(iter(tags.values()))
        elif kind == "random" and not tags:
            assert chosen_preprocessing(model, source, activation) == OPENAI
        else:
            with pytest.raises(ModelOptionError, match=f"{kind} weights of {model}: .*--teacher-preprocess"):
                load_teacher(model, source, activation, CPU, 0)


def test_models_with_unusual_preprocessing_are_covered():
    """The test above would prove nothing without them."""
    kinds = {model: set(of_tags(model).values()) for model in MODELS}
    assert sum(bool(found - {OPENAI}) for found in kinds.values()) >= 50
    assert sum(len(found) > 1 for found in kinds.values()) >= 3
    assert kinds["MobileCLIP-S1"] == {Preprocessing((0.0,) * 3, (1.0,) * 3, "bilinear", "shortest")}
    assert kinds["ViT-B-16-SigLIP"] == {SIGLIP} and {p.resize_mode for p in kinds["ViT-H-14-378"]} == {"squash"}


def test_the_error_for_ambiguous_preprocessing_lists_the_choices(tmp_path):
    (tmp_path / "w.pt").touch()
    with pytest.raises(ModelOptionError) as caught:
        load_teacher("ViT-L-14", str(tmp_path / "w.pt"), "gelu", CPU, 0)
    message = str(caught.value)
    assert "--teacher-preprocess laion2b_s32b_b82k" in message and "mean=0.5,0.5,0.5" in message
    assert message.count("--teacher-preprocess") == 2 and "laion400m_e32" in message


def with_config(tmp_path, **added) -> str:
    path = tmp_path / "made-clip.json"
    path.write_text(json.dumps(SMALL | added))
    return str(path)


@pytest.mark.integration
def test_preprocessing_is_read_from_a_configuration_file(tmp_path):
    own = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "resize_mode": "squash"}
    teacher = load_teacher(with_config(tmp_path, preprocess_cfg=own), "random", None, CPU, 0)
    identity = TeacherIdentity(**teacher.describe())
    assert {key: getattr(identity, key) for key in KEYS} == {
        k: tuple(v) if k in KEYS[:2] else v for k, v in own.items()
    }
    safetensors.torch.save_file(teacher._clip.state_dict(), tmp_path / "w.safetensors")
    loaded = load_teacher(with_config(tmp_path, preprocess_cfg=own), str(tmp_path / "w.safetensors"), None, CPU, 0)
    assert loaded.describe() == teacher.describe() | {"weights": "file"}


def test_a_published_open_clip_configuration_is_read(tmp_path):
    """open_clip_config.json on the hub: model_cfg, and a preprocess_cfg that is often partial."""
    path = tmp_path / "published.json"
    path.write_text(json.dumps({"model_cfg": SMALL, "preprocess_cfg": {"mean": [0.5] * 3, "std": 0.5, "size": 64}}))
    description = load_teacher(str(path), "random", None, CPU, 0).describe()
    assert (description["name"], description["mean"], description["std"]) == ("published", (0.5,) * 3, (0.5,) * 3)
    assert (description["interpolation"], description["resize_mode"], description["activation"]) == (
        "bicubic",
        "shortest",
        "quickgelu",
    )


@pytest.mark.integration
def test_a_configuration_without_preprocessing_requires_the_option(tmp_path):
    config, weights = with_config(tmp_path), tmp_path / "w.safetensors"
    safetensors.torch.save_file(load_teacher(config, "random", None, CPU, 0)._clip.state_dict(), weights)
    with pytest.raises(ModelOptionError, match=r"file weights of made-clip: use --teacher-preprocess .*preprocess_cfg"):
        load_teacher(config, str(weights), None, CPU, 0)
    for option in (EXAMPLE, "ViT-B-16-SigLIP:webli", " resize = squash ; std=.5; mean=.5;interpolation=bicubic;"):
        description = load_teacher(config, str(weights), None, CPU, 0, option).describe()
        assert tuple(description[key] for key in KEYS) == (*(((0.5,) * 3,) * 2), "bicubic", "squash"), option
    known = load_teacher(config, str(weights), None, CPU, 0, None, SIGLIP).describe()
    assert known == description  # a cache with known preprocessing needs no option
    with pytest.raises(ModelOptionError, match="leave one of them out"):
        stated = with_config(tmp_path, preprocess_cfg={"mean": [0, 0, 0]})
        load_teacher(stated, str(weights), None, CPU, 0, EXAMPLE)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("mean=0.5;std=0.5;interpolation=bicubic", "lacks resize"),
        ("mean=0.5;std=0.5;interpolation=nearest;resize=squash", "interpolation 'nearest'; only bicubic and bilinear"),
        ("mean=0.5;std=0.5;interpolation=bicubic;resize=longest", "'longest'; only shortest and squash"),
        ("mean=1,2;std=0.5;interpolation=bicubic;resize=squash", "mean must be three numbers"),
        ("mean=1,2,x;std=0.5;interpolation=bicubic;resize=squash", "mean must be three numbers"),
        ("mean=1,2,nan;std=0.5;interpolation=bicubic;resize=squash", "mean must be three numbers"),
        ("mean=0.5;std=0,1,1;interpolation=bicubic;resize=squash", "std must be above 0"),
        (
            "mean=0.5;mean=0.6;std=1;interpolation=bicubic;resize=squash",
            "each of mean, std, interpolation, resize once",
        ),
        ("crop=1;mean=0.5", "'crop=1'; it needs"),
        ("opneai", r"'opneai' is not a weights tag of ViT-B-32-quickgelu \(available: .*openai"),
        ("ViT-B-16-SigLIP:openai", r"not a weights tag of ViT-B-16-SigLIP \(available: webli"),
    ],
)
def test_invalid_preprocess_options_are_refused(option, message, tmp_path):
    with pytest.raises(ModelOptionError, match=message):
        load_teacher("ViT-B-32-quickgelu", "random", None, CPU, 0, option)
    arguments = ["extract-teacher", "--data-dir", str(tmp_path), "--teacher-preprocess", option]
    if "=" in option:  # the rest needs open_clip's table
        ran = CliRunner().invoke(cli.main, arguments)
        assert ran.exit_code == 2 and "--teacher-preprocess" in ran.output


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"interpolaton": "bilinear"}, "has 'interpolaton'"),
        ({"mode": "L"}, "only RGB"),
        ({"resize_mode": "longest"}, "'longest'"),
        ([0.5], "must be an object"),
    ],
)
def test_invalid_preprocessing_in_a_configuration_file_is_refused(config, message, tmp_path):
    with pytest.raises(ModelOptionError, match=message):
        load_teacher(with_config(tmp_path, preprocess_cfg=config), "random", None, CPU, 0)


def test_preprocessing_that_contradicts_a_tag_is_refused(chosen_preprocessing, tmp_path):
    assert chosen_preprocessing("ViT-B-32-quickgelu", "openai", None, "openai") == OPENAI
    for model, weights in (("ViT-B-32-quickgelu", "openai"), ("demo-clip", "demo")):
        with pytest.raises(ModelOptionError, match=f"{weights!r} were trained with mean=0.48.*leave it out"):
            load_teacher(model, weights, None, CPU, 0, EXAMPLE)


def test_preprocessing_text_round_trip():
    odd = Preprocessing((0.1 + 0.2, 1 / 3, 0.5), (1e-3, 2.0, 0.26862954), "bilinear", "squash")
    assert parse(str(odd)) == odd


def photo(size: tuple[int, int]) -> Image.Image:
    """A frame with edges, texture and color, of (height, width)."""
    generator = np.random.default_rng(sum(size))
    small = generator.integers(0, 256, (size[0] // 24, size[1] // 24, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(720, 1280), (480, 640), (640, 360), (336, 518)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
@pytest.mark.integration
def test_crops_equal_open_clips_preprocessing(size, interpolation, resize_mode, tmp_path):
    """From a decoded frame through the stored JPEG to the tensor, compared with open_clip's transform of the frame."""
    own = {
        "mean": [0.4, 0.5, 0.45],
        "std": [0.3, 0.2, 0.25],
        "interpolation": interpolation,
        "resize_mode": resize_mode,
    }
    bigger = {
        "vision_cfg": SMALL["vision_cfg"] | {"image_size": 96}
    }  # open_clip's square is in the middle at 96 pixels
    made = load_teacher(with_config(tmp_path, preprocess_cfg=own, **bigger), "random", None, CPU, 0)
    identity, image = TeacherIdentity(**made.describe()), photo(size)
    seen = []
    made._clip.encode_image = lambda images: seen.append(images) or torch.ones(1, 24)
    frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
    canonical = canonical_size(*size, short_side=256)
    jpeg = encode_canonical(Scaler()(frame, canonical), 0, quality=95)
    view = make_views("v", canonical, 0, 0, identity)[0]
    made.embed(np.stack([load_view(jpeg, view, 96)]))
    transform = image_transform_v2(PreprocessCfg(**made._clip.visual.preprocess_cfg), is_train=False)
    levels = 255 * torch.tensor(own["std"]).view(3, 1, 1)

    def difference(other: torch.Tensor) -> float:
        return float(((seen[0][0] - other) * levels).abs().mean())

    # open_clip crops the square from a width rounded to whole pixels of the small image: off by a fraction of one
    assert difference(transform(image)) < (2.2 if resize_mode == "squash" else 4.5)
    other = {"resize_mode": {"shortest": "squash", "squash": "shortest"}[resize_mode]}
    wrong = image_transform_v2(PreprocessCfg(**made._clip.visual.preprocess_cfg | other), is_train=False)
    assert difference(wrong(image)) > 30
    assert view[5] == {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]


def test_stored_frames_are_resized_as_by_open_clip():
    """Without rounding and JPEG, the crop of a canonical frame equals open_clip's transform of it, bit by bit."""
    image = photo((256, 454))
    for interpolation, code in (("bicubic", 3), ("bilinear", 2)):
        settings = {"size": 224, "mean": (0.0,) * 3, "std": (1.0,) * 3, "interpolation": interpolation}
        squash = image_transform_v2(PreprocessCfg(**settings, resize_mode="squash"), is_train=False)(image)
        square = image.crop((99, 0, 355, 256))
        shortest = image_transform_v2(PreprocessCfg(**settings), is_train=False)(square)
        for expected, box in ((squash, (0, 0, 256, 454)), (shortest, (0, 99, 256, 256))):
            got = canonical_frame.crop(image, np.array([*box, 0, code]), 224)
            np.testing.assert_array_equal(got, np.rint(255 * expected.permute(1, 2, 0).numpy()).astype(np.uint8))


@pytest.mark.integration
def test_relabel_takes_the_preprocessing_from_the_cache(tmp_path):
    """From the command line: the option is stored in the cache's identity, and later commands read it there."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    with av.open(str(data / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(12):
            picture = np.full((96, 128, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    config = with_config(tmp_path)
    teacher = load_teacher(config, "random", None, CPU, 0)
    safetensors.torch.save_file(teacher._clip.state_dict(), tmp_path / "w.safetensors")
    named = ["--teacher-model", config, "--teacher-weights", str(tmp_path / "w.safetensors"), "--device", "cpu"]
    extract = ["extract-teacher", "--data-dir", str(data), "--cache-dir", str(cache), "--teacher-head", "none", *named]

    def run(*arguments: str):
        return CliRunner().invoke(cli.main, list(arguments))

    refused = run(*extract)
    assert refused.exit_code == 2 and "--teacher-preprocess" in refused.output
    assert run(*extract, "--teacher-preprocess", EXAMPLE).exit_code == 0
    identity = open_reader(cache).identity.teacher
    assert (identity.resize_mode, identity.mean, identity.std) == ("squash", (0.5,) * 3, (0.5,) * 3)
    verified = run("verify-cache", "--cache-dir", str(cache), "--recompute", "2", *named)
    assert verified.exit_code == 0, verified.output
    other = run("verify-cache", "--cache-dir", str(cache), "--recompute", "2", *named, "--teacher-preprocess",
                EXAMPLE.replace("bicubic", "bilinear"))  # fmt: skip
    assert other.exit_code == 4 and "interpolation" in other.output
