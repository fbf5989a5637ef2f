"""Each export format passes the conformance tests, and the worked example of the documentation is a format, too."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from embedonce.pipeline.export import registry
from embedonce.pipeline.export.card import model_card
from embedonce.pipeline.export.export import export
from embedonce.pipeline.export.facts import HeldOutFacts
from embedonce.pipeline.export.folder import check_folder, file_names
from embedonce.pipeline.export.format import ExportInputs
from embedonce.pipeline.export.formats.web import WebPage
from embedonce.pipeline.export.parity import Parity
from embedonce.pipeline.export.registry import load_format, register_format
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.export.web_page import runtime
from tests.commands.test_cli import call
from tests.export.test_export import place, settings  # noqa: F401 (a fixture)
from tests.support.conformance.export_format import ExportFormatConformance
from tests.support.documentation import ROOT, code_blocks
from tests.support.export_facts import make_facts

pytestmark = pytest.mark.integration

EXTENDING = ROOT / "docs" / "extending.md"


def ran(name: str):
    """The format of this name; skipped if its optional libraries are missing."""
    found = load_format(name)
    for library in found.requirement.libraries if found.requirement else ():
        pytest.importorskip(library, reason=f"{library} is optional: {found.requirement.install}")
    return found


class TestOnnxFloat32(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        return ran("fp32")


@pytest.mark.slow
class TestOnnxFloat16(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        return ran("fp16")


@pytest.mark.slow
class TestOnnxInt8(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        return ran("int8")


class TestExecuTorch(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        return ran("executorch")


class TestWeb(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        return WebPage(dict.fromkeys((*runtime.FILES, *runtime.LICENSES), b"a file of the runtime"))


class TestCoreMl(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        return ran("coreml")


# -- the worked example ----------------------------------------------------------------------------------------------


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """The format of docs/extending.md, in a module of its own, registered by the line that the document shows."""
    source, registration = code_blocks(EXTENDING, "Export format")
    assert len(source.splitlines()) <= 40 and len(registration.splitlines()) == 1
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "torch_export.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setattr(registry, "FORMATS", dict(registry.FORMATS))
    importlib.invalidate_caches()
    exec(registration, {"register_format": register_format})
    yield "pt2"
    sys.modules.pop("torch_export", None)


def test_the_documented_format_exports_a_student(documented, place, tmp_path):  # noqa: F811
    result = export(settings(place, tmp_path / "made", formats=documented, num_samples=6, calibration_frames=4))
    names = {"frames.pt2", "clip.pt2", "config.json", "model.safetensors", "student_parts.safetensors"}
    assert set(result.num_bytes) == names and result.parity["pt2"].max_difference <= 1e-4
    assert json.loads((result.folder / "parity.json").read_text())["pt2"]["agreement"] == 1.0
    card = (result.folder / "README.md").read_text()
    assert "| `frames.pt2` |" in card and "`torch.export.load` reads" in card and "onnx" not in card
    with pytest.raises(ValueError, match="fp32, fp16, int8, executorch, coreml, web, pt2"):
        ExportConfig(place, place, place, formats="pt3")


@pytest.mark.slow
def test_the_documented_format_works_on_the_command_line(documented, place, tmp_path):  # noqa: F811
    options = ["--cache-dir", place / "cache", "--student-checkpoint", place / "best_student.pt"]
    options += [
        "--output-dir",
        tmp_path / "made",
        "--formats",
        documented,
        "--num-samples",
        "3",
        "--calibration-frames",
        "4",
    ]
    assert "frames.pt2" in call("export-student", *options)
    check_folder(tmp_path / "made", overwrite=True)  # its files belong to an export, so that it may be replaced


class TestDocumentedFormat(ExportFormatConformance):
    @classmethod
    def make_format(cls):
        source, _ = code_blocks(EXTENDING, "Export format")
        namespace: dict = {}
        exec(source, namespace)
        return namespace["TorchExport"]()


# -- the registry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "location", "message"),
    [
        ("fp32", "m:C", "registered already"),
        ("", "m:C", "invalid export format name"),
        ("a,b", "m:C", "invalid export format name"),
        (" a", "m:C", "invalid export format name"),
        ("new", "module.C", "give 'package.module:Class'"),
    ],
)
def test_invalid_registrations_are_refused(monkeypatch, name, location, message):
    monkeypatch.setattr(registry, "FORMATS", dict(registry.FORMATS))
    with pytest.raises(ValueError, match=message):
        register_format(name, location)
    assert "new" not in registry.FORMATS


def test_names_of_formats_are_known_without_importing_torch():
    from tests.support.imports import modules_after

    assert "torch" not in modules_after("from embedonce.pipeline.export import settings")


# -- the model card --------------------------------------------------------------------------------------------------

FIGURES = Parity(clips=9, max_difference=0.0, rounding=0.0, agreement=1.0, cosine=1.0, top1=0.5)
WORDS = {
    **{"fp32": "recognise.py", "int8": "calibrated", "executorch": ".pte", "web": "http.server"},
    "coreml": "not run on an Apple device",
}
NOT_ONNX = (("executorch",), ("coreml",))


@pytest.mark.parametrize("exported", [("fp32",), ("fp16",), ("int8",), ("web",), *NOT_ONNX, ("fp32", "int8")])
def test_the_card_describes_only_files_that_were_exported(exported):
    formats = {name: load_format(name) for name in exported}
    sizes = {name: 1 for made in formats.values() for name in made.file_names}
    parity = dict.fromkeys(exported, FIGURES)
    card = model_card(make_facts(), HeldOutFacts("l", "val", "train", None, None), sizes, parity, formats)
    assert {name for name, word in WORDS.items() if word in card} == set(exported) & set(WORDS)
    assert ("onnx" in card) == (exported not in NOT_ONNX)
    of_onnx = bool({"fp32", "fp16", "int8"} & set(exported))
    assert card.count("`clip.onnx` maps") == of_onnx  # formats that share a file share its description
    for name in file_names() - set(sizes) - {Path(common).name for common in COMMON}:
        assert name not in card


COMMON = ("README.md", "config.json", "parity.json", "export_config.yaml", "model.safetensors")
COMMON += (
    "source.json",
    "student_parts.safetensors",
)


def test_what_formats_share_is_computed_once():
    inputs = ExportInputs(torch.nn.Identity(), torch.nn.Identity(), make_facts(), np.zeros((1, 3, 4, 4), np.uint8))
    calls = []
    results = [inputs.shared(name, lambda: calls.append(1) or len(calls)) for name in ("a", "a", "b")]
    assert results == [1, 1, 2]
