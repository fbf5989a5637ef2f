"""--teacher-module FILE.py:NAME: a function or class of the user's that makes the teacher."""

from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.models.errors import ModelError, ModelOptionError
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.teachers import registry
from embedonce.pipeline.teachers.modules import model_of_module, module_errors
from embedonce.pipeline.teachers.teacher import OverlappingTeacher, Teacher, TeacherOptions, TextTeacher
from tests.commands.test_cli import call, error_of
from tests.support.documentation import ROOT, code_blocks
from tests.support.own_teachers import BARE
from tests.support.videos import write_actions

pytestmark = pytest.mark.usefixtures("forked_workers")

TORCH = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed({seed})
        self.layer = torch.nn.Linear(3, 8)

    @torch.inference_mode()
    def embed(self, crops):
        means = torch.from_numpy(crops).float().mean((1, 2)) / 255
        return torch.nn.functional.normalize(self.layer(means), dim=1).numpy()


def build(options):
    assert options.device == "cpu"
    return Net()
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_LOADERS", registry.registered())


def load(folder: Path, code: str, name: str = "build", model: str | None = None, **options) -> Teacher:
    path = folder / "mine.py"
    path.write_text(code)
    model = model_of_module(Path(f"{path}:{name}"), model)
    return registry.loader_of(model).load(TeacherOptions(model, device="cpu", **options))


def load_chosen(folder: Path, code: str, name: str = ":build") -> Teacher:
    """The teacher of a file, as commands load it."""
    (folder / "mine.py").write_text(code)
    config = ExtractConfig(None, False, folder / "c", teacher_module=Path(f"{folder / 'mine.py'}{name}"), device="cpu")
    return teacher_loading.load_registered_teacher(config)


REGISTERED = """
from embedonce.pipeline.teachers.registry import register
from embedonce.pipeline.teachers.teacher import TeacherLoader


class Loader(TeacherLoader):
    def load(self, options):
        return {}


register("lazy", Loader())
"""


def test_an_object_with_embed_and_the_input_size_is_enough(tmp_path):
    teacher = load(tmp_path, BARE)
    identity = teacher.identity
    assert (identity.name, identity.input_size, identity.embed_dim) == ("mine", 32, 8)
    assert (identity.mean, identity.weights, identity.parameters_image) == ((0.5,) * 3, "module", 48 * 8)
    assert not isinstance(teacher, (TextTeacher, OverlappingTeacher)) and teacher.device_facts() == {}
    assert load(tmp_path, BARE, "Bare").identity == identity  # a class makes one too
    changed = load(tmp_path, BARE.replace("default_rng(0)", "default_rng(1)")).identity
    assert changed.weights_sha256 != identity.weights_sha256


def test_the_weights_of_a_module_of_torch_are_its_identity(tmp_path):
    first, again, other = (
        load(tmp_path, TORCH.format(seed=seed) + comment, input_size=16).identity
        for seed, comment in ((0, ""), (0, "# a comment"), (1, ""))
    )
    assert first == again and first.weights_sha256 != other.weights_sha256 and first.parameters_image == 32


def test_without_tensors_the_text_of_the_file_is_the_identity(tmp_path):
    code = BARE.replace("self.matrix =", "self.matrices = [").replace(
        ".astype(np.float32)\n\n    def", ".astype(np.float32)]\n\n    def"
    )
    code = code.replace("@ self.matrix", "@ self.matrices[0]")
    first, other = load(tmp_path, code).identity, load(tmp_path, code + "# changed").identity
    assert first.weights_sha256 != other.weights_sha256


def test_a_name_of_the_facts_or_of_the_option_is_the_name(tmp_path):
    named = BARE.replace('{"input_size"', '{"name": "tiny", "input_size"')
    assert load(tmp_path, named).identity.name == "tiny"
    assert load(tmp_path, named, model="other:v2").identity.name == "other:v2"


