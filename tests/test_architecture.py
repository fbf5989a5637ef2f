"""Which package may import which, and that training and evaluation never reach a teacher or a video.

Imports are read from the syntax tree, those inside functions too; and training and evaluation run once in a process
where open_clip and av cannot be imported.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[1]
PACKAGES = ("cache", "models", "pipeline")
TEACHER = {
    "open_clip",
    "av",
    "ijson",
    "models.teachers.open_clip",
    "models.teachers.weights",
    "models.teachers.configuration",
    "models.teachers.preprocessing",
    "models.teachers.timm_models",
    "models.teachers.torchscript",
    "pipeline.teachers.teacher",
    "pipeline.teachers.registry",
    "pipeline.teachers.open_clip",
    "pipeline.teachers.timm_models",
    "pipeline.teachers.onnx_teacher",
    "pipeline.teachers.torchscript_teacher",
}
VIDEO = (
    *("codecs", "color", "ffmpeg_log", "container", "decode", "demuxer_input", "feeder", "geometry"),
    *("output_order", "packet_collector", "reopening", "sampled_packets", "scanning", "seeking"),
    *("sought_packets", "tracks"),
    *("all_frames", "h264_writer", "live"),
)
COMMANDS = (
    *("cache_assertions", "click_options", "config_option", "error_reporting", "output", "parameter_types"),
    *(
        "compare",
        "completed_values",
        "completion",
        "distill",
        "logging_options",
        "options_document",
        "step_sections",
        "download_ego4d",
        "extract_teacher",
        "plan",
        "plan_ego4d",
        "repair_cache",
        "verification",
    ),
    *("merge", "refresh", "removal", "remove"),
    "pull_cache",
    "predict",
)
ONLY_IMPORTERS = {
    "av": {f"pipeline.video.{name}" for name in VIDEO}
    | {"pipeline.sources.synthetic.generate", "pipeline.sources.ego4d_miniature.files"}
    | {"pipeline.images.requested_images"},
    "open_clip": {"models.teachers.weights"},
    "timm": {"models.backbones", "models.hub", "models.timm_registry"},
    "h5py": {"cache.backends.hdf5", "cache.backends.hdf5_shard"},
    "fsspec": {"cache.stores.object_urls", "pipeline.remote_files.addresses"},
    "s3fs": set(),  # fsspec finds it
    "ijson": {"pipeline.sources.ego4d.parsing.json_stream"},
    "umap": {"pipeline.reporting.contact_sheet.projection"},
    "pyarrow": {"pipeline.sources.manifest.parquet"}
    | {f"pipeline.embedding_files.{name}" for name in ("lance_dataset", "parquet", "tables")},
    "lance": {"pipeline.embedding_files.lance_dataset"},
    "huggingface_hub": {f"pipeline.hub.{name}" for name in ("client", "failures")},
    "lemminflect": {"pipeline.labeling.prompts.inflection"},
    "click": {"cli"} | {f"pipeline.commands.{name}" for name in COMMANDS},
    "onnx": {f"pipeline.runtimes.{name}" for name in ("onnx_files", "onnx_integers", "onnx_weights")},
    "onnxruntime": {f"pipeline.runtimes.{name}" for name in ("onnx_files", "onnx_integers", "onnx_runtime")},
    "executorch": {"pipeline.runtimes.executorch_programs"},
    "coremltools": {"pipeline.runtimes.coreml_packages"},
    "boto3": {"pipeline.sources.ego4d.download.bucket"},
    "botocore": {"pipeline.sources.ego4d.download.bucket"},
    "wandb": {"pipeline.tracking.wandb"},
    "trackio": {"pipeline.tracking.trackio"},
    "ray": {f"pipeline.extraction.cluster.{name}" for name in ("node", "ray_session")},
    "faiss": {"pipeline.search.approximate"},
    "aiohttp": {"pipeline.remote_files.addresses"},
    "ego4d": set(),  # a program of its own,
}
# Which package may import which others. `models` and `cache` import nothing of this project but themselves; every
# package of the pipeline may import both, and pipeline.errors. A package is listed after all that it may import.
ARROWS = {
    "processes": "",
    "console": "",
    "progress": "console",
    "settings": "",
    "naming": "",
    "remote_files": "settings",
    "files": "console settings",
    "splits": "console naming",
    "frames": "",
    "video": "",
    "images": "video",
    "metrics": "",
    "engines": "processes",
    "environment": "console processes video",
    "runtimes": "",
    "sources": "console files images naming processes progress remote_files settings splits",
    "teachers": "engines processes runtimes",
    "labeling": "console files metrics naming progress settings sources splits teachers",
    "extraction": "console engines files frames images labeling naming processes progress settings sources teachers "
    "video",
    "clips": "frames metrics processes",
    "checkpoints": "frames metrics",
    "reporting": "clips console frames metrics runtimes",
    "search": "checkpoints clips extraction files frames images metrics naming progress reporting runtimes settings "
    "teachers video",
    "energon": "runtimes",
    "embedding_files": "console files runtimes",
    "evaluation": "checkpoints clips console files metrics naming processes reporting runtimes settings splits",
    "export": "checkpoints clips console evaluation files frames metrics runtimes settings",
    "tracking": "",
    "training": "checkpoints clips console files frames metrics processes progress reporting settings splits tracking",
    "predict": "checkpoints extraction files frames metrics processes remote_files runtimes settings sources video",
    "api": "checkpoints clips embedding_files evaluation export extraction frames metrics naming predict progress "
    "search settings training",
    "distillation": "checkpoints console evaluation export extraction files settings training",
    "hub": "checkpoints console embedding_files export files progress runtimes settings",
    "demo_teacher": "clips files frames labeling metrics processes progress sources training",
    "commands": "console distillation embedding_files energon environment evaluation export extraction files frames "
    "hub labeling predict processes progress reporting search settings sources tracking training",
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


def room(module: str) -> str:
    """The package that a module belongs to, as ARROWS names it: `cache`, `models`, `cli`, or a part of the pipeline."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "pipeline" and rest else first


