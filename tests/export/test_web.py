"""The format web: the files of the page, and where ONNX Runtime for browsers comes from."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from embedonce.cache.store import open_reader
from embedonce.models.deploy import FrameEncoder
from embedonce.models.student import build_student
from embedonce.models.student_config import student_config
from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.export.export import export
from embedonce.pipeline.export.folder import check_folder
from embedonce.pipeline.export.formats import web
from embedonce.pipeline.export.formats.web import ASSETS, ASSETS_FOLDER, WebPage, known_image
from embedonce.pipeline.export.web_page import runtime
from tests.commands.test_cli import call
from tests.export.test_export import place, settings  # noqa: F401 (a fixture)
from tests.support.tiny_cache import DIM, make_tiny_cache
from tests.support.web_runtime import ARCHIVE, install_npm, make_package, pack

CARE = ("LICENSE", "ThirdPartyNotices.txt")


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    return make_package(tmp_path / "npm", monkeypatch)


@pytest.fixture
def npm(package, tmp_path, monkeypatch) -> Path:
    """An npm that packs the package; the file of its calls."""
    packed = pack(package, tmp_path / "packed.tgz")
    return install_npm(tmp_path, monkeypatch, f"cp {packed} {ARCHIVE}")


# -- the runtime -----------------------------------------------------------------------------------------------------


def test_npm_downloads_the_runtime_once(npm, package):
    first, second = runtime.load_runtime(None), runtime.load_runtime(None)
    assert first == second and set(first) == {*runtime.FILES, *CARE}
    assert all(first[name] == (package / "dist" / name).read_bytes() for name in runtime.FILES)
    assert npm.read_text() == f"pack --ignore-scripts {runtime.PACKAGE}@{runtime.VERSION}\n"
    assert [path.name for path in runtime.cached_archive().parent.iterdir()] == [ARCHIVE]


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_download_is_replaced(npm, damage):
    expected = runtime.load_runtime(None)
    kept = runtime.cached_archive()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-40] if damage is None else damage)
    assert runtime.load_runtime(None) == expected and kept.read_bytes() == whole
    assert len(npm.read_text().splitlines()) == 2


def test_the_runtime_comes_with_the_license_of_the_installed_onnx_runtime(npm):
    found = runtime.load_runtime(None)
    assert b"MIT License" in found["LICENSE"] and b"Microsoft" in found["LICENSE"]
    assert len(found["ThirdPartyNotices.txt"]) > 10_000


@pytest.mark.parametrize("kind", ["package", "package/dist", ".", "archive"])
def test_the_runtime_may_be_given(package, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("PATH", "")
    archive = pack(package, tmp_path / "given.tgz")
    found = runtime.load_runtime(archive if kind == "archive" else package.parent / kind)
    assert {name: found[name] for name in runtime.FILES} == {
        path.name: path.read_bytes() for path in (package / "dist").iterdir()
    }


@pytest.mark.parametrize("kind", ["folder", "archive", "npm"])
def test_files_of_another_version_are_refused(npm, package, tmp_path, monkeypatch, kind):
    (package / "dist" / "ort.wasm.min.mjs").write_bytes(b"another version")
    given = {"folder": package, "archive": pack(package, tmp_path / "packed.tgz"), "npm": None}[kind]
    with pytest.raises(InputError, match=r"ort\.wasm\.min\.mjs in .* its SHA-512 differs; install npm .*--web-runtime"):
        runtime.load_runtime(given)
    assert not runtime.cached_archive().exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", None, "min.mjs cannot be read .No such file"),
        ("text.tgz", b"hello", r"is not a \.tgz file of onnxruntime-web"),
        ("missing.tgz", None, "missing.tgz is not a .tgz file .*No such file"),
    ],
)
def test_a_given_runtime_that_is_none_is_reported(tmp_path, name, content, message):
    given = tmp_path / name
    if content is not None:
        given.write_bytes(content)
    elif name == "empty":
        given.mkdir()
    with pytest.raises(InputError, match=message):
        runtime.load_runtime(given)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("echo 'npm error network' >&2; exit 1", r"npm cannot download onnxruntime-web .*\(npm error network\)"),
        ("exit 1", r"\(no message\)"),
        ("true", r"\(it wrote no file\)"),
    ],
)
def test_a_failing_npm_is_reported(tmp_path, monkeypatch, action, message):
    install_npm(tmp_path, monkeypatch, action)
    with pytest.raises(InputError, match=message + "; install npm .* or give --web-runtime"):
        runtime.load_runtime(None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.integration
def test_a_missing_npm_is_reported_before_any_work(place, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"npm, which downloads it, is missing; install npm .* or give --web-runtime"):
        export(settings(place, tmp_path / "new", formats="web"))
    assert not list(tmp_path.iterdir())


def test_a_missing_license_is_reported(npm, monkeypatch):
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the installed onnxruntime has no file LICENSE"):
        runtime.load_runtime(None)


# -- the page --------------------------------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_from_elsewhere():
    texts = {name: (ASSETS_FOLDER / name).read_text() for name in ASSETS}
    addresses = {found for text in texts.values() for found in re.findall(r"https?://[\w.:/-]+|//cdn[\w.]+", text)}
    assert addresses <= {"http://localhost:8000", "https://"}
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', texts["index.html"]).group(1)
    sources = {source for part in policy.split(";") for source in part.split()[1:]}
    assert policy.startswith("default-src 'none'")
    assert sources == {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:", "data:"}


def test_every_asset_is_listed():
    present = {path.name for path in ASSETS_FOLDER.iterdir() if path.suffix in (".html", ".css", ".js")}
    assert present == set(ASSETS)
    named = set(re.findall(r'(?:from|href=|src=|Worker\() ?"(?:\./)?([\w.]+)"', "".join(map(read_asset, ASSETS))))
    assert named == present - {"index.html"}


def read_asset(name: str) -> str:
    return (ASSETS_FOLDER / name).read_text()


def test_modules_of_the_page_are_short():
    assert max(len(read_asset(name).splitlines()) for name in ASSETS) <= 215


@pytest.mark.integration
def test_the_runtime_is_that_of_the_option(place, package, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PATH", "")
    folder = tmp_path / "made"
    options = ["--cache-dir", place / "cache", "--student-checkpoint", place / "best_student.pt"]
    options += ["--output-dir", folder, "--formats", "web", "--num-samples", "6", "--web-runtime", package]
    lines = call("export-student", *options).splitlines()
    assert lines[-1] == (f"open it: python -m http.server --directory {folder}/web 8000, then http://localhost:8000")
    assert len([line for line in lines if line.endswith(str(folder / "web"))]) == 1
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in held if "/" in name} == set(WebPage.file_names)
    assert (folder / "web/ort/ort.wasm.min.mjs").read_bytes() == (package / "dist/ort.wasm.min.mjs").read_bytes()
    assert (folder / "web/ort/LICENSE").stat().st_size > 500
    check_document(place, folder)
    card = " ".join((folder / "README.md").read_text().split())
    assert "`web/frames.onnx`" in card and "python -m http.server --directory web 8000" in card
    check_replacing(folder)


def check_document(place, folder: Path) -> None:  # noqa: F811
    document = json.loads((folder / "web/student.json").read_text())
    student, _ = checkpoint.load_student(place / "best_student.pt")
    _, embeddings = FrameEncoder(student).eval()(web.torch.from_numpy(known_image(128)))
    np.testing.assert_allclose(document["check"]["embedding"], embeddings[0].detach().numpy(), atol=1e-5)
    assert document["classes"] == ["red", "green", "blue"] and document["multi_label"] is False


def check_replacing(folder: Path) -> None:
    """An export with folders may be replaced, one with foreign files in them may not."""
    with pytest.raises(InputError, match="already holds an export"):
        check_folder(folder, overwrite=False)
    check_folder(folder, overwrite=True)
    (folder / "web" / "ort" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"web/ort/notes\.txt, which no export wrote"):
        check_folder(folder, overwrite=True)
    (folder / "web" / "ort" / "notes.txt").unlink()
    shutil.rmtree(folder / "web" / "ort")
    (folder / "web" / "ort").symlink_to(folder.parent)
    with pytest.raises(InputError, match="web/ort, which no export wrote"):
        check_folder(folder, overwrite=True)


@pytest.mark.integration
def test_exported_files_know_whether_clips_have_several_labels(tmp_path):
    reader = open_reader(make_tiny_cache(tmp_path / "cache", several=True))
    student = build_student(student_config("tiny", DIM, 3, 128), pretrained=False).eval()
    meta = checkpoint.new_checkpoint(student, reader.label_set(), reader.identity.teacher, 2)
    checkpoint.save(tmp_path / "best_student.pt", meta)
    made = export(settings(tmp_path, tmp_path / "made", formats="fp32", num_samples=2, calibration_frames=2))
    assert json.loads((made.folder / "config.json").read_text())["embedonce"]["multi_label"] is True


def test_the_known_image_is_that_of_the_page():
    side, image = 16, known_image(16)
    flat = [(7 * (i % side) + 5 * (i // side)) % 256 for i in range(3 * side * side)]  # as in encoder.js
    assert image.dtype == np.uint8 and image.reshape(-1).tolist() == flat