def test_optional_methods_are_kept(tmp_path):
    text = """
    def class_text(self, prompts):
        return np.eye(len(prompts), 8, dtype=np.float32), 7.0

    def begin(self, crops):
        return lambda: self.embed(crops)

    def device_facts(self):
        return {"device": "here"}


def build():"""
    teacher = load(tmp_path, BARE.replace("\n\ndef build():", text))
    assert isinstance(teacher, TextTeacher) and isinstance(teacher, OverlappingTeacher)
    assert teacher.class_text([["a"]])[1] == 7.0 and teacher.device_facts() == {"device": "here"}
    teacher.drop_text_tower()
    images = np.zeros((1, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(teacher.begin(images)(), teacher.embed(images))


def test_the_documented_file_makes_a_teacher(tmp_path):
    code = next(block for block in code_blocks(ROOT / "docs" / "teachers.md", "Your own code") if "FACTS" in block)
    identity = load(tmp_path, code).identity
    assert (identity.input_size, identity.embed_dim) == (224, 512) and identity.parameters_image > 11e6


def test_the_documented_video_model_makes_a_teacher_of_windows(tmp_path):
    code = next(block for block in code_blocks(ROOT / "docs" / "teachers.md", "A video model") if "FACTS" in block)
    identity = load(tmp_path, code).identity
    assert (identity.window, identity.window_stride, identity.embed_dim) == (4, 2, 64)
    without_stride = code.replace(', "window_stride": 2', "")
    assert load(tmp_path, without_stride).identity.window_stride == 4


VECTORS = "        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)"
WRONG = {
    "not unit": (VECTORS, "        return vectors", "mine returned embeddings that are not unit vectors"),
    "NaN": (VECTORS, "        return vectors * np.float32('nan')", "mine returned embeddings that are not finite"),
    "dtype": (
        VECTORS,
        "        return vectors.astype(np.float64)",
        r"returned float64 \(3, 8\) for 3 images, not float32",
    ),
    "shape": (VECTORS, "        return vectors[0]", r"returned an array of shape \(8,\) for 1 image"),
    "list": (VECTORS, "        return vectors.tolist()", "returned list for 3 images"),
    "noise": (
        VECTORS,
        "        vectors = np.random.standard_normal(vectors.shape).astype(np.float32)\n" + VECTORS,
        "mine embeds the same images differently each time",
    ),
    "no embed": ("return Bare()", "return 3", "mine.py:build made a int, which has no method embed"),
    "no size": ('"input_size": 32, ', "", "the file no FACTS with its input_size in pixels, up to 2048: write"),
    "nothing": (VECTORS, "        return None", r"returned an array of shape \(\) for 1 image, not \(1, D\)"),
    "changed images": (
        "        cells =",
        "        crops[:] = 0\n        cells =",
        "mine changes the images that it is given",
    ),
    "noise in the same memory": (
        VECTORS,
        "        vectors = np.random.standard_normal(vectors.shape).astype(np.float32)\n"
        "        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)\n"
        "        if not hasattr(self, 'memory'):\n"
        "            self.memory = np.zeros((9, 8), np.float32)\n"
        "        self.memory[: len(crops)] = vectors\n"
        "        return self.memory[: len(crops)]",
        "mine embeds the same images differently each time",
    ),
    "begin": (
        "    def embed",
        "    last = None\n\n    def begin(self, crops):\n"
        "        self.last = self.embed(crops)\n        return lambda: self.last\n\n    def embed",
        r"the results of begin\(\) are not those of embed\(\) .* a batch that is begun must not change the result",
    ),
    "arguments": (
        "def build():",
        "def build(a, b=1, *, c):",
        "mine.py:build needs the arguments a, c, but it is called",
    ),
    "facts": ("FACTS = {", "FACTS = [1] or {", "FACTS is a list, not a dictionary"),
    "mean": ("(0.5, 0.5, 0.5)", "'abc'", "mean and std in FACTS must be three numbers each"),
    "size": ("32, ", "100_000, ", "in pixels, up to 2048"),
    "unknown fact": ('"input_size"', '"inputsize": 32, "input_size"', "FACTS has 'inputsize'; known are input_size"),
}


@pytest.mark.parametrize("name", WRONG)
def test_teachers_that_break_the_rules_are_one_sentence(tmp_path, name):
    old, new, message = WRONG[name]
    assert old in BARE
    with pytest.raises(ModelError, match=message):
        load(tmp_path, BARE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"mean": (0.5, 0.5, 0.5)', '"mean": (0.5, 0.5)', r"mean is '\(0.5, 0.5\)', not three finite numbers"),
        ('"std": (0.5, 0.5, 0.5)', '"std": (1, 0, 1)', "not three finite numbers above 0"),
        ('"mean": (0.5, 0.5, 0.5)', '"mean": (1, 1, float("nan"))', "not three finite numbers"),
        ('"mean": (0.5, 0.5, 0.5)', '"interpolation": "nearest"', "unknown interpolation 'nearest'"),
        ('"mean": (0.5, 0.5, 0.5)', '"resize_mode": 3', "resize_mode is 3"),
    ],
)
def test_facts_that_no_cache_can_keep_are_one_sentence_before_anything_is_written(tmp_path, old, new, message):
    assert old in BARE
    with pytest.raises(ModelOptionError, match=f"the teacher mine has an identity that no cache can have: .*{message}"):
        load_chosen(tmp_path, BARE.replace(old, new))


def test_a_registered_loader_that_returns_no_teacher_is_told(tmp_path):
    with pytest.raises(ModelOptionError, match="the teacher lazy is a NoneType, which lacks identity, embed"):
        load_chosen(tmp_path, REGISTERED.format("None"), "")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys\nsys.exit()\n", r"cannot be imported: SystemExit \(line 2\)"),
        ("import sys; sys.exit(3)", r"cannot be imported: SystemExit: 3 \(line 1\)"),
        ("class Odd(BaseException): pass\nraise Odd('why')", r"cannot be imported: Odd: why \(line 2\)"),
        ("def build(): raise SystemExit(0)", r"failed: SystemExit: 0 \(line 1\)"),
    ],
)
def test_a_file_cannot_end_the_program_whatever_it_raises(tmp_path, monkeypatch, code, message):
    monkeypatch.chdir(tmp_path)  # with a relative path, as users have it
    option = Path("mine.py:build")
    Path("mine.py").write_text(code)
    with pytest.raises(ModelError, match=message), module_errors(option):
        registry.loader_of(model_of_module(option, None)).load(TeacherOptions("mine", device="cpu"))