def own(imported: set[str]) -> set[str]:
    return {name for name in imported if name.partition(".")[0] in (*PACKAGES, "cli") and name not in PACKAGES}


def allowed_to(package: str) -> set[str]:
    """The packages that a package may import."""
    if package in ("cache", "models"):
        return {package}
    if package == "cli":
        return {"cli", "cache", "models", "errors", *ARROWS}
    if package in ("errors", "pipeline"):
        return {package}
    return {package, "cache", "models", "errors", *ARROWS[package].split()}


def broken_arrows(graph: dict[str, set[str]]) -> list[str]:
    return sorted(
        f"{name} imports {other}"
        for name, imported in graph.items()
        for other in own(imported)
        if room(other) not in allowed_to(room(name)) | {"pipeline"}
    )


@pytest.mark.integration
def test_packages_import_what_the_table_allows(graph):
    assert broken_arrows(graph) == []


def test_the_table_has_a_row_for_every_package_and_no_arrow_without_an_import(graph):
    used = {name: set() for name in ARROWS}
    for name, imported in graph.items():
        if room(name) in used:
            used[room(name)] |= {room(other) for other in own(imported)}
    assert {room(name) for name in graph} - {"cli", "cache", "models", "pipeline", "errors"} == set(ARROWS)
    assert {name: set(arrows.split()) - used[name] for name, arrows in ARROWS.items()} == {
        name: set() for name in ARROWS
    }


def test_packages_do_not_import_each_other_in_circles():
    listed = []
    for name, arrows in ARROWS.items():
        assert set(arrows.split()) <= set(listed), f"{name} may import what is listed below it"
        listed.append(name)


@pytest.mark.parametrize(
    "module, other",
    [
        ("cache.reader", "pipeline.errors"),
        ("models.heads", "cache.schema"),
        ("pipeline.frames.views", "pipeline.video.decode"),
        ("pipeline.training.trainer", "pipeline.extraction.runner"),
        ("pipeline.sources.source", "pipeline.commands.output"),
        ("pipeline.errors", "pipeline.progress"),
        ("pipeline.evaluation.evaluate", "cli"),
    ],
)
def test_a_forbidden_import_is_found(graph, module, other):
    assert module in graph
    assert broken_arrows(graph | {module: graph[module] | {other}}) == [f"{module} imports {other}"]


WITHOUT_TEACHER = {"clips", "training", "checkpoints", "metrics", "evaluation", "export", "runtimes", "reporting"}
# The one exception is opt-in and imported late: it times image towers
TIMES_TEACHERS = "pipeline.evaluation.teacher_latency"
WITHOUT_TORCH = ("evaluation.comparison", "reporting.plots", "reporting.console", "settings.base", "sources.source")


def without_teacher(graph: dict[str, set[str]]) -> list[str]:
    return [name for name in graph if room(name) in WITHOUT_TEACHER and name != TIMES_TEACHERS]


def test_training_and_evaluation_cannot_reach_a_teacher_or_a_video(graph):
    names = without_teacher(graph)
    assert {room(name) for name in names} == WITHOUT_TEACHER
    assert {name: found for name in names if (found := reachable(graph, name) & TEACHER)} == {}


def test_metrics_and_tables_load_no_torch(graph):
    names = [name for name in graph if room(name) == "metrics"] + [f"pipeline.{name}" for name in WITHOUT_TORCH]
    assert {name: found for name in names if (found := reachable(graph, name) & {"torch", "timm", "h5py"})} == {}


def test_the_walk_would_find_a_teacher(graph):
    assert {"open_clip", "av"} <= reachable(graph, "pipeline.extraction.extract_teacher")  # imported inside functions
    assert "open_clip" in reachable(graph, TIMES_TEACHERS)


def test_the_student_and_the_teacher_do_not_know_each_other(graph):
    assert "models.student" not in reachable(graph, "models.teachers.open_clip")
    assert not reachable(graph, "models.student") & TEACHER


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
        assert not reachable(graph, f"pipeline.reporting.html.{name}") & {"torch", "timm", "h5py"}, name
    assert f"pipeline.reporting.html.{min(drawing)}" in reachable(graph, "pipeline.reporting.html.report")


def test_package_files_are_empty():
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
    assert len(files) > 20 and all(path.read_text() == "" for path in files)


def test_the_pipeline_is_made_of_packages():
    assert {path.name for path in (ROOT / "pipeline").glob("*.py")} == {"__init__.py", "errors.py", "progress.py"}


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
    "name",
    [
        *("console.printable", "console.standard_streams", "processes.interrupts", "processes.running_time"),
        *("processes.worker_signals", "processes.busy_time", "settings.ranges", "settings.options"),
    ],
)
def test_what_every_process_imports_is_light(graph, name):
    assert f"pipeline.{name}" in graph
    assert not reachable(graph, f"pipeline.{name}") & {"torch", "numpy", "click", "yaml", "tqdm"}
