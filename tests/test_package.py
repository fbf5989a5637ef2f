"""`import embedonce`: what it offers, what it leaves unloaded, and what an installation adds."""

import ast
import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import embedonce
from embedonce.cache.store import open_reader
from tests.support.tiny_cache import make_tiny_cache

ROOT = Path(__file__).parents[1]


def python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


def test_the_tests_run_on_this_checkout():
    assert Path(embedonce.__file__).resolve().parent == ROOT.resolve()


def test_importing_it_loads_no_torch(tmp_path):
    code = "import sys, embedonce; embedonce.open_cache; sys.exit(bool({'torch', 'timm', 'av'} & set(sys.modules)))"
    assert python(code, cwd=ROOT).returncode == 0


def test_a_cache_is_opened(tmp_path):
    root = make_tiny_cache(tmp_path / "cache", 3)
    assert isinstance(embedonce.open_cache(root), embedonce.Cache)
    assert embedonce.open_cache(root).video_uids == open_reader(root).video_uids
    assert embedonce.open_cache(str(root)).label_sets() == open_reader(root).label_sets()


def test_type_checkers_see_what_is_imported_lazily():
    block = next(node for node in ast.parse(Path(embedonce.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {name.asname: (node.module, name.name) for node in block.body for name in node.names}
    assert seen == embedonce._EXPORTS and set(embedonce.__all__) == {"__version__", *seen}
    for name, (module, attribute) in seen.items():
        assert getattr(embedonce, name) is getattr(import_module(module), attribute)


@pytest.mark.slow
def test_type_checkers_know_the_keywords(tmp_path):
    lines = [
        "import embedonce",
        "embedonce.extract(data_dir='videos', fps=1.0, batch_size='auto')",
        "embedonce.extract(fsp=1.0)",
        "embedonce.train(epochs='3')",
        "embedonce.open_cache('c').nothing",
    ]
    (tmp_path / "user.py").write_text("\n".join(lines))
    (tmp_path / "embedonce").symlink_to(ROOT)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "user.py"]
    found = subprocess.run(command, cwd=tmp_path, env={**os.environ, "MYPYPATH": "."}, capture_output=True, text=True)
    errors = [line for line in found.stdout.splitlines() if line.startswith("user.py:") and " error: " in line]
    assert [line.split(":")[1] for line in errors] == ["3", "4", "5"], found.stdout + found.stderr


def test_it_has_a_version_and_nothing_else():
    assert embedonce.__version__.count(".") == 2
    assert {"open_cache", "__version__"} <= set(dir(embedonce))
    with pytest.raises(AttributeError, match="'embedonce' has no attribute 'train_all'"):
        embedonce.train_all  # noqa: B018


@pytest.mark.parametrize("imports", ["import embedonce, timm", "import timm, embedonce"])
@pytest.mark.slow
def test_timm_knows_tiny_in_either_order(imports):
    ran = python(f"{imports}; assert timm.is_model('embedonce_tiny')", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def copied(tmp_path) -> Path:
    """The files of this checkout that are packed, elsewhere."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "results", "*.egg-info", "build", "tests", "benchmarks")
    shutil.copytree(ROOT, copy, ignore=ignored)
    return copy


def test_a_checkout_that_is_not_the_installed_one_says_what_to_run(copied):
    ran = subprocess.run([sys.executable, copied / "cli.py", "--help"], capture_output=True, text=True, cwd=copied)
    assert ran.returncode == 5 and ran.stdout == ""
    assert ran.stderr.startswith("this checkout is not the installed embedonce") and ran.stderr.count("\n") == 1


def test_a_checkout_where_nothing_is_installed_says_what_to_run(copied):
    command = [sys.executable, "-I", "-S", copied / "cli.py", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=copied)
    assert ran.returncode == 5 and ran.stderr.startswith("embedonce is not installed: run `make install`")


def test_every_package_is_packed():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    packed = set(settings["options"]["packages"].split())
    folders = [p.parent for name in ("cache", "models", "pipeline") for p in (ROOT / name).rglob("__init__.py")]
    assert packed == {"embedonce", *(".".join(("embedonce", *p.relative_to(ROOT).parts)) for p in folders)}


@pytest.mark.slow
def test_a_wheel_adds_nothing_but_embedonce(copied, tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, copied]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"embedonce"}
    packed = {name.removeprefix("embedonce/") for name in names if name.endswith(".py")}
    there = {
        p.relative_to(copied).as_posix()
        for folder in ("cache", "models", "pipeline")
        for p in (copied / folder).rglob("*.py")
    }
    assert packed == there | {"__init__.py", "cli.py"}
    assert any(name.endswith(".safetensors") for name in names)
    page = "embedonce/pipeline/reporting/contact_sheet/sheet"
    assert {f"{page}.js", f"{page}.css"} <= set(names)
