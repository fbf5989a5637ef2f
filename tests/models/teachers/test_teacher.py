"""A small open_clip teacher with random weights: description, embeddings, and errors."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from embedonce.cache.schema import TeacherIdentity
from embedonce.models.errors import ModelError, ModelOptionError, WeightsError
from embedonce.models.teachers.open_clip import image_tower_for_latency, load_teacher
from embedonce.models.teachers.tensors import weights_sha256
from embedonce.pipeline.frames import canonical_frame
from embedonce.pipeline.frames.views import make_views

CPU = torch.device("cpu")
SMALL = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "small-clip.json"
    path.write_text(json.dumps(SMALL))
    return path


@pytest.fixture(scope="module")
def teacher(config):
    return load_teacher(str(config), "random", None, CPU, seed=3)


def state(teacher) -> dict:
    return teacher._clip.state_dict()


def test_describe_has_the_fields_of_the_cache_identity(teacher):
    identity = TeacherIdentity(**teacher.describe())
    assert (identity.name, identity.weights, identity.activation) == ("small-clip", "random", "quickgelu")
    assert (identity.input_size, identity.embed_dim, identity.interpolation) == (64, 24, "bicubic")
    assert identity.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert identity.bytes_image == 4 * identity.parameters_image < identity.bytes_total


@pytest.mark.numeric
def test_embeddings_equal_those_of_open_clip(teacher):
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    got = teacher.embed(crops)
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(**teacher._clip.visual.preprocess_cfg), is_train=False)
    with torch.inference_mode():
        images = torch.stack([transform(Image.fromarray(crop)) for crop in crops])
        expected = teacher._clip.encode_image(images, normalize=True).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    with pytest.raises(ValueError, match="64, 64, 3"):
        teacher.embed(crops[:, :32])


def test_view_0_of_a_canonical_frame_is_open_clips_evaluation_crop(teacher):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    generator = np.random.default_rng(0)
    smooth = Image.fromarray(generator.integers(0, 256, (9, 16, 3), dtype=np.uint8)).resize((455, 256), 3)
    transform = image_transform_v2(PreprocessCfg(**teacher._clip.visual.preprocess_cfg), is_train=False)
    identity = TeacherIdentity(**teacher.describe())
    view = make_views("v", (256, 455), 0, 0, identity)[0]
    mean, std = (torch.tensor(getattr(identity, name)).view(3, 1, 1) for name in ("mean", "std"))

    def difference(box):
        crop = torch.from_numpy(canonical_frame.crop(smooth, box, 64).copy()).permute(2, 0, 1) / 255
        return float(((crop - mean) / std - transform(smooth)).abs().mean())

    # open_clip resizes to a rounded width (114) before it crops, so the two differ by a fraction of a pixel
    assert difference(view) < 0.08
    assert difference(view + np.array([0, 8, 0, 0, 0, 0])) > 0.2


def test_texts_longer_than_the_context_are_counted_with_their_tokens(teacher):
    length = teacher._tokenizer.context_length
    fits, long = " ".join(["go"] * (length - 2)), " ".join(["go"] * (length - 1))
    found = ((1, long, length + 1), (2, long + " on", length + 2))
    assert teacher.long_texts([["cut bread", fits], [long, ""], [long + " on"]]) == (2, length, found)
    assert teacher.long_texts([[fits]]) == (0, length, ()) == teacher.long_texts([])
    assert teacher.long_texts([[f"{long} {i}" for i in range(300)]])[::2] == (
        300,
        tuple((0, f"{long} {i}", length + 2) for i in range(5)),
    )
    cut = teacher.class_text([[long], [long + " on"], [fits]])[0]
    assert np.array_equal(cut[0], cut[1])


@pytest.mark.numeric
def test_class_text_is_the_mean_of_unit_vectors(teacher):
    matrix, scale, _ = teacher.class_text([["cut bread", "a hand cutting bread"], ["stir"]])
    assert matrix.shape == (2, 24) and scale == pytest.approx(1 / 0.07, rel=1e-4)
    single = [teacher.class_text([[text]])[0][0] for text in ("cut bread", "a hand cutting bread")]
    expected = sum(single) / np.linalg.norm(sum(single))
    np.testing.assert_allclose(matrix[0], expected, atol=1e-5)


def test_random_weights_depend_on_the_seed_only(config, teacher):
    same, other = (load_teacher(str(config), "random", None, CPU, seed=s).describe() for s in (3, 4))
    assert same == teacher.describe() and other["weights_sha256"] != same["weights_sha256"]


def test_the_weights_hash_is_of_values_names_and_shapes(teacher):
    layer = torch.nn.Linear(3, 3)
    before = weights_sha256(layer)
    assert before == weights_sha256(layer)
    with torch.no_grad():
        layer.weight[1, 2] += 1e-6
    assert weights_sha256(layer) != before


@pytest.mark.numeric
def test_images_are_embedded_without_the_text_tower(config):
    teacher = load_teacher(str(config), "random", None, CPU, seed=3)
    crops = np.zeros((2, 64, 64, 3), np.uint8)
    before, facts = teacher.embed(crops), teacher.describe()
    teacher.drop_text_tower()
    np.testing.assert_allclose(teacher.embed(crops), before, rtol=0, atol=1e-6)
    assert teacher.describe() == facts
    assert sum(p.numel() for p in teacher._clip.parameters()) == facts["parameters_image"]


@pytest.mark.integration
def test_weights_of_a_local_file_are_loaded(config, teacher, tmp_path):
    safetensors.torch.save_file(state(teacher), tmp_path / "w.safetensors")
    torch.save(state(teacher), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        loaded = load_teacher(str(config), str(tmp_path / name), None, CPU, 9, "ViT-B-32-quickgelu:openai").describe()
        assert loaded == teacher.describe() | {"weights": "file"}


def test_a_local_weights_file_requires_the_activation(teacher, tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state(teacher), path)
    with pytest.raises(ModelOptionError, match="--teacher-activation quickgelu"):
        load_teacher("ViT-B-32-quickgelu", str(path), None, CPU, 0)
    with pytest.raises(
        ModelOptionError, match=r"trained with quickgelu, but ViT-B-32 .*--teacher-model ViT-B-32-quickgelu"
    ):
        load_teacher("ViT-B-32", str(path), "quickgelu", CPU, 0)
    with pytest.raises(ModelOptionError, match=r"--teacher-model ViT-B-32$"):
        load_teacher("ViT-B-32-quickgelu", str(path), "gelu", CPU, 0)
    silent = tmp_path / "silent.json"
    silent.write_text(json.dumps({k: v for k, v in SMALL.items() if k != "quick_gelu"}))
    with pytest.raises(ModelOptionError, match="--teacher-activation"):
        load_teacher(str(silent), str(path), None, CPU, 0)


def test_a_tag_trained_with_another_activation_is_refused():
    with pytest.raises(ModelOptionError, match=r"'openai' were trained with quickgelu.*ViT-B-32-quickgelu"):
        load_teacher("ViT-B-32", "openai", None, CPU, 0)


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_hostile_damaged_and_foreign_weights_are_refused_without_running_code(config, teacher, tmp_path):
    (tmp_path / "hostile.pt").write_bytes(pickle.dumps({"state_dict": Hostile(tmp_path / "owned")}))
    torch.save({"state_dict": Hostile(tmp_path / "owned")}, tmp_path / "hostile2.pt")
    good = safetensors.torch.save(state(teacher))
    (tmp_path / "cut.safetensors").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").write_bytes(b"")
    safetensors.torch.save_file({"visual.proj": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "archive.pt")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(WeightsError, match=path.name) as caught:
            load_teacher(str(config), str(path), None, CPU, 0, "ViT-B-32-quickgelu:openai")
        assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("ViT-B32", "random", r"no model 'ViT-B32'.*ViT-B-32"),
        ("nowhere.json", "random", "nowhere.json cannot be read"),
        ("ViT-B-32-quickgelu", "opneai", r"'opneai' is neither a file nor a weights tag .*openai"),
        ("ViT-B-32-quickgelu", "nowhere.safetensors", "nowhere.safetensors does not exist"),
    ],
)
def test_errors_for_unknown_names_suggest_close_ones(model, weights, message):
    with pytest.raises(ModelOptionError, match=message):
        load_teacher(model, weights, "quickgelu", CPU, 0)


def test_invalid_configuration_files_are_refused(tmp_path):
    for name, text in {"a.json": "{", "b.json": "{}", "c.json": "[1]"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ModelOptionError, match=name):
            load_teacher(str(tmp_path / name), "random", None, CPU, 0)


def test_the_shipped_configuration_is_found_by_name():
    tower, size = image_tower_for_latency("demo-clip", CPU)
    assert size == 128 and tower(torch.zeros(1, 3, 128, 128)).shape == (1, 512)


@pytest.mark.slow
def test_downloads_fail_fast_without_a_network():
    """In a separate process: huggingface_hub reads its offline switch when it is first imported."""
    code = (
        "import time, torch; from embedonce.models.teachers.open_clip import load_teacher\n"
        "from embedonce.models.student import build_student\n"
        "from embedonce.models.student_config import student_config\n"
        "started = time.monotonic()\n"
        "for make in (lambda: load_teacher('ViT-B-32-quickgelu', 'openai', None, torch.device('cpu'), 0),\n"
        "             lambda: build_student(student_config('xxs', 512, 3, 128), True)):\n"
        "    try: make()\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
        "print(time.monotonic() - started)"
    )
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    environment |= {"HF_ENDPOINT": "https://hub.invalid", "HF_HOME": "/nonexistent"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    teacher, student, seconds = ran.stdout.splitlines()
    assert teacher.startswith("ModelError the weights 'openai'") and "--teacher-weights FILE" in teacher
    assert student.startswith("ModelError the ImageNet weights") and "--no-student-pretrained" in student
    assert float(seconds) < 60
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("model", "weights"), [("ViT-B-16-SigLIP", "webli"), ("ViT-B-16-SigLIP", "random"), ("roberta-ViT-B-32", "random")]
)
def test_the_error_for_a_missing_package_names_it(monkeypatch, model, weights):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install transformers$") as caught:
        load_teacher(model, weights, None, CPU, 0)
    assert "network" not in str(caught.value) and caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("T5Tokenizer requires the SentencePiece library"), "pip install sentencepiece"),
        (ValueError("`tiktoken` is required to read a `tiktoken` file."), "pip install sentencepiece"),
        (ImportError("cannot import name 'x' from 'y'"), "not installed: cannot import name 'x'"),
        (ValueError("Couldn't instantiate the backend"), "could not be loaded .Couldn't instantiate.*network"),
    ],
)
def test_the_error_for_a_tokenizer_without_its_package_names_it(monkeypatch, config, error, message):
    import open_clip

    def lacking(name):
        raise error

    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    monkeypatch.setattr(open_clip, "get_tokenizer", lacking)
    with pytest.raises(ModelError, match=f"the tokenizer of small-clip .*{message}"):
        load_teacher(str(config), "random", None, CPU, 0)


def test_timing_does_not_need_the_package_of_the_tokenizer(monkeypatch, config):
    monkeypatch.setitem(sys.modules, "transformers", None)
    path = config.with_name("timed.json")
    path.write_text(json.dumps(SMALL | {"text_cfg": SMALL["text_cfg"] | {"hf_tokenizer_name": "nobody/nothing"}}))
    tower, size = image_tower_for_latency(str(path), CPU)
    assert size == 64 and tower(torch.zeros(1, 3, 64, 64)).shape == (1, 24)


def test_missing_open_clip_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ModelError, match="pip install open-clip-torch"):
        load_teacher("demo-clip", "random", None, CPU, 0)
