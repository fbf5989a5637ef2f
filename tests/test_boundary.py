"""Stage two and evaluation never meet a teacher or a video: by syntax tree, and in a process where they cannot."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[1]
PACKAGES = ("cache", "models", "pipeline")
TEACHER = {"open_clip", "av", "ijson", "models.clip_teacher", "models.teacher_weights", "models.teacher_preprocessing"}
ONLY_IMPORTERS = {
    "av": {
        f"pipeline.video.{name}"
        for name in ("colour", "complaints", "container", "decode", "geometry", "indexing", "output_order", "timeline")
    }
    | {"pipeline.video.reopening", "pipeline.video.tracks", "pipeline.synthetic", "pipeline.ego4d_miniature.files"},
    "open_clip": {"models.teacher_weights"},
    "timm": {"models.backbones", "models.timm_registry"},
    "h5py": {"cache.hdf5"},
    "ijson": {"pipeline.ego4d.streams"},
    "lemminflect": {"pipeline.inflection"},
    "click": {"cli", "pipeline.terminal", "pipeline.common_options"}
    | {f"pipeline.{name}_commands" for name in ("annotation", "cache", "ego4d", "export", "student")},
    "onnx": {"pipeline.export.onnx_files"},
    "onnxruntime": {"pipeline.export.onnx_files", "pipeline.export.runtime"},
    "executorch": {"pipeline.export.executorch_files"},
    "boto3": {"pipeline.ego4d.bucket"},
    "botocore": {"pipeline.ego4d.bucket"},
    "ego4d": set(),  # a program of its own,
}


def modules() -> dict[str, Path]:
    paths = [ROOT / "cli.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(path: Path) -> set[str]:
    """Every module a file may import, in functions too, each with the packages around it.

    Modules of this project are named from its root on: `cache.layout` for `embedonce.cache.layout`.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    outside = found & {*PACKAGES, "cli"}
    assert not outside, f"{path} imports {outside} without `embedonce.` in front"
    found = {name.removeprefix("embedonce.") for name in found if name != "embedonce"}
    return found | {".".join(name.split(".")[:n]) for name in found for n in range(1, name.count(".") + 1)}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return {name: imports(path) for name, path in modules().items()}


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, ())
    return seen


STAGE_TWO = ["train", "recipe", "dataset", "loading", "inference", "checkpoint", "epoch_plan", "expected_time"]
STAGE_TWO += ["training_files", "output_folder", "file_recognition"]
ON_RESULTS = ["metrics", "baselines", "bootstrap", "calibration", "results_schema", "comparison", "plots", "report"]
BESIDE = ["verb_noun", "comparability"]
STAGE_THREE = ["evaluate", "evaluation_files", "held_out", "costs", "export.export", "results", "compare"]
STAGE_THREE += [*BESIDE, *ON_RESULTS]


@pytest.mark.parametrize("stage", [*STAGE_TWO, *STAGE_THREE])
def test_stage_two_cannot_reach_a_teacher_or_a_video(graph, stage):
    assert f"pipeline.{stage}" in graph
    assert not reachable(graph, f"pipeline.{stage}") & TEACHER


@pytest.mark.parametrize("stage", ON_RESULTS)
def test_what_works_on_results_knows_no_torch(graph, stage):
    assert not reachable(graph, f"pipeline.{stage}") & {"torch", "timm", "h5py"}


def test_the_walk_would_find_a_teacher(graph):
    assert {"open_clip", "av"} <= reachable(graph, "pipeline.stage_one")  # imported inside functions


def test_the_student_and_the_teacher_do_not_know_each_other(graph):
    assert "models.mobilevit_student" not in reachable(graph, "models.clip_teacher")
    assert not reachable(graph, "models.mobilevit_student") & TEACHER


def test_arrows_are_as_on_the_map(graph):
    for name, imported in graph.items():
        ours = {other for other in reachable({name: imported}, name) if other.partition(".")[0] in (*PACKAGES, "cli")}
        package = name.partition(".")[0]
        allowed = {"cache": {"cache"}, "models": {"models"}, "pipeline": set(PACKAGES), "cli": {*PACKAGES, "cli"}}[
            package
        ]
        assert {other.partition(".")[0] for other in ours} <= allowed, name


@pytest.mark.parametrize("library", ONLY_IMPORTERS)
def test_each_library_has_its_only_importers(graph, library):
    assert {name for name, imported in graph.items() if library in imported} == ONLY_IMPORTERS[library]


def test_the_cache_knows_no_torch(graph):
    for name in graph:
        if name.startswith("cache"):
            assert not reachable(graph, name) & {"torch", "open_clip", "timm", "av", "webdataset"}, name


def test_the_report_draws_without_torch_and_without_a_teacher(graph):
    drawing = {"charts", "heat_map", "comparison", "classes", "curves", "markup", "style"}
    for name in drawing:
        assert not reachable(graph, f"pipeline.html_report.{name}") & {"torch", "timm", "h5py"}, name
    assert f"pipeline.html_report.{min(drawing)}" in reachable(graph, "pipeline.html_report.report")
    assert not reachable(graph, "pipeline.html_report.report") & TEACHER


def test_package_files_are_empty():
    assert all((ROOT / package / "__init__.py").read_text() == "" for package in PACKAGES)


FORBIDDING = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("open_clip", "av", "ijson"):
            raise ImportError(f"{name} was imported in a place that must not know it")
sys.meta_path.insert(0, Forbid())
import json
from embedonce import cli
for arguments in json.loads(sys.argv[1]):
    cli.main(arguments, standalone_mode=False)
"""


@pytest.mark.slow  # that nothing leads there from their code is tested above
def test_training_and_evaluating_run_where_clip_and_av_cannot_be_imported(tmp_path):
    cache = make_tiny_cache(tmp_path / "cache", 6)
    shared = ["--cache-dir", cache, "--output-dir", tmp_path, "--num-workers", "0", "--device", "cpu"]
    student = ["--student-size", "tiny", "--student-resolution", "128", "--epochs", "1", "--frames-per-clip", "2"]
    checkpoint = ["--student-checkpoint", tmp_path / "best_student.pt"]
    commands = [["train-student", *shared, *student], ["evaluate", *shared, *checkpoint]]
    commands += [["extract-teacher", "--data-dir", tmp_path]]
    packed = json.dumps([[str(word) for word in command] for command in commands])
    ran = subprocess.run([sys.executable, "-c", FORBIDDING, packed], cwd=ROOT, capture_output=True, text=True)
    assert (tmp_path / "evaluation_results.json").exists() and (tmp_path / "comparison_plot.png").exists(), ran.stderr
    assert ran.returncode != 0 and "must not know it" in ran.stderr.splitlines()[-1]  # the trap works


@pytest.mark.parametrize(
    "name", ["interrupts", "option_ranges", "printable", "running_time", "streams", "worker_signals"]
)
def test_what_every_process_imports_is_light(graph, name):
    assert not reachable(graph, f"pipeline.{name}") & {"torch", "numpy", "click", "yaml", "tqdm"}