def test_an_error_that_becomes_another_one_on_its_way_still_has_its_line(tmp_path):
    code = BARE.replace(VECTORS, "        if len(crops) == 1:\n            raise StopIteration\n" + VECTORS)
    line = 1 + code.splitlines().index("            raise StopIteration")
    teacher = load(tmp_path, code.replace('{"input_size"', '{"embed_dim": 8, "input_size"'))
    message = rf"failed: RuntimeError: generator raised StopIteration \(line {line}\)"
    with pytest.raises(ModelError, match=message), module_errors(Path(f"{tmp_path / 'mine.py'}:build")):
        next(teacher.embed(crops) for crops in [np.zeros((1, 32, 32, 3), np.uint8)])


def test_an_interruption_in_a_users_code_stays_one(tmp_path):
    for code in ("raise KeyboardInterrupt", "def build(): raise KeyboardInterrupt"):
        with pytest.raises(KeyboardInterrupt), module_errors(Path(f"{tmp_path / 'mine.py'}:build")):
            load(tmp_path, code)


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("absent", None, "has no function or class 'absent'"),
        ("FACTS", None, "has no function or class 'FACTS'"),
        ("build", "open_clip", "a teacher cannot be registered as 'open_clip'.*--teacher-model NAME"),
    ],
)
def test_names_that_make_no_teacher_are_refused(tmp_path, name, model, message):
    with pytest.raises(ModelError, match=message):
        load(tmp_path, BARE, name, model)


def test_what_the_users_code_raises_is_one_sentence_with_its_line(tmp_path):
    code = BARE.replace("    return Bare()", "    raise KeyError('weights')")
    line = 1 + code.splitlines().index("    raise KeyError('weights')")
    failed = pytest.raises(ModelError, match=rf"mine.py:build failed: KeyError: 'weights' \(line {line}\)")
    with failed, module_errors(Path(f"{tmp_path / 'mine.py'}:build")):
        load(tmp_path, code)
    with pytest.raises(KeyError), module_errors(tmp_path / "mine.py"):
        raise KeyError("an error of this package is not the user's")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return write_actions(tmp_path_factory.mktemp("videos"), 3, 30)


@pytest.mark.integration
def test_a_function_extracts_in_teacher_processes_with_a_fitted_head(tmp_path, videos, caplog):
    path, cache = tmp_path / "mine.py", tmp_path / "cache"
    path.write_text(BARE)
    arguments = ["--teacher-module", f"{path}:build", "--cache-dir", cache]
    shown = call("extract-teacher", "--data-dir", videos, *arguments, "--teacher-processes", "2", "--device", "cpu")
    assert "label set fitted: 2 classes, 6 clips" in shown
    assert (
        "the teacher mine has no text tower: soft logits come from a head that is fitted to the labels" in caplog.text
    )
    assert open_reader(cache).identity.teacher.name == "mine"
    assert "embedded 3 rows again: cosine" in call("verify-cache", *arguments, "--recompute", 3)
    path.write_text(BARE.replace("default_rng(0)", "default_rng(1)"))
    assert "weights_sha256" in error_of("verify-cache", *arguments, "--recompute", 3, code=4)
    path.write_text(BARE.replace("        cells = crops", "        1 / 0\n        cells = crops"))
    message = error_of("verify-cache", *arguments, "--recompute", 3, code=5)
    assert "build failed: ZeroDivisionError: division by zero (line" in message
